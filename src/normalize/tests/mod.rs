//! The normaliser as a whole, on requests made with the published OTLP types.

mod meaning;
mod refusals;
mod secrecy;
mod warm;

use super::*;
use crate::model::codec::Reader;
use crate::model::*;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, KeyValue, KeyValueList, any_value::Value as Any,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span::Event};
use prost::Message;

fn pair(key: &str, value: Any) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    pair(key, Any::StringValue(value.into()))
}

fn span(id: u8, attributes: Vec<KeyValue>) -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![id; 8],
        name: "s".into(),
        start_time_unix_nano: 1_000,
        end_time_unix_nano: 2_000,
        attributes,
        ..Span::default()
    }
}

fn chat(id: u8, more: Vec<KeyValue>) -> Span {
    let mut attributes =
        vec![text("gen_ai.operation.name", "chat"), text("gen_ai.request.model", "m")];
    attributes.extend(more);
    span(id, attributes)
}

fn request(resource: Vec<KeyValue>, spans: Vec<Span>) -> Vec<u8> {
    let resource = Some(Resource { attributes: resource, ..Resource::default() });
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn log_request(log_records: Vec<LogRecord>) -> Vec<u8> {
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    let resource_logs = vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }];
    ExportLogsServiceRequest { resource_logs }.encode_to_vec()
}

fn plain() -> Normalizer {
    Normalizer::new(Config::default())
}

fn all(batch: &Batch) -> Vec<Observation> {
    Reader::new(&batch.payload()).map(|observation| observation.expect("readable")).collect()
}

fn traces(normalizer: &Normalizer, body: &[u8]) -> (Report, Vec<Observation>) {
    let mut batch = Batch::default();
    let report = normalizer.traces(body, Times::any(), &mut batch, &mut Blind).expect("a request");
    (report, all(&batch))
}

fn calls(observations: &[Observation]) -> Vec<Call> {
    let call = |observation: &Observation| match observation {
        Observation::Call(call) => Some(*call),
        _ => None,
    };
    observations.iter().filter_map(call).collect()
}

fn assignments(observations: &[Observation]) -> Vec<(Sym, Sym, Source)> {
    let told = |observation: &Observation| match observation {
        Observation::Assignment(told) => Some((told.experiment, told.arm, told.source)),
        _ => None,
    };
    observations.iter().filter_map(told).collect()
}

fn rejected(report: &Report, reason: Reject) -> u64 {
    report.rejected[Reject::ALL.iter().position(|each| *each == reason).expect("a reason")]
}

#[derive(Default)]
struct Scribe(Vec<Understood>);

impl Witness for Scribe {
    fn wants(&self) -> bool {
        true
    }

    fn saw(&mut self, understood: Understood) {
        self.0.push(understood);
    }
}
