//! The captured payloads and the facts beside them, in one neutral shape, and the comparison of
//! these facts with whatever read the payloads: the normaliser, the engine, the running server.
//! What an emitter leaves out is listed in [`LEFT_OUT`], row by row with its reason; nothing else
//! is excused.

mod left_out;

pub use left_out::{ERROR_CLASSES, LEFT_OUT, Reads, When};
use left_out::{Reads::*, When::*};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One capture: request bodies that belong together, and the calls that a correct reader finds.
pub struct Capture {
    /// Such as `python/openai_v2/latest_chat_span_and_event`.
    pub name: String,
    /// `ExportTraceServiceRequest`s: protobuf, or OTLP/JSON (`.json`).
    pub traces: Vec<PathBuf>,
    /// `ExportLogsServiceRequest`s.
    pub logs: Vec<PathBuf>,
    /// The calls, in the order in which they were made.
    pub calls: Vec<Fact>,
}

/// A call as the provider answered it.
#[derive(Clone, Debug, Default)]
pub struct Fact {
    /// Trace and span, where the facts know them (hex).
    pub place: Option<(String, String)>,
    /// Whether it is an embeddings call.
    pub embeddings: bool,
    /// Whether it was streamed.
    pub streaming: bool,
    /// Through the Responses API.
    pub responses_api: bool,
    /// Attributes that the span has, where the facts list them.
    pub reported: Vec<String>,
    /// Field → value, as text; absent is not there.
    pub values: BTreeMap<&'static str, String>,
}

/// A call as it was read. Hashes are those of the reader.
#[derive(Clone, Debug, Default)]
pub struct SeenCall {
    /// Trace id, hex.
    pub trace: String,
    /// Span id, hex.
    pub span: String,
    /// When it ended, nanoseconds.
    pub end: u64,
    /// Field → value, as text: `requested`, `revision`, `input`, `output`, `cached`, `reasoning`,
    /// `finish`, `error`, `response`, `experiment`, `arm`, `user`, `session`.
    pub values: BTreeMap<&'static str, String>,
}

/// How a reader hashes what it does not keep.
pub struct Hashes<'h> {
    /// Users and sessions.
    pub unit: &'h dyn Fn(&str) -> String,
    /// Response ids.
    pub response: &'h dyn Fn(&str) -> String,
}

