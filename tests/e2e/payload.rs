//! Payloads of the corpus, all their times shifted by one constant, so that they are of now.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Traces and logs of a capture.
pub struct Payload {
    pub traces: ExportTraceServiceRequest,
    pub logs: Option<ExportLogsServiceRequest>,
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("clock").as_nanos() as u64
}

fn spans(traces: &mut ExportTraceServiceRequest) -> impl Iterator<Item = &mut Span> {
    let scopes = traces.resource_spans.iter_mut().flat_map(|r| &mut r.scope_spans);
    scopes.flat_map(|scope| &mut scope.spans)
}

/// `python/openai_v2/v130_chat_default`: reads `….traces.pb` and, if there, `….logs.pb`.
pub fn capture(name: &str) -> Payload {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let read = |kind: &str| std::fs::read(root.join(format!("{name}.{kind}.pb")));
    let bytes = read("traces").expect("traces");
    let mut traces = ExportTraceServiceRequest::decode(&bytes[..]).expect("OTLP");
    let logs = read("logs").ok().map(|b| ExportLogsServiceRequest::decode(&b[..]).expect("OTLP"));
    let latest = spans(&mut traces).map(|span| span.end_time_unix_nano).max().expect("spans");
    let mut payload = Payload { traces, logs };
    payload.shift(now() - latest);
    payload
}

impl Payload {
    fn shift(&mut self, by: u64) {
        // Some captures are of the future, as seen from the machine that runs this.
        let moved = |time: &mut u64| {
            if *time > 0 {
                *time = time.wrapping_add(by);
            }
        };
        for span in spans(&mut self.traces) {
            moved(&mut span.start_time_unix_nano);
            moved(&mut span.end_time_unix_nano);
            span.events.iter_mut().for_each(|event| moved(&mut event.time_unix_nano));
        }
        let records = self.logs.iter_mut().flat_map(|logs| &mut logs.resource_logs);
        let records = records.flat_map(|r| &mut r.scope_logs).flat_map(|s| &mut s.log_records);
        for record in records {
            moved(&mut record.time_unix_nano);
            moved(&mut record.observed_time_unix_nano);
        }
    }

    /// Writes it as files for `replay`.
    pub fn write(&self, folder: &Path, name: &str) -> Vec<String> {
        let name = name.replace('/', "_");
        let mut files = vec![(format!("{name}.traces.pb"), self.traces.encode_to_vec())];
        if let Some(logs) = &self.logs {
            files.push((format!("{name}.logs.pb"), logs.encode_to_vec()));
        }
        files
            .into_iter()
            .map(|(name, bytes)| {
                let path = folder.join(name);
                std::fs::write(&path, bytes).expect("written");
                path.display().to_string()
            })
            .collect()
    }
}
