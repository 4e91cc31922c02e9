//! Commands that read a server, its folder or files, and configs that are wrong beside a secret.

use crate::canary::{canary, hits, sow_logs, sow_traces};
use crate::doors::payloads;
use crate::server::armspan;
use prost::Message;
use std::path::Path;
use std::process::{Command, Output};

fn said(words: &[&str], out: &Output) -> Vec<String> {
    let all = [&out.stdout[..], &out.stderr[..]].concat();
    assert!(!all.is_empty(), "{words:?} says nothing");
    let short = &words[..words.len().min(3)];
    hits(&all).into_iter().map(|hit| format!("{short:?}: {hit}")).collect()
}

fn ran(words: &[&str]) -> Vec<String> {
    let out = armspan(words);
    assert!(out.status.code() < Some(13), "{words:?}: {:?}", out.status);
    said(words, &out)
}

/// What is read from a running server.
pub fn of_a_server(folder: &Path, web: u16) -> Vec<String> {
    let url = format!("http://127.0.0.1:{web}");
    let mut found = Vec::new();
    let named = ["--experiment", "support-answer"];
    for command in [
        &["status"][..],
        &["doctor"],
        &["experiments", "list"],
        &["runs", "list"],
        &["arms", "status", "support-answer"],
        &[&["report"], &named[..]].concat(),
        &[&["gate"], &named[..]].concat(),
    ] {
        found.extend(ran(&[command, &["--server", &url]].concat()));
        if command[0] != "report" {
            found.extend(ran(&[command, &["--server", &url, "-o", "json"]].concat()));
        }
    }
    let out = folder.join("backfill").display().to_string();
    found.extend(ran(&["export", "jsonl", "--server", &url, "--dir", &out]));
    found
}

/// What is read from a folder that no server has, and from files.
pub fn of_a_folder(data: &Path) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut files = Vec::new();
    for (at, payload) in payloads().into_iter().enumerate() {
        let (kind, bytes) = match (payload.traces, payload.logs) {
            (Some(mut traces), _) => {
                sow_traces(&mut traces, &payload.name);
                ("traces", traces.encode_to_vec())
            }
            (_, Some(mut logs)) => {
                sow_logs(&mut logs, &payload.name);
                ("logs", logs.encode_to_vec())
            }
            _ => continue,
        };
        let path = folder.path().join(format!("{at}.{kind}.pb"));
        std::fs::write(&path, bytes).expect("written");
        files.push(path.display().to_string());
    }
    let broken = folder.path().join("broken.json");
    let text = format!("{{\"resourceSpans\": \"{}\"}}", canary("a broken file"));
    std::fs::write(&broken, text).expect("written");
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let data = data.display().to_string();
    let mut found = Vec::new();
    for first in [
        &["explain"][..],
        &["explain", "-o", "json"],
        &["doctor"],
        &["replay"],
        &["replay", "--records"],
        &["check", "--dry-run"],
    ] {
        found.extend(ran(&[first, &files].concat()));
    }
    // `explain` shows the response id of a call, to whoever has the file; nothing else does.
    let id = |hit: &String| hit.contains("response.id") || hit.contains("output.value.id)");
    found.retain(|hit| !hit.starts_with("[\"explain\"") || !id(hit));
    for words in [
        &["explain", &broken.display().to_string()][..],
        &["status", "--data", &data],
        &["runs", "list", "--data", &data],
        &["doctor", "--data", &data],
    ] {
        found.extend(ran(words));
    }
    found
}

/// Configs with something wrong in or beside a secret; WORD is the secret.
const WRONG: [&str; 16] = [
    "identity: {hash_key: [WORD]}\n",
    "identity: {hash_key: {WORD: 1}}\n",
    "identity:\n  hash_key: \"WORD\n",
    "identity: {hash_key: WORD, hash_key_id: \"a b\"}\n",
    "identity: {hash_key: WORD, hash_kee: 1}\n",
    "sinks: [{kind: mlflow, url: \"http://h\", password: WORD}]\n",
    "sinks: [{kind: mlflow, url: \"http://a:WORD@h\"}]\n",
    "sinks: [{kind: mlflow, url: \"http://h\", token: WORD, token: WORD}]\n",
    "sinks: [{kind: jsonl, token: WORD}]\n",
    "sinks: [{kind: otlp, endpoint: \"http://h\", headers: [WORD]}]\n",
    "sinks: [{kind: otlp, endpoint: \"http://a:WORD@h\"}]\n",
    "sinks: [{kind: otlp, endpoint: \"http://h\", headers: [\"a b=WORD\"]}]\n",
    "sinks: [{kind: webhook, url: \"nothing\", secret: \"whsec_WORD\"}]\n",
    "sinks: [{kind: parquet, dir: \"s3://b\", secret_key: WORD}]\n",
    "forward: {endpoint: \"http://a:WORD@h\"}\n",
    "forward: {endpoint: \"http://h\", headers: [\"WORD\"]}\n",
];

#[test]
fn a_wrong_config_does_not_print_its_secrets() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("armspan.yaml");
    let name = path.display().to_string();
    let mut found = Vec::new();
    for text in WRONG {
        std::fs::write(&path, text.replace("WORD", &canary(text))).expect("written");
        for command in [
            &["serve", "--config", &name, "--data", "/nonexistent/x"][..],
            &["check", "--config", &name],
        ] {
            let out = Command::new(env!("CARGO_BIN_EXE_armspan")).args(command).output();
            let out = out.expect("armspan runs");
            assert!(!out.status.success(), "{text}");
            found.extend(said(command, &out).into_iter().map(|hit| format!("{text}: {hit}")));
        }
    }
    let good = "identity: {hash_key: WORD}\nsinks: [{kind: webhook, url: \"https://h/services/WORD\", secret: WORD}]\n";
    std::fs::write(&path, good.replace("WORD", &canary("a good config"))).expect("written");
    found.extend(ran(&["check", "--config", &name, "--print-effective"]));
    assert_eq!(found, Vec::<String>::new());
}
