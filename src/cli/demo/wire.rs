//! Small builders of OTLP messages.

use crate::model::Nanos;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

const COMMIT: &str = "9f3c2d1e8b7a6f5e4d3c2b1a0f9e8d7c6b5a4f3e";

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// A text attribute.
pub fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

/// A list of texts.
pub fn texts(key: &str, values: &[&str]) -> KeyValue {
    let value = |text: &&str| AnyValue { value: Some(Value::StringValue((*text).into())) };
    attribute(key, Value::ArrayValue(ArrayValue { values: values.iter().map(value).collect() }))
}

/// An integer attribute.
pub fn int(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

/// A floating point attribute.
pub fn double(key: &str, value: f64) -> KeyValue {
    attribute(key, Value::DoubleValue(value))
}

fn resource(service: &str) -> Resource {
    let attributes = vec![
        text("service.name", service),
        text("service.version", "1.4.2"),
        text("vcs.ref.head.revision", COMMIT),
        text("deployment.environment.name", "demo"),
    ];
    Resource { attributes, ..Resource::default() }
}

fn scope(name: &str) -> InstrumentationScope {
    InstrumentationScope { name: name.into(), version: "1".into(), ..Default::default() }
}

/// Spans of one service; none when there are no spans.
pub fn resource_spans(service: &str, spans: Vec<Span>) -> Option<ResourceSpans> {
    if spans.is_empty() {
        return None;
    }
    let scope = Some(scope("armspan.demo"));
    let scope_spans = vec![ScopeSpans { scope, spans, ..ScopeSpans::default() }];
    Some(ResourceSpans { resource: Some(resource(service)), scope_spans, ..Default::default() })
}

/// Log records of one service.
pub fn log_request(service: &str, log_records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    if log_records.is_empty() {
        return ExportLogsServiceRequest::default();
    }
    let scope = Some(scope("armspan.demo.judge"));
    let scope_logs = vec![ScopeLogs { scope, log_records, ..ScopeLogs::default() }];
    let resource = Some(resource(service));
    let resource_logs = vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }];
    ExportLogsServiceRequest { resource_logs }
}

/// A judge's score of a call.
pub fn score(trace: &[u8], span: &[u8], at: Nanos, passed: bool) -> LogRecord {
    LogRecord {
        time_unix_nano: at,
        observed_time_unix_nano: at,
        event_name: "gen_ai.evaluation.result".into(),
        trace_id: trace.to_vec(),
        span_id: span.to_vec(),
        attributes: vec![
            text("gen_ai.evaluation.name", "answer_ok"),
            double("gen_ai.evaluation.score.value", f64::from(u8::from(passed))),
            text("gen_ai.evaluation.score.label", if passed { "pass" } else { "fail" }),
            text("armspan.grader.name", "judge"),
            text("armspan.grader.version", "3"),
            text("armspan.grader.model", "m-large"),
        ],
        ..LogRecord::default()
    }
}
