//! An event as one log record. The same event gives the same record, down to its times.

use super::client::Request;
use super::points::{attribute, resource, scope, text as string};
use crate::model::delivery::{Event, EventKind};
use crate::model::record::{Change, MetricLine};
use crate::model::verdict::State;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use serde_json::Value as Json;

/// The request that carries an event.
pub fn request(event: &Event) -> Request {
    let scope_logs = ScopeLogs {
        scope: Some(scope()),
        log_records: vec![record(event)],
        ..ScopeLogs::default()
    };
    let logs = ResourceLogs {
        resource: Some(resource()),
        scope_logs: vec![scope_logs],
        ..ResourceLogs::default()
    };
    Request::Logs(ExportLogsServiceRequest { resource_logs: vec![logs] })
}

/// The log record of an event.
pub fn record(event: &Event) -> LogRecord {
    let at = nanos(&event.at);
    let (severity, text) = match is_bad(event) {
        true => (SeverityNumber::Warn, "WARN"),
        false => (SeverityNumber::Info, "INFO"),
    };
    LogRecord {
        time_unix_nano: at,
        // Not the time of sending: a repeat must be the same record.
        observed_time_unix_nano: at,
        severity_number: severity.into(),
        severity_text: text.into(),
        body: Some(AnyValue { value: Some(string(&sentence(event))) }),
        attributes: attributes(event),
        event_name: format!("armspan.{}", event.kind.name()),
        ..LogRecord::default()
    }
}

/// Nanoseconds of an RFC 3339 text; 0, which OTLP takes for unknown, when it is none.
pub fn nanos(text: &str) -> u64 {
    crate::model::id::nanos(text).unwrap_or(0)
}

fn state(event: &Event) -> Option<&str> {
    Some(event.metric.as_ref()?.verdict.as_ref()?.state.as_str())
}

fn is_bad(event: &Event) -> bool {
    let bad = [State::Breached, State::Regressed, State::Invalid].map(State::name);
    event.kind == EventKind::Verdict && state(event).is_some_and(|state| bad.contains(&state))
}

fn sentence(event: &Event) -> String {
    let verdict = event.metric.as_ref().and_then(|line| line.verdict.as_ref());
    let said = verdict.map(|verdict| verdict.sentence.as_str()).filter(|text| !text.is_empty());
    match (said, &event.change) {
        (Some(text), _) => text.to_owned(),
        (None, Some(change)) => changed(event, change),
        (None, None) => bare(event),
    }
}

fn changed(event: &Event, change: &Change) -> String {
    let arm = if change.arm.is_empty() { String::new() } else { format!(" in {}", change.arm) };
    let text = |value: &Option<Json>| value.as_ref().map_or("nothing".to_owned(), plain);
    let (field, from, to) = (&change.field, text(&change.from), text(&change.to));
    format!("{field} changed{arm} at {} from {from} to {to}.", event.site)
}

fn bare(event: &Event) -> String {
    let metric = event.metric.as_ref().map_or("a metric", |line| line.name.as_str());
    let arm = event.arm.as_deref().unwrap_or("all arms");
    format!("{metric} in {arm} is {} at {}.", state(event).unwrap_or("unknown"), event.site)
}

fn plain(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn attributes(event: &Event) -> Vec<KeyValue> {
    let text = |key, value: &str| attribute(key, string(value));
    let mut out = vec![
        text("armspan.event_id", &event.id),
        text("armspan.experiment", &event.experiment),
        text("armspan.site", &event.site),
        attribute("armspan.epoch", Value::IntValue(event.epoch.into())),
    ];
    let texts = [
        ("armspan.arm", event.arm.as_deref()),
        ("armspan.control", event.control.as_deref()),
        ("armspan.was", event.was.as_deref()),
        ("armspan.action", event.decision.as_ref().map(|decision| decision.action.as_str())),
    ];
    out.extend(texts.into_iter().filter_map(|(key, value)| Some(text(key, value?))));
    if let Some(line) = &event.metric {
        out.extend(of_metric(line));
    }
    if let Some(change) = &event.change {
        out.push(text("armspan.field", &change.field));
        let values = [("armspan.from", &change.from), ("armspan.to", &change.to)];
        let known = values.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
        out.extend(known.map(|(key, value)| text(key, &plain(value))));
    }
    out
}

fn of_metric(line: &MetricLine) -> Vec<KeyValue> {
    let text = |key, value: &str| attribute(key, string(value));
    let mut out = vec![text("armspan.metric", &line.name), text("armspan.unit", &line.unit)];
    if let Some(verdict) = &line.verdict {
        out.push(text("armspan.state", &verdict.state));
        let reasons = verdict.reasons.iter().cloned().map(Value::StringValue);
        let values = reasons.map(|value| AnyValue { value: Some(value) }).collect();
        out.push(attribute("armspan.reasons", Value::ArrayValue(ArrayValue { values })));
    }
    let level = line.level.as_ref();
    let difference = line.difference.as_ref();
    let numbers = [
        ("armspan.level", level.map(|level| level.estimate)),
        ("armspan.difference", difference.map(|found| found.estimate)),
        ("armspan.difference.lower", difference.and_then(|found| found.lower)),
        ("armspan.difference.upper", difference.and_then(|found| found.upper)),
        ("armspan.difference.log_e", difference.and_then(|found| found.log_e)),
    ];
    let known = numbers.into_iter().filter_map(|(key, value)| Some((key, value?)));
    out.extend(known.map(|(key, value)| attribute(key, Value::DoubleValue(value))));
    out
}
