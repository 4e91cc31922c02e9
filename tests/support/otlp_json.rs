//! The body of a capture as protobuf; OTLP/JSON captures are encoded with the published types.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span::Event};
use prost::Message;
use serde_json::Value as Json;
use std::path::Path;

/// The bytes of a request body.
pub fn body(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).expect("a readable file");
    if path.extension().is_some_and(|extension| extension == "pb") {
        return bytes;
    }
    let json: Json = serde_json::from_slice(&bytes).expect("json");
    let resource_spans = list(&json["resourceSpans"]).map(resource_spans).collect();
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn list(json: &Json) -> impl Iterator<Item = &Json> {
    json.as_array().into_iter().flatten()
}

fn text(json: &Json) -> String {
    json.as_str().unwrap_or_default().to_owned()
}

fn nanos(json: &Json) -> u64 {
    json.as_str().and_then(|text| text.parse().ok()).or(json.as_u64()).unwrap_or_default()
}

fn id(json: &Json) -> Vec<u8> {
    let hex = text(json);
    (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex"))
        .collect()
}

fn resource_spans(json: &Json) -> ResourceSpans {
    let attributes = attributes(&json["resource"]["attributes"]);
    let scope_spans = list(&json["scopeSpans"]).map(scope_spans).collect();
    ResourceSpans {
        resource: Some(Resource { attributes, ..Resource::default() }),
        scope_spans,
        ..ResourceSpans::default()
    }
}

fn scope_spans(json: &Json) -> ScopeSpans {
    let scope = InstrumentationScope {
        name: text(&json["scope"]["name"]),
        ..InstrumentationScope::default()
    };
    ScopeSpans {
        scope: Some(scope),
        spans: list(&json["spans"]).map(span).collect(),
        ..ScopeSpans::default()
    }
}

fn span(json: &Json) -> Span {
    Span {
        trace_id: id(&json["traceId"]),
        span_id: id(&json["spanId"]),
        parent_span_id: id(&json["parentSpanId"]),
        trace_state: text(&json["traceState"]),
        name: text(&json["name"]),
        start_time_unix_nano: nanos(&json["startTimeUnixNano"]),
        end_time_unix_nano: nanos(&json["endTimeUnixNano"]),
        attributes: attributes(&json["attributes"]),
        events: list(&json["events"]).map(event).collect(),
        status: Some(Status {
            code: json["status"]["code"].as_i64().unwrap_or_default() as i32,
            message: text(&json["status"]["message"]),
        }),
        ..Span::default()
    }
}

fn event(json: &Json) -> Event {
    Event {
        time_unix_nano: nanos(&json["timeUnixNano"]),
        name: text(&json["name"]),
        attributes: attributes(&json["attributes"]),
        ..Event::default()
    }
}

fn attributes(json: &Json) -> Vec<KeyValue> {
    let pair = |json: &Json| KeyValue {
        key: text(&json["key"]),
        value: any(&json["value"]),
        ..KeyValue::default()
    };
    list(json).map(pair).collect()
}

fn any(json: &Json) -> Option<AnyValue> {
    let (kind, value) = json.as_object()?.iter().next()?;
    let value = match kind.as_str() {
        "stringValue" => Value::StringValue(text(value)),
        "boolValue" => Value::BoolValue(value.as_bool()?),
        "intValue" => Value::IntValue(value.as_i64().or_else(|| value.as_str()?.parse().ok())?),
        "doubleValue" => Value::DoubleValue(value.as_f64()?),
        "arrayValue" => Value::ArrayValue(ArrayValue {
            values: list(&value["values"]).filter_map(any).collect(),
        }),
        "kvlistValue" => Value::KvlistValue(KeyValueList { values: attributes(&value["values"]) }),
        other => panic!("no AnyValue: {other}"),
    };
    Some(AnyValue { value: Some(value) })
}
