//! OTLP/JSON to OTLP protobuf: the same walk then reads both. Pure; text in, bytes out.
//!
//! As the specification says: lowerCamelCase names, ids in hexadecimal of any case, 64-bit
//! integers as strings or numbers, enums as integers (their names are taken too), other bytes
//! as base64, unknown fields ignored. An id that is no hexadecimal becomes an empty one, so that
//! only its own span is refused. Depth is bounded, nothing panics, no text is in an error.

mod lexer;
mod schema;
mod transcode;

/// Text that is no OTLP/JSON.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the JSON cannot be read at line {line}, column {column}: {what}")]
pub struct JsonError {
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, from 1.
    pub column: usize,
    /// What was wrong.
    pub what: &'static str,
}

/// An `ExportTraceServiceRequest` (or a `TracesData`) as protobuf.
pub fn traces(text: &[u8]) -> Result<Vec<u8>, JsonError> {
    transcode::message(text, &schema::TRACES)
}

/// An `ExportLogsServiceRequest` (or a `LogsData`) as protobuf.
pub fn logs(text: &[u8]) -> Result<Vec<u8>, JsonError> {
    transcode::message(text, &schema::LOGS)
}

/// An `ExportMetricsServiceRequest` as protobuf, with data points that are empty: they are only
/// counted.
pub fn metrics(text: &[u8]) -> Result<Vec<u8>, JsonError> {
    transcode::message(text, &schema::METRICS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use proptest::prelude::*;
    use prost::Message;
    use std::path::{Path, PathBuf};

    fn decoded(text: &str) -> ExportTraceServiceRequest {
        let bytes = traces(text.as_bytes()).expect("OTLP/JSON");
        ExportTraceServiceRequest::decode(&bytes[..]).expect("protobuf")
    }

    fn span(fields: &str) -> opentelemetry_proto::tonic::trace::v1::Span {
        let text =
            format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{fields}}}]}}]}}]}}"#);
        decoded(&text).resource_spans[0].scope_spans[0].spans[0].clone()
    }

    fn value(json: &str) -> Option<Value> {
        let span = span(&format!(r#""attributes":[{{"key":"k","value":{json}}}]"#));
        span.attributes[0].value.clone().and_then(|value| value.value)
    }

    fn corpus(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("folder") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                corpus(&path, found);
            } else if path.to_string_lossy().ends_with(".otlp.json") {
                found.push(path);
            }
        }
    }

    #[test]
    fn the_corpus_reads_as_the_official_types_read_it() {
        let mut files = Vec::new();
        corpus(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus"), &mut files);
        assert!(files.len() >= 3, "{files:?}");
        for file in files {
            let text = std::fs::read_to_string(&file).expect("corpus");
            let theirs: ExportTraceServiceRequest = serde_json::from_str(&text).expect("theirs");
            assert!(!theirs.resource_spans.is_empty());
            assert_eq!(decoded(&text), theirs, "{}", file.display());
        }
    }

    #[test]
    fn ids_are_hexadecimal_of_any_case_and_bad_ones_are_empty() {
        let read =
            span(r#""traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"eee19b7ec3c1b174""#);
        assert_eq!(read.trace_id[..3], [0x5B, 0x8E, 0xFF]);
        assert_eq!(read.span_id, [0xee, 0xe1, 0x9b, 0x7e, 0xc3, 0xc1, 0xb1, 0x74]);
        assert_eq!(span(r#""traceId":"nothex","spanId":"abc""#).trace_id, b"");
    }

    #[test]
    fn numbers_are_numbers_or_strings() {
        let read = span(
            r#""startTimeUnixNano":"18446744073709551615","endTimeUnixNano":7,"kind":"SPAN_KIND_CLIENT","flags":1e2"#,
        );
        assert_eq!((read.start_time_unix_nano, read.end_time_unix_nano), (u64::MAX, 7));
        assert_eq!((read.kind, read.flags), (3, 100));
        assert_eq!(
            value(r#"{"intValue":"-9223372036854775808"}"#),
            Some(Value::IntValue(i64::MIN))
        );
        assert_eq!(value(r#"{"intValue":42}"#), Some(Value::IntValue(42)));
        assert_eq!(value(r#"{"doubleValue":"Infinity"}"#), Some(Value::DoubleValue(f64::INFINITY)));
        assert_eq!(value(r#"{"doubleValue":-1.5e-3}"#), Some(Value::DoubleValue(-0.0015)));
        assert_eq!(value(r#"{"bytesValue":"aGk="}"#), Some(Value::BytesValue(b"hi".to_vec())));
        assert_eq!(value(r#"{"boolValue":false}"#), Some(Value::BoolValue(false)));
        assert_eq!(value("null"), None);
    }

    #[test]
    fn unknown_fields_and_escapes() {
        let read = span(
            r#""name":"a\u00e9\ud83d\ude00\n\"\ud800x","other":{"deep":[[1,{"x":null}],"]"]},"trace_state":"ignored""#,
        );
        assert_eq!(read.name, "aé😀\n\"\u{FFFD}x");
        assert_eq!(read.trace_state, "");
    }

    #[test]
    fn log_records_are_read() {
        let text = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"5","body":{"stringValue":"b"},
            "traceId":"5B8EFFF798038103D269B633813FC60C","eventName":"e","severityNumber":9}]}]}]}"#;
        let bytes = logs(text.as_bytes()).expect("OTLP/JSON");
        let read = ExportLogsServiceRequest::decode(&bytes[..]).expect("protobuf");
        let theirs: ExportLogsServiceRequest = serde_json::from_str(text).expect("theirs");
        assert_eq!(read, theirs);
    }

    #[test]
    fn errors_name_line_and_column_and_no_content() {
        let error = traces(b"{\"resourceSpans\":[\n  {\"scopeSpans\": secret}]}").expect_err("bad");
        assert_eq!((error.line, error.column), (2, 18));
        assert!(!error.to_string().contains("secret"), "{error}");
        for bad in ["", "[]", "{", "{}x", r#"{"resourceSpans":{}}"#, r#"{"resourceSpans":["#] {
            assert!(traces(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(traces(b" {} "), Ok(Vec::new()));
    }

    #[test]
    fn depth_is_bounded() {
        let nest = |depth: usize| {
            let open = r#"{"arrayValue":{"values":["#.repeat(depth);
            let close = "]}}".repeat(depth);
            let text = format!(
                r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"k","value":{open}{close}}}]}}}}]}}"#
            );
            traces(text.as_bytes())
        };
        assert!(nest(30).is_ok());
        assert_eq!(nest(40).expect_err("too deep").what, "nested too deeply");
        let bomb = [r#"{"x":"#, &"[".repeat(1_000_000)].concat();
        assert_eq!(traces(bomb.as_bytes()).expect_err("too deep").what, "nested too deeply");
    }

    proptest! {
        #[test]
        fn nothing_panics(text in prop_oneof![
            any::<Vec<u8>>(),
            r#"[{}\[\]:,"a-z0-9\\ .e+-]{0,60}"#.prop_map(String::into_bytes),
            r#"\{"resourceSpans":\[\{"resource":\{"attributes":\[[{}\[\]:,"a-z0-9\\]{0,40}"#.prop_map(String::into_bytes),
        ]) {
            if let Ok(bytes) = traces(&text) {
                prop_assert!(ExportTraceServiceRequest::decode(&bytes[..]).is_ok() || std::str::from_utf8(&text).is_err());
            }
        }
    }
}
