//! Every payload of the corpus through the engine, as `armspan explain` and `armspan replay` show
//! it: calls after all joins, exactly as the facts beside the payloads say.

#[path = "support/corpus.rs"]
#[allow(dead_code, reason = "each test uses its part of the shared support")]
mod corpus;

#[path = "support/figures.rs"]
mod figures;
use armspan::normalize::{Config, Normalizer};
use corpus::{Capture, Hashes, SeenCall, captures, differences};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The experiments of the captures; some payloads show only one of the two arms.
const CONFIG: &str =
    "experiments: {support-answer: {control: control}, answer-prompt: {control: control}}\n";

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus"))
}

fn config(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("armspan.yaml");
    std::fs::write(&path, text).expect("config");
    path
}

fn run(words: &[&str], config: &Path, files: &[&PathBuf]) -> Vec<Json> {
    let out = Command::new(env!("CARGO_BIN_EXE_armspan"))
        .args(words)
        .arg("--config")
        .arg(config)
        .args(files)
        .output()
        .expect("armspan runs");
    let told = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{words:?} {files:?}: {told}");
    let lines = String::from_utf8(out.stdout).expect("text");
    lines.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn files(capture: &Capture) -> Vec<&PathBuf> {
    capture.traces.iter().chain(&capture.logs).collect()
}

fn seen(line: &Json, normalizer: &Normalizer) -> SeenCall {
    let text = |json: &Json| json.as_str().map(str::to_owned);
    let number = |json: &Json| json.as_u64().map(|n| n.to_string());
    let assigned = &line["assignments"][0];
    let fields = [
        ("requested", text(&line["config"]["model"]["requested"])),
        ("revision", text(&line["config"]["model"]["revision"])),
        ("input", number(&line["tokens"]["input"])),
        ("output", number(&line["tokens"]["output"])),
        ("cached", number(&line["tokens"]["cached"])),
        ("reasoning", number(&line["tokens"]["reasoning"])),
        ("finish", text(&line["finish_reasons"][0])),
        ("error", text(&line["error"])),
        ("response", text(&line["response_id"]).map(|id| normalizer.response(&id).to_string())),
        ("experiment", text(&assigned["experiment"])),
        ("arm", text(&assigned["arm"])),
        ("user", text(&line["unit"]["hash"]).filter(|_| line["unit"]["from"] == "user.id")),
        ("session", text(&line["session"]["hash"])),
    ];
    SeenCall {
        trace: text(&line["trace_id"]).expect("trace"),
        span: text(&line["span_id"]).expect("span"),
        end: line["end_unix_nano"].as_u64().expect("end"),
        values: fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
    }
}

#[test]
fn explain_tells_every_capture_as_its_facts_say() {
    let folder = tempfile::tempdir().expect("folder");
    let config = config(&folder, CONFIG);
    let normalizer = Normalizer::new(Config::default());
    let hashes = Hashes {
        unit: &|id| normalizer.unit(id).to_string(),
        response: &|id| normalizer.response(id).to_string(),
    };
    let mut wrong = Vec::new();
    let all = captures(root());
    assert!(all.len() > 80, "only {} captures", all.len());
    for capture in &all {
        let lines = run(&["explain", "-o", "jsonl"], &config, &files(capture));
        let calls = lines.iter().filter(|line| line["kind"] == "call");
        let seen: Vec<SeenCall> = calls.map(|line| seen(line, &normalizer)).collect();
        wrong.extend(differences(capture, &seen, &hashes));
    }
    assert!(wrong.is_empty(), "{} differences\n{}", wrong.len(), wrong.join("\n"));
}

/// Run id → calls, arm and figures.
fn records(config: &Path, files: &[&PathBuf]) -> BTreeMap<String, (u64, String)> {
    let lines = run(&["replay", "--records"], config, files);
    let figures = |record: &Json| {
        let metrics = figures::lasting(&record["metrics"]);
        serde_json::to_string(&metrics).expect("json")
    };
    lines
        .iter()
        .map(|record| {
            let id = record["run"]["id"].as_str().expect("id").to_owned();
            (id, (record["traffic"]["calls"].as_u64().expect("calls"), figures(record)))
        })
        .collect()
}

#[test]
fn order_and_repetition_of_the_files_do_not_matter() {
    let folder = tempfile::tempdir().expect("folder");
    let config = config(&folder, CONFIG);
    let mut with_logs = 0;
    for capture in captures(root()) {
        let straight = files(&capture);
        if straight.len() < 2 {
            continue;
        }
        with_logs += 1;
        let mut other: Vec<&PathBuf> = straight.iter().rev().copied().collect();
        other.extend(&straight);
        assert_eq!(records(&config, &straight), records(&config, &other), "{}", capture.name);
    }
    assert!(with_logs >= 10, "{with_logs} captures of several files");
}

/// Emitters that say all of one chat call: its model, sampling, prompt and tools.
const DIALECTS: [&str; 3] = [
    "python/genai_openai/chat_span_only",
    "python/openinference_openai/chat",
    "python/logfire/chat",
];

#[test]
fn one_call_has_one_run_id_in_every_dialect() {
    let folder = tempfile::tempdir().expect("folder");
    // Prompt name and version, and the seed, are told by some of them only.
    let text = format!(
        "{CONFIG}identity: {{observed: [code, seed, system_fingerprint, prompt.name, prompt.version]}}\n"
    );
    let config = config(&folder, &text);
    let mut ids: BTreeSet<Vec<(String, String)>> = BTreeSet::new();
    for name in DIALECTS {
        let all = captures(root());
        let capture = all.iter().find(|capture| capture.name == name).expect(name);
        let lines = run(&["replay", "--records"], &config, &files(capture));
        let head = |record: &Json| {
            let text = |key: &str| record["run"][key].as_str().expect(key).to_owned();
            (text("arm"), text("id"))
        };
        let mut runs: Vec<(String, String)> = lines.iter().map(head).collect();
        runs.sort();
        assert_eq!(runs.len(), 2, "{name}: {lines:#?}");
        ids.insert(runs);
    }
    assert_eq!(ids.len(), 1, "{ids:#?}");
}

#[test]
fn judges_are_not_traffic_and_scores_find_their_calls() {
    let folder = tempfile::tempdir().expect("folder");
    let text = format!("{CONFIG}matures_after: 0s\n");
    let config = config(&folder, &text);
    let all = captures(root());
    let scored = |name: &str, metric: &str| -> u64 {
        let capture = all.iter().find(|capture| capture.name.ends_with(name)).expect(name);
        let lines = run(&["replay", "--records"], &config, &files(capture));
        let metrics = lines.iter().flat_map(|record| record["metrics"].as_array().expect("list"));
        metrics
            .filter(|line| line["name"] == metric)
            .map(|line| line["scored"].as_u64().unwrap_or(0))
            .sum()
    };
    assert_eq!(scored("evaluations/otel_log", "faithfulness"), 2);
    assert_eq!(scored("evaluations/otel_log", "late"), 1, "known by its response id only");
    assert_eq!(scored("evaluations/otel_log", "helpful"), 0, "the judge failed");
    assert_eq!(scored("evaluations/openinference_attributes", "faithfulness"), 2);
    let judge = all.iter().find(|c| c.name.ends_with("phoenix_evaluator")).expect("capture");
    let lines = run(&["explain", "-o", "jsonl"], &config, &files(judge));
    assert!(lines.iter().all(|line| line["kind"] != "call"), "{lines:#?}");
}

#[test]
fn an_error_rate_that_cannot_be_known_is_not_zero() {
    let folder = tempfile::tempdir().expect("folder");
    let config = config(&folder, CONFIG);
    let all = captures(root());
    let has_error_rate = |name: &str| {
        let capture = all.iter().find(|capture| capture.name == name).expect(name);
        let lines = run(&["replay", "--records"], &config, &files(capture));
        let named = |record: &Json, list: &str, key: &str, wanted: &str| {
            record[list].as_array().expect(list).iter().any(|line| line[key] == wanted)
        };
        assert!(!lines.is_empty());
        lines.iter().all(|record| named(record, "metrics", "name", "error_rate"))
    };
    assert!(has_error_rate("python/openinference_openai/chat"));
    assert!(!has_error_rate("js/openinference_openai/chat"), "this SDK sends no failed call");
}
