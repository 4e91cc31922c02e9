//! Canaries: words that occur nowhere else, put in the place of every text of a captured payload
//! that is not the name of something, and the search for them in whatever form.

use flate2::read::MultiGzDecoder;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Mutex;

/// All canaries begin with it, so one search finds each of them.
pub const STEM: &str = "qzcanaryx";

static PLACES: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());

/// A new one, which stands for what was at `place`.
pub fn canary(place: &str) -> String {
    let mut places = PLACES.lock().expect("lock");
    let word = format!("{STEM}{:06}", places.len());
    places.insert(word.clone(), place.to_owned());
    word
}

/// Attributes that name something or set it: what armspan shows is made of them. Everything else is
/// content.
const NAMES: [&str; 60] = [
    "service.",
    "telemetry.",
    "vcs.",
    "deployment.",
    "feature_flag.key",
    "feature_flag.provider",
    "feature_flag.result",
    "feature_flag.variant",
    "feature_flag.set",
    "feature_flag.version",
    "gen_ai.operation.name",
    "gen_ai.system",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "gen_ai.response.model",
    "gen_ai.response.finish_reasons",
    "gen_ai.output.type",
    "gen_ai.agent.name",
    "gen_ai.prompt.name",
    "gen_ai.prompt.version",
    "gen_ai.evaluation.name",
    "gen_ai.evaluation.score.label",
    "gen_ai.request.type",
    "gen_ai.token.type",
    "error.type",
    "exception.type",
    "openinference.span.kind",
    "llm.model_name",
    "llm.provider",
    "llm.system",
    "llm.request.type",
    "llm.invocation_parameters",
    "embedding.model_name",
    "traceloop.span.kind",
    "traceloop.workflow.name",
    "traceloop.entity.name",
    "langfuse.observation.type",
    "langfuse.observation.level",
    "langfuse.observation.model",
    "langfuse.observation.prompt",
    "langfuse.environment",
    "langfuse.release",
    "langfuse.version",
    "ai.model",
    "ai.operationId",
    "operation.name",
    "ai.response.finishReason",
    "armspan.",
    "event.name",
    "agent.name",
    "ai.telemetry.functionId",
    "ai.telemetry.metadata.promptVersion",
    "ai.settings.context.promptVersion",
    "gen_ai.request.stop_sequences",
    "gen_ai.openai.response.system_fingerprint",
    "openai.response.system_fingerprint",
    "langfuse.trace.metadata.experiment",
    "langfuse.trace.metadata.arm",
    "llm.prompt_template.version",
    "traceloop.prompt.key",
];
/// Of those, what is nobody's business.
const PRIVATE: [&str; 4] =
    ["gen_ai.system_instructions", "armspan.unit.id", "armspan.prompt.hash", "service.instance.id"];
/// Members of JSON texts that say how to read the others.
const SHAPE: [&str; 9] =
    ["role", "type", "finish_reason", "finishReason", "state", "model", "kind", "status", "label"];

fn is_name(key: &str) -> bool {
    !PRIVATE.iter().any(|prefix| key.starts_with(prefix))
        && (NAMES.iter().any(|prefix| key.starts_with(prefix))
            || key.ends_with("evaluation.name")
            || key.ends_with("evaluation.label")
            || key.ends_with("annotator_kind")
            || key.ends_with("model_name")
            || key.ends_with("annotation.name"))
}

/// Replaces every text of the spans.
pub fn sow_traces(request: &mut ExportTraceServiceRequest, place: &str) {
    for resource in &mut request.resource_spans {
        let attributes = resource.resource.iter_mut().flat_map(|r| &mut r.attributes);
        attributes.for_each(|pair| sow(pair, place));
        for span in resource.scope_spans.iter_mut().flat_map(|scope| &mut scope.spans) {
            span.attributes.iter_mut().for_each(|pair| sow(pair, place));
            span.trace_state = format!("vendor={}", canary(&format!("{place} trace state")));
            for event in &mut span.events {
                event.attributes.iter_mut().for_each(|pair| sow(pair, place));
            }
            for link in &mut span.links {
                link.attributes.iter_mut().for_each(|pair| sow(pair, place));
            }
            if let Some(status) = &mut span.status {
                let number: String = status.message.chars().filter(char::is_ascii_digit).collect();
                let word = canary(&format!("{place} status message"));
                status.message = format!("Error code: {number} - {word}");
            }
        }
    }
}

/// Replaces every text of the log records.
pub fn sow_logs(request: &mut ExportLogsServiceRequest, place: &str) {
    for resource in &mut request.resource_logs {
        let attributes = resource.resource.iter_mut().flat_map(|r| &mut r.attributes);
        attributes.for_each(|pair| sow(pair, place));
        for record in resource.scope_logs.iter_mut().flat_map(|scope| &mut scope.log_records) {
            record.attributes.iter_mut().for_each(|pair| sow(pair, place));
            let body = record.body.get_or_insert_default();
            let value = body.value.get_or_insert(Value::StringValue("a body".into()));
            sow_value("body", value, place);
        }
    }
}

fn sow(pair: &mut KeyValue, place: &str) {
    if is_name(&pair.key) {
        return;
    }
    if let Some(AnyValue { value: Some(value) }) = &mut pair.value {
        sow_value(&pair.key, value, place);
    }
}

