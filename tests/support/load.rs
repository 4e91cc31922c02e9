//! A load whose right figures are known: requests by number, each with calls of its own, and what
//! an API must say after some of them were acknowledged, however often they were sent.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use serde_json::Value as Json;
use std::collections::BTreeSet;

/// Calls of a request.
pub const PER_REQUEST: u64 = 20;
/// Users, of which each is in one arm.
const USERS: u64 = 97;

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.into())) });
    KeyValue { key: key.into(), value, ..KeyValue::default() }
}

/// Calls `number·20` to `number·20 + 19`, each in a trace of its own; equal numbers, equal bytes.
pub fn request(number: u64, began: u64) -> ExportTraceServiceRequest {
    let span = |id: u64| Span {
        trace_id: (u128::from(id) << 64 | 1).to_be_bytes().to_vec(),
        span_id: (id + 1).to_be_bytes().to_vec(),
        name: "chat".into(),
        start_time_unix_nano: began,
        end_time_unix_nano: began + 1_000_000 + id,
        attributes: vec![
            text("gen_ai.operation.name", "chat"),
            text("gen_ai.request.model", "m"),
            text("gen_ai.system_instructions", "Be brief."),
            text("user.id", &format!("user-{}", id % USERS)),
            text("armspan.experiment", "load"),
            text("armspan.arm", if (id % USERS).is_multiple_of(2) { "A" } else { "B" }),
        ],
        ..Span::default()
    };
    let spans = (number * PER_REQUEST..(number + 1) * PER_REQUEST).map(span).collect();
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }],
    }
}

/// Calls of each arm, and their units, as an experiment's document says.
pub fn arms(experiment: &Json) -> Vec<(u64, u64)> {
    let arms = experiment["sites"][0]["arms"].as_array().expect("arms");
    arms.iter()
        .map(|arm| (arm["calls"].as_u64().expect("n"), arm["units"].as_u64().expect("n")))
        .collect()
}

/// The same as it must be when each of these requests is counted once.
pub fn expected(numbers: &BTreeSet<u64>) -> Vec<(u64, u64)> {
    let ids = || numbers.iter().flat_map(|n| n * PER_REQUEST..(n + 1) * PER_REQUEST);
    let arm = |arm| {
        let own = || ids().filter(move |id| id % USERS % 2 == arm);
        let units: BTreeSet<u64> = own().map(|id| id % USERS).collect();
        (own().count() as u64, units.len() as u64)
    };
    [0, 1].map(arm).to_vec()
}