/// All captures of a folder that holds `python`, `js` and `go`.
pub fn captures(root: &Path) -> Vec<Capture> {
    let mut all = Vec::new();
    for language in ["go", "js", "python"] {
        for folder in sorted(&root.join(language)).into_iter().filter(|path| path.is_dir()) {
            let files = sorted(&folder);
            let name = format!("{language}/{}", file_name(&folder));
            if let Some(expected) = files.iter().find(|path| file_name(path) == "expected.json") {
                all.extend(expected_captures(&name, &folder, &json(expected)));
            }
            for facts in files.iter().filter(|path| file_name(path).ends_with(".facts.json")) {
                let stem = file_name(facts).replace(".facts.json", "");
                all.push(facts_capture(&name, &stem, &files, &json(facts)));
            }
        }
    }
    all
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder of the corpus");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

fn file_name(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}

fn json(path: &Path) -> Json {
    let text = std::fs::read_to_string(path).expect("a readable file");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Python: `NAME.facts.json` beside `NAME.traces.pb`, `NAME.traces.2.pb`, `NAME.logs.pb`.
fn facts_capture(folder: &str, stem: &str, files: &[PathBuf], facts: &Json) -> Capture {
    let bodies = |kind: &str| {
        let prefix = format!("{stem}.{kind}.");
        let wanted = |path: &&PathBuf| {
            let name = file_name(path);
            name.starts_with(&prefix) && name.ends_with(".pb")
        };
        files.iter().filter(wanted).cloned().collect()
    };
    let production = facts["llm_calls"].as_u64() != Some(0);
    let calls = facts["calls"].as_array().expect("calls").iter().filter(|_| production);
    Capture {
        name: format!("{folder}/{stem}"),
        traces: bodies("traces"),
        logs: bodies("logs"),
        calls: calls.map(python_fact).collect(),
    }
}

fn python_fact(call: &Json) -> Fact {
    let mut fact = Fact {
        embeddings: call["operation"] == "embeddings",
        streaming: call["streaming"] == true,
        responses_api: call["api"] == "responses",
        ..Fact::default()
    };
    for (field, key) in [
        ("requested", "model_requested"),
        ("revision", "model_revision"),
        ("response", "response_id"),
        ("finish", "finish_reason"),
        ("input", "input_tokens"),
        ("output", "output_tokens"),
        ("cached", "cached_tokens"),
        ("reasoning", "reasoning_tokens"),
        ("experiment", "experiment"),
        ("arm", "arm"),
        ("user", "user"),
        ("session", "session"),
    ] {
        fact.put(field, &call[key]);
    }
    if call["http_status"].as_u64().is_some_and(|status| status >= 400) {
        fact.put("error", &call["http_status"]);
    }
    if call["api"] == "messages" {
        // This provider counts cached and cache-written tokens beside the input; we, and all
        // emitters in the corpus, count them as part of it.
        let parts = ["input_tokens", "cached_tokens", "cache_write_tokens"];
        let input: u64 = parts.iter().filter_map(|part| call[part].as_u64()).sum();
        if call["input_tokens"].is_u64() {
            fact.values.insert("input", input.to_string());
        }
    }
    fact
}

/// JavaScript and Go: one `expected.json` a folder.
fn expected_captures(folder: &str, path: &Path, expected: &Json) -> Vec<Capture> {
    let captures = expected.as_object().expect("captures").iter();
    captures.map(|(stem, capture)| expected_capture(folder, stem, path, capture)).collect()
}

fn expected_capture(folder: &str, stem: &str, path: &Path, capture: &Json) -> Capture {
    let files: Vec<String> = capture["files"]
        .as_array()
        .expect("files")
        .iter()
        .map(|name| name.as_str().expect("name").to_owned())
        .collect();
    let bodies = |kind: &str| {
        let wanted = files.iter().filter(|name| name.contains(kind));
        wanted.map(|name| path.join(name)).collect()
    };
    let all = capture["calls"].as_array().expect("calls");
    let first_trace = all.iter().find_map(|call| call["trace_id"].as_str());
    let sent = all.iter().filter(|call| call["in_payload"] == true);
    Capture {
        name: format!("{folder}/{stem}"),
        traces: bodies(".traces."),
        logs: bodies(".logs."),
        calls: sent.map(|call| js_fact(call, call["trace_id"].as_str() == first_trace)).collect(),
    }
}

fn js_fact(call: &Json, first: bool) -> Fact {
    let api = call["api"].as_str().unwrap_or_default();
    let mut fact = Fact {
        place: Some((
            call["trace_id"].as_str().expect("trace id").to_owned(),
            call["span_id"].as_str().expect("span id").to_owned(),
        )),
        embeddings: api == "embeddings",
        streaming: call["stream"] == true,
        responses_api: api == "responses",
        reported: call["reported"]
            .as_object()
            .into_iter()
            .flat_map(|keys| keys.keys().cloned())
            .collect(),
        ..Fact::default()
    };
    if call["made_by_hand"] == true {
        by_hand(&mut fact, &call["reported"]);
    }
    for (field, key) in [
        ("requested", "model_requested"),
        ("revision", "model_revision"),
        ("response", "response_id"),
        ("finish", "finish_reason"),
        ("input", "tokens_in"),
        ("output", "tokens_out"),
        ("cached", "tokens_cached"),
        ("reasoning", "tokens_reasoning"),
    ] {
        fact.put(field, &call[key]);
    }
    responses_finish(&mut fact, call);
    if let Some(error) = call["error"].as_str() {
        let status = error.split_whitespace().nth(1).unwrap_or(error);
        fact.values.insert("error", status.to_owned());
    }
    let (user, session, arm) = if first {
        ("user-a", "session-1", "control")
    } else {
        ("user-b", "session-2", "treatment")
    };
    let or = |key: &str, otherwise: &str| call[key].as_str().unwrap_or(otherwise).to_owned();
    fact.values.insert("user", or("user", user));
    fact.values.insert("session", or("session", session));
    fact.values.insert("arm", or("variant", arm));
    fact.values.insert("experiment", "answer-prompt".to_owned());
    fact
}

/// The Responses API has a status in place of a finish reason.
fn responses_finish(fact: &mut Fact, call: &Json) {
    let Some(status) = call["status"].as_str() else { return };
    let finish = match (call["tool_call"].as_str(), status) {
        _ if call["incomplete_reason"] == "max_output_tokens" => "length",
        _ if call["incomplete_reason"] == "content_filter" => "content_filter",
        (Some(_), _) => "tool_calls",
        (None, _) if call["tool_call"] == true => "tool_calls",
        (None, "completed") => "stop",
        (None, other) => other,
    };
    fact.values.insert("finish", finish.to_owned());
}

/// Of spans that were made by hand only what they report is known.
fn by_hand(fact: &mut Fact, reported: &Json) {
    for (field, key) in [
        ("requested", "gen_ai.request.model"),
        ("revision", "gen_ai.response.model"),
        ("input", "gen_ai.usage.input_tokens"),
        ("output", "gen_ai.usage.output_tokens"),
        ("error", "error.type"),
        ("requested", "langfuse.observation.model.name"),
        ("finish", "gen_ai.completion.0.finish_reason"),
    ] {
        fact.put(field, &reported[key]);
    }
    fact.put("finish", &reported["gen_ai.response.finish_reasons"][0]);
    if let Some(usage) = reported["langfuse.observation.usage_details"].as_str() {
        let usage: Json = serde_json::from_str(usage).expect("usage");
        fact.put("input", &usage["input"]);
        fact.put("output", &usage["output"]);
        fact.put("cached", &usage["cache_read_input_tokens"]);
    }
    if reported["langfuse.observation.level"] == "ERROR" {
        fact.values.insert("error", "other".to_owned());
    }
}

impl Fact {
    fn put(&mut self, field: &'static str, value: &Json) {
        let text = match value {
            Json::String(text) => text.clone(),
            Json::Number(number) => number.to_string(),
            _ => return,
        };
        self.values.insert(field, text);
    }

    fn is(&self, when: When, field: &str) -> bool {
        let value = |field: &str| self.values.get(field).map(String::as_str);
        match when {
            Always => true,
            Zero => value(field) == Some("0"),
            Streamed => self.streaming,
            Embeddings => self.embeddings,
            Responses => self.responses_api,
            NotFailed => !self.values.contains_key("error"),
            CutStream => self.streaming && value("finish") == Some("length"),
            Reports(key) => self.reported.iter().any(|reported| reported == key),
            ToolCalls => value("finish") == Some("tool_calls"),
        }
    }

    /// What a correct reader of this capture finds in a field.
    fn expected(
        &self,
        capture: &str,
        field: &'static str,
        hashes: &Hashes<'_>,
        read: Option<&String>,
    ) -> Option<String> {
        let row = LEFT_OUT.iter().find(|row| {
            capture.starts_with(row.0) && row.1.contains(&field) && self.is(row.2, field)
        });
        let value = match row.map(|row| row.3) {
            None => self.values.get(field).cloned(),
            Some(Nothing) => None,
            Some(This(value)) => Some(value.to_owned()),
            Some(Anything) => {
                return read.cloned().filter(|read| Some(read) != self.values.get(field));
            }
        }?;
        Some(match field {
            "user" | "session" => (hashes.unit)(&value),
            "response" => (hashes.response)(&value),
            "finish" => folded(&value).to_owned(),
            "error" if value == "429" => {
                let row = ERROR_CLASSES.iter().find(|row| capture.starts_with(row.0));
                row.map_or("429", |row| row.1).to_owned()
            }
            _ => value,
        })
    }
}

fn folded(reason: &str) -> &str {
    match reason {
        "tool_use" | "tool_call" => "tool_calls",
        "end_turn" | "completed" => "stop",
        "max_tokens" => "length",
        other => other,
    }
}

const FIELDS: [&str; 13] = [
    "requested",
    "revision",
    "input",
    "output",
    "cached",
    "reasoning",
    "finish",
    "error",
    "response",
    "experiment",
    "arm",
    "user",
    "session",
];

/// Every difference between the facts and what was seen, a line each.
pub fn differences(capture: &Capture, seen: &[SeenCall], hashes: &Hashes<'_>) -> Vec<String> {
    let mut all = Vec::new();
    if capture.calls.len() != seen.len() {
        all.push(format!("{}: {} calls, seen {}", capture.name, capture.calls.len(), seen.len()));
        return all;
    }
    let mut in_order: Vec<&SeenCall> = seen.iter().collect();
    in_order.sort_by_key(|call| call.end);
    for (at, fact) in capture.calls.iter().enumerate() {
        let call = match &fact.place {
            None => in_order[at],
            Some((trace, span)) => match seen
                .iter()
                .find(|call| call.trace == *trace && call.span == *span)
            {
                Some(call) => call,
                None => {
                    all.push(format!("{}: call {at} ({trace}/{span}) was not seen", capture.name));
                    continue;
                }
            },
        };
        for field in FIELDS {
            let mut expected = fact.expected(&capture.name, field, hashes, call.values.get(field));
            if field == "revision" && expected.as_ref() == call.values.get("requested") {
                expected = None;
            }
            if expected.as_ref() != call.values.get(field) {
                let read = call.values.get(field);
                all.push(format!(
                    "{} call {at} {field}: fact {expected:?}, read {read:?}",
                    capture.name
                ));
            }
        }
    }
    all
}

/// Rows of [`LEFT_OUT`] that excuse nothing: a row must be about a fact that is there, or stand
/// for a value that the facts do not have.
pub fn unused_exceptions(captures: &[Capture]) -> Vec<String> {
    let used = |row: &(&str, &[&'static str], When, Reads, &str), field: &'static str| {
        captures.iter().filter(|capture| capture.name.starts_with(row.0)).any(|capture| {
            capture.calls.iter().any(|fact| {
                fact.is(row.2, field) && (fact.values.contains_key(field) || row.3 != Nothing)
            })
        })
    };
    let mut unused = Vec::new();
    for row in LEFT_OUT {
        unused.extend(
            row.1
                .iter()
                .filter(|field| !used(row, field))
                .map(|field| format!("{} {field}", row.0)),
        );
    }
    unused
}