fn sow_value(key: &str, value: &mut Value, place: &str) {
    let at = format!("{place} {key}");
    match value {
        Value::StringValue(text) => *text = sown(text, key, &at),
        Value::BytesValue(bytes) => *bytes = canary(&at).into_bytes(),
        Value::ArrayValue(list) => {
            let values = list.values.iter_mut().filter_map(|item| item.value.as_mut());
            values.for_each(|item| sow_value(key, item, place));
        }
        Value::KvlistValue(map) => {
            for pair in map.values.iter_mut().filter(|pair| !SHAPE.contains(&&pair.key[..])) {
                if let Some(AnyValue { value: Some(value) }) = &mut pair.value {
                    sow_value(&pair.key, value, place);
                }
            }
        }
        _ => {}
    }
}

fn sown(text: &str, key: &str, at: &str) -> String {
    // Evaluators of Phoenix write their metric's name into their output.
    let metric = key == "name" && at.contains("evaluations/phoenix");
    if metric || SHAPE.contains(&key) || text.parse::<f64>().is_ok() || text.is_empty() {
        return text.to_owned();
    }
    match serde_json::from_str::<Json>(text) {
        Ok(mut json) if json.is_object() || json.is_array() => {
            sow_json("", &mut json, at);
            json.to_string()
        }
        _ => format!("say {} please", canary(at)),
    }
}

fn sow_json(key: &str, json: &mut Json, at: &str) {
    match json {
        Json::String(text) => *text = sown(text, key, at),
        Json::Array(list) => list.iter_mut().for_each(|item| sow_json(key, item, at)),
        Json::Object(map) => {
            map.iter_mut().for_each(|(key, item)| sow_json(key, item, &format!("{at}.{key}")))
        }
        _ => {}
    }
}

/// What was found, and where its canary came from; base64 and hexadecimal are looked through.
pub fn hits(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let places = PLACES.lock().expect("lock");
    let mut out = Vec::new();
    for at in find(&text, STEM) {
        let word: String = text[at..].chars().take(STEM.len() + 6).collect();
        let place = places.get(&word).map_or("cut", |place| place);
        let before: String = text[..at].chars().rev().take(40).collect();
        let before: String = before.chars().rev().collect();
        out.push(format!("{word} ({place}): after {:?}", before));
    }
    for form in forms() {
        let others = find(&text, &form);
        out.extend(others.map(|at| format!("a canary in another form, at byte {at}")));
    }
    out
}

/// By its first character, which the standard library looks for fast even in a debug build.
fn find<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let first = word.chars().next().expect("a word");
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let at = from + text[from..].find(first)?;
            from = at + 1;
            if text[at..].starts_with(word) {
                return Some(at);
            }
        }
    })
}

/// The same in what is compressed somewhere in these bytes.
pub fn hidden_hits(bytes: &[u8]) -> Vec<String> {
    const MOST: u64 = 64 << 20;
    let mut out = hits(bytes);
    for at in 0..bytes.len() {
        let (rest, mut inflated) = (&bytes[at..], Vec::new());
        // What is no such stream ends early; what came until then is searched.
        if rest.starts_with(&[0x28, 0xB5, 0x2F, 0xFD]) {
            let decoder = zstd::stream::read::Decoder::new(rest).expect("memory").single_frame();
            let _ = decoder.take(MOST).read_to_end(&mut inflated);
        } else if rest.starts_with(&[0x1F, 0x8B, 8]) {
            let _ = MultiGzDecoder::new(rest).take(MOST).read_to_end(&mut inflated);
        }
        out.extend(hits(&inflated));
    }
    out
}

/// The stem in base64, at each of its three places, and in hexadecimal.
fn forms() -> Vec<String> {
    use base64::Engine;
    let engine = base64::engine::general_purpose::STANDARD_NO_PAD;
    let mut forms: Vec<String> = (0..3)
        .map(|shift| {
            let text = engine.encode([&b"\0\0\0"[..shift], STEM.as_bytes()].concat());
            // The first and last characters depend on what stands beside it.
            text[[0, 2, 3][shift]..text.len() - 1].to_owned()
        })
        .collect();
    forms.push(STEM.bytes().map(|byte| format!("{byte:02x}")).collect());
    forms
}

/// Hits in every file under a folder.
pub fn folder_hits(folder: &Path) -> Vec<String> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            out.extend(folder_hits(&path));
        } else if let Ok(bytes) = std::fs::read(&path) {
            let named = |hit| format!("{}: {hit}", path.display());
            let packed = path.extension().is_some_and(|kind| kind == "parquet" || kind == "gz");
            let found = if packed { hidden_hits(&bytes) } else { hits(&bytes) };
            out.extend(found.into_iter().map(named));
        }
    }
    out
}

#[test]
fn canaries_are_found_in_every_form() {
    use base64::Engine;
    use std::io::Write;
    let word = canary("here");
    assert!(hits(word.as_bytes())[0].contains("(here)"));
    for before in ["", "a", "ab", "abc"] {
        let text = format!("{before}{word} and more");
        let engine = base64::engine::general_purpose::STANDARD;
        assert!(!hits(engine.encode(&text).as_bytes()).is_empty(), "{before}");
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(!hits(hex.as_bytes()).is_empty());
        let mut gzip = flate2::write::GzEncoder::new(b"head".to_vec(), Default::default());
        gzip.write_all(text.as_bytes()).expect("memory");
        assert!(!hidden_hits(&gzip.finish().expect("memory")).is_empty());
        let zstd = zstd::encode_all(text.as_bytes(), 3).expect("memory");
        assert!(!hidden_hits(&[b"head", &zstd[..], b"tail"].concat()).is_empty());
    }
    assert!(hits(b"nothing of the kind").is_empty());
}
