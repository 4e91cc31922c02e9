//! The protobuf walk against prost. A request that prost reads is read, span by span, with the
//! same ids and names; one whose outer structure prost cannot read is refused; and what prost
//! writes of what it read gives the very same observations.

use armspan::model::{Batch, Reject};
use armspan::normalize::{Config, Malformed, Normalizer, Report, Times, Understood, Witness};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use prost::encoding::{WireType, decode_key, skip_field};

/// The structure around spans and log records, which are left as they are.
#[derive(Clone, PartialEq, Message)]
struct Outer {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<OuterResource>,
}

#[derive(Clone, PartialEq, Message)]
struct OuterResource {
    #[prost(message, optional, tag = "1")]
    resource: Option<Attributes>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<OuterScope>,
}

#[derive(Clone, PartialEq, Message)]
struct Attributes {
    #[prost(bytes = "vec", repeated, tag = "1")]
    attributes: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct OuterScope {
    #[prost(message, optional, tag = "1")]
    scope: Option<Name>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    items: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct Name {
    #[prost(bytes = "vec", tag = "1")]
    name: Vec<u8>,
}

#[derive(Default)]
struct Seen(Vec<Understood>);

impl Witness for Seen {
    fn wants(&self) -> bool {
        true
    }

    fn saw(&mut self, understood: Understood) {
        self.0.push(understood);
    }
}

struct Walked {
    batch: Batch,
    report: Result<Report, Malformed>,
    seen: Vec<Understood>,
}

thread_local! {
    static NORMALIZER: Normalizer = Normalizer::new(Config::default());
}

fn walked(bytes: &[u8], logs: bool) -> Walked {
    let (mut batch, mut seen) = (Batch::default(), Seen::default());
    let report = NORMALIZER.with(|normalizer| match logs {
        true => normalizer.logs(bytes, Times::any(), &mut batch, &mut seen),
        false => normalizer.traces(bytes, Times::any(), &mut batch, &mut seen),
    });
    Walked { batch, report, seen: seen.0 }
}

/// Traces and logs have the same structure around their items, so any bytes are tried as both.
pub fn run(bytes: &[u8]) {
    let outer = Outer::decode(bytes);
    for logs in [false, true] {
        let walked = walked(bytes, logs);
        match (&outer, &walked.report) {
            (Ok(outer), Ok(report)) => {
                let items: Vec<&Vec<u8>> = outer
                    .resources
                    .iter()
                    .flat_map(|resource| &resource.scopes)
                    .flat_map(|scope| &scope.items)
                    .collect();
                assert_eq!(report.received, items.len() as u64, "logs: {logs}");
                assert!(report.refused() <= report.received);
                if !logs {
                    spans(&items, report, &walked.seen);
                } else {
                    records(&items, report);
                }
            }
            (Err(_), Err(_)) => {
                assert!(walked.batch.is_empty(), "a refused request left something")
            }
            (Ok(_), Err(error)) => assert!(has_group(bytes, 8), "prost reads it: {error}"),
            (Err(error), Ok(_)) => panic!("prost does not read it: {error}"),
        }
        match logs {
            true => again::<ExportLogsServiceRequest>(bytes, logs, &walked),
            false => again::<ExportTraceServiceRequest>(bytes, logs, &walked),
        }
    }
}

/// Each span that prost reads is seen in its turn, or refused for the reason that it has.
fn spans(items: &[&Vec<u8>], report: &Report, seen: &[Understood]) {
    let mut seen = seen.iter();
    let mut refused = [0; Reject::ALL.len()];
    let mut unknown = 0;
    for item in items {
        let Ok(span) = Span::decode(&item[..]) else {
            unknown += 1;
            continue;
        };
        if has_group(item, 8) {
            unknown += 1;
            continue;
        }
        if let Some(reason) = refusal(&span) {
            refused[Reject::ALL.iter().position(|each| *each == reason).expect("one")] += 1;
            continue;
        }
        let same = |each: &Understood| {
            each.trace_id.is_some_and(|id| id.0.to_be_bytes()[..] == span.trace_id)
                && each.span_id.is_some_and(|id| id.0.to_be_bytes()[..] == span.span_id)
                && span.name.starts_with(&each.name)
        };
        assert!(seen.any(same), "a span was not seen: {span:?}");
    }
    let told: u64 = refused.iter().sum();
    let more = report.refused() - told.min(report.refused());
    assert!(told <= report.refused() && more <= unknown, "{refused:?}, {unknown}: {report:?}");
    for (at, count) in refused.iter().enumerate() {
        assert!(report.rejected[at] >= *count, "{refused:?}: {report:?}");
    }
}

fn refusal(span: &Span) -> Option<Reject> {
    let filled = |id: &[u8], length| id.len() == length && id.iter().any(|byte| *byte != 0);
    let end = span.end_time_unix_nano;
    Some(match () {
        () if !filled(&span.trace_id, 16) => Reject::EmptyTraceId,
        () if !filled(&span.span_id, 8) => Reject::EmptySpanId,
        () if end == 0 => Reject::TooOld,
        () if end > Times::any().latest => Reject::FromTheFuture,
        () if span.start_time_unix_nano == 0 => Reject::TooOld,
        () => return None,
    })
}

/// No record that prost reads is refused as broken.
fn records(items: &[&Vec<u8>], report: &Report) {
    let unknown = items.iter().filter(|item| LogRecord::decode(&item[..]).is_err()).count() as u64;
    let groups = items.iter().filter(|item| has_group(item, 8)).count() as u64;
    let at = |reason| Reject::ALL.iter().position(|each| *each == reason).expect("one");
    let broken =
        report.rejected[at(Reject::MalformedSpan)] + report.rejected[at(Reject::InvalidUtf8)];
    assert!(broken <= unknown + groups, "{unknown}: {report:?}");
}

/// What prost writes again means the same. Bytes that lose something on the way (unknown fields,
/// a field given twice) are no such case.
fn again<M: Message + Default>(bytes: &[u8], logs: bool, first: &Walked) {
    let Ok(message) = M::decode(bytes) else { return };
    let written = message.encode_to_vec();
    if written.len() != bytes.len() || written == bytes {
        return;
    }
    let second = walked(&written, logs);
    let (Ok(one), Ok(two)) = (&first.report, &second.report) else { return };
    assert_eq!((one.received, one.rejected), (two.received, two.rejected));
    assert_eq!((one.calls, one.scores, one.facets), (two.calls, two.scores, two.facets));
}

/// Whether a group (a wire type that OTLP does not have) may be what was refused.
fn has_group(bytes: &[u8], levels: usize) -> bool {
    let mut rest = bytes;
    while !rest.is_empty() {
        let Ok((tag, wire)) = decode_key(&mut rest) else { return false };
        match wire {
            WireType::StartGroup | WireType::EndGroup => return true,
            WireType::LengthDelimited => {
                let Ok(length) = prost::decode_length_delimiter(&mut rest) else { return false };
                let Some((inner, after)) = rest.split_at_checked(length) else { return false };
                if levels > 0 && has_group(inner, levels - 1) {
                    return true;
                }
                rest = after;
            }
            other => {
                if skip_field(other, tag, &mut rest, Default::default()).is_err() {
                    return false;
                }
            }
        }
    }
    false
}
