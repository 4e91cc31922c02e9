//! OTLP/JSON to protobuf: what is written is protobuf that prost reads, and where the official
//! types read the text too, they see the same spans.

use armspan::otlp::json;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

/// Any text, as each of the three requests.
pub fn run(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).ok();
    if let Ok(logs) = json::logs(bytes) {
        assert!(ExportLogsServiceRequest::decode(&logs[..]).is_ok() || text.is_none());
    }
    if let Ok(metrics) = json::metrics(bytes) {
        assert!(ExportMetricsServiceRequest::decode(&metrics[..]).is_ok() || text.is_none());
    }
    let ours = json::traces(bytes);
    if let Err(error) = &ours {
        assert!(error.line >= 1 && error.column >= 1 && error.column <= bytes.len() + 1);
    }
    let (Ok(ours), Some(text)) = (ours, text) else { return };
    let ours = ExportTraceServiceRequest::decode(&ours[..]).expect("prost reads what is written");
    // The official types keep the last of two equal members, as we do for scalars only.
    let Ok(theirs) = serde_json::from_str::<ExportTraceServiceRequest>(text) else { return };
    let (ours, theirs) = (spans(&ours), spans(&theirs));
    assert_eq!(ours.len(), theirs.len());
    for (one, other) in ours.iter().zip(theirs) {
        // They refuse ids that are no hexadecimal, so here both have them.
        assert_eq!((&one.trace_id, &one.span_id), (&other.trace_id, &other.span_id));
        assert_eq!(one.name, other.name);
        assert_eq!(one.end_time_unix_nano, other.end_time_unix_nano);
        assert_eq!(one.attributes.len(), other.attributes.len());
        assert_eq!(one.events.len(), other.events.len());
    }
}

fn spans(request: &ExportTraceServiceRequest) -> Vec<&Span> {
    let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    scopes.flat_map(|scope| &scope.spans).collect()
}
