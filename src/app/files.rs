//! OTLP files: protobuf or JSON, one request a file or JSON lines as the Collector's file
//! exporter writes them. Traces and logs are told apart by their name or by their first bytes.

use crate::otlp::json;
use anyhow::{Context as _, Result, bail};
use std::path::Path;

/// Largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// What a request carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// `ExportTraceServiceRequest`.
    Traces,
    /// `ExportLogsServiceRequest`.
    Logs,
    /// `ExportMetricsServiceRequest`: not used.
    Metrics,
}

/// One request as protobuf.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payload {
    /// What it carries.
    pub signal: Signal,
    /// Protobuf bytes.
    pub bytes: Vec<u8>,
}

/// Reads all requests of a file.
pub fn read(path: &Path) -> Result<Vec<Payload>> {
    let length = std::fs::metadata(path).map(|meta| meta.len());
    if length.with_context(|| format!("cannot read {}", path.display()))? > FILE_BYTES_MAX {
        bail!("{} is larger than 1 GiB; split it by lines or requests", path.display());
    }
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let hint = name.as_deref().and_then(signal_of_name);
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    let read = if first == Some(&b'{') { read_json(&bytes) } else { read_protobuf(bytes, hint) };
    read.with_context(|| format!("in {}", path.display()))
}

fn signal_of_name(name: &str) -> Option<Signal> {
    [("trace", Signal::Traces), ("log", Signal::Logs), ("metric", Signal::Metrics)]
        .into_iter()
        .find(|(word, _)| name.split('.').any(|part| part.trim_end_matches('s') == *word))
        .map(|pair| pair.1)
}

/// One document, or one a line.
fn read_json(text: &[u8]) -> Result<Vec<Payload>> {
    if let Ok(one) = document(text) {
        return Ok(vec![one]);
    }
    let lines = text.split(|byte| *byte == b'\n').enumerate();
    let full = lines.filter(|(_, line)| !line.iter().all(u8::is_ascii_whitespace));
    let read: Result<Vec<Payload>> =
        full.map(|(at, line)| document(line).with_context(|| format!("line {}", at + 1))).collect();
    // When it is one broken document, the error of the whole is the better one.
    read.or_else(|error| {
        if text.contains(&b'\n') { document(text).map(|one| vec![one]) } else { Err(error) }
    })
}

fn document(text: &[u8]) -> Result<Payload> {
    let has = |key: &str| text.windows(key.len()).any(|part| part == key.as_bytes());
    let (signal, bytes) = if has("\"resourceSpans\"") {
        (Signal::Traces, json::traces(text)?)
    } else if has("\"resourceLogs\"") {
        (Signal::Logs, json::logs(text)?)
    } else if has("\"resourceMetrics\"") {
        (Signal::Metrics, Vec::new())
    } else {
        bail!("no resourceSpans, resourceLogs or resourceMetrics: this is no OTLP/JSON")
    };
    Ok(Payload { signal, bytes })
}

fn read_protobuf(bytes: Vec<u8>, hint: Option<Signal>) -> Result<Vec<Payload>> {
    let signal = hint.or_else(|| guess(&bytes)).unwrap_or(Signal::Traces);
    Ok(vec![Payload { signal, bytes }])
}

/// All requests nest resource → scope → item in fields 1, 2, 2. A span begins with its trace id
/// (field 1, 16 bytes) and its span id (field 2, 8 bytes), a metric with its name (field 1); a log
/// record has no length-delimited field 1.
fn guess(bytes: &[u8]) -> Option<Signal> {
    let resource = field(bytes, 1)?;
    let scope = field(resource, 2)?;
    let item = field(scope, 2)?;
    let has_ids = item.get(1) == Some(&16) && item.get(18..20) == Some(&[0x12, 8]);
    Some(match item.first()? {
        0x0a if has_ids => Signal::Traces,
        0x0a => Signal::Metrics,
        _ => Signal::Logs,
    })
}

/// The first length-delimited field of this number.
fn field(mut bytes: &[u8], wanted: u64) -> Option<&[u8]> {
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let length = match tag & 7 {
            0 => {
                varint(&mut bytes)?;
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut bytes)?).ok()?,
            5 => 4,
            _ => return None,
        };
        let (part, rest) = bytes.split_at_checked(length)?;
        if tag == wanted << 3 | 2 {
            return Some(part);
        }
        bytes = rest;
    }
    None
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 127) << shift;
        if *first < 128 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus(name: &str) -> Vec<u8> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
        std::fs::read(path).expect("corpus")
    }

    #[test]
    fn protobuf_is_told_apart_without_a_name() {
        assert_eq!(
            guess(&corpus("python/openai_v2/v130_chat_default.traces.pb")),
            Some(Signal::Traces)
        );
        assert_eq!(
            guess(&corpus("python/openai_v2/v130_chat_default.logs.pb")),
            Some(Signal::Logs)
        );
        assert_eq!(guess(b"\xff\xff\xff"), None);
    }

    #[test]
    fn names_say_what_is_inside() {
        assert_eq!(signal_of_name("chat.traces.pb"), Some(Signal::Traces));
        assert_eq!(signal_of_name("x.logs.2.pb"), Some(Signal::Logs));
        assert_eq!(signal_of_name("catalogue.pb"), None);
    }

    #[test]
    fn json_lines_are_several_requests() {
        let line = r#"{"resourceSpans":[]}"#;
        let text = format!("{line}\n\n{line}\n");
        assert_eq!(read_json(text.as_bytes()).expect("lines").len(), 2);
        let error = read_json(b"{\"resourceSpans\":[\n").expect_err("broken");
        assert!(!error.to_string().is_empty());
    }
}
