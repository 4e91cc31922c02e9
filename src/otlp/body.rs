//! Reads bodies within their limits: admission before the bytes, one copy at most.

use super::admit::Permit;
use super::denied::Denied;
use super::wire;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use std::time::Duration;

/// Bytes before a gRPC message: whether it is compressed, and its length.
pub const PREFIX: usize = 5;

/// How the length of a body is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// The body is the message.
    Plain,
    /// A gRPC message with its prefix.
    Grpc,
}

/// What a body may take.
pub struct Limits {
    /// Bytes.
    pub bytes: usize,
    /// Time.
    pub time: Duration,
}

/// The whole body, gRPC prefix included. `expected` is the Content-Length, when there is one.
pub async fn read(
    body: Body,
    framing: Framing,
    expected: Option<usize>,
    limits: &Limits,
    permit: &mut Permit,
) -> Result<Bytes, Denied> {
    let collecting = collect(body, framing, expected, limits.bytes, permit);
    tokio::time::timeout(limits.time, collecting).await.unwrap_or(Err(Denied::Slow))
}

async fn collect(
    mut body: Body,
    framing: Framing,
    expected: Option<usize>,
    limit: usize,
    permit: &mut Permit,
) -> Result<Bytes, Denied> {
    let most = if framing == Framing::Grpc { limit + PREFIX } else { limit };
    let mut whole = Whole { expected: expected.unwrap_or(0), ..Whole::default() };
    admit(expected.unwrap_or(0), most, limit, permit)?;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Denied::Malformed("the body was cut short".into()))?;
        let Ok(data) = frame.into_data() else { continue };
        admit(whole.len() + data.len(), most, limit, permit)?;
        whole.add(data);
        if framing == Framing::Grpc
            && let Some(length) = whole.grpc_length()
        {
            // The prefix tells the size before the rest is read.
            whole.expected = length.saturating_add(PREFIX);
            admit(whole.expected, most, limit, permit)?;
        }
    }
    Ok(whole.finish())
}

fn admit(bytes: usize, most: usize, limit: usize, permit: &mut Permit) -> Result<(), Denied> {
    if bytes > most {
        return Err(Denied::TooLarge { limit, when: "" });
    }
    permit.reach(bytes)
}

/// Chunks of a body: one is kept as it is, several are joined.
#[derive(Default)]
struct Whole {
    first: Bytes,
    joined: BytesMut,
    /// What it will be, as the sender says; admitted before more of it is read.
    expected: usize,
}

impl Whole {
    fn len(&self) -> usize {
        self.first.len() + self.joined.len()
    }

    fn add(&mut self, data: Bytes) {
        // Many clients end a body with an empty chunk.
        if data.is_empty() {
            return;
        }
        if self.len() == 0 {
            self.first = data;
            return;
        }
        if self.joined.is_empty() {
            // A claim has been admitted: all of them together are within the bound of what is in
            // flight, and memory is only taken as it is written to.
            self.joined.reserve(self.expected.max(self.first.len() + data.len()));
            self.joined.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.joined.extend_from_slice(&data);
    }

    fn grpc_length(&self) -> Option<usize> {
        let bytes = if self.joined.is_empty() { &self.first[..] } else { &self.joined[..] };
        let length = bytes.get(1..PREFIX)?.try_into().ok()?;
        Some(u32::from_be_bytes(length) as usize)
    }

    fn finish(self) -> Bytes {
        if self.joined.is_empty() { self.first } else { self.joined.freeze() }
    }
}

/// How many data points an `ExportMetricsServiceRequest` holds; `None` when it is none.
pub fn metric_points(bytes: &[u8]) -> Option<u64> {
    // Fields of `Metric` that hold data points: gauge, sum, two histograms, summary.
    const KINDS: [u32; 5] = [5, 7, 9, 10, 11];
    let mut points = 0;
    wire::each(bytes, |number, resource| {
        within(number == 1, resource, |number, scope| {
            within(number == 2, scope, |number, metric| {
                within(number == 2, metric, |number, data| {
                    within(KINDS.contains(&number), data, |number, _| {
                        points += u64::from(number == 1);
                        Some(())
                    })
                })
            })
        })
    })?;
    Some(points)
}

fn within<'a>(
    wanted: bool,
    bytes: &'a [u8],
    visit: impl FnMut(u32, &'a [u8]) -> Option<()>,
) -> Option<()> {
    if wanted { wire::each(bytes, visit) } else { Some(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_chunk_is_not_copied_and_several_are_joined() {
        let chunk = Bytes::from(b"\0\0\0\0\x06ab".to_vec());
        let mut whole = Whole::default();
        [&chunk, &Bytes::new()].into_iter().for_each(|data| whole.add(data.clone()));
        assert_eq!((whole.len(), whole.grpc_length()), (7, Some(6)));
        assert!(std::ptr::eq(whole.finish().as_ref(), chunk.as_ref()), "it stays where it is");
        let mut whole = Whole { expected: 11, ..Whole::default() };
        for data in [chunk, Bytes::from_static(b"cd"), Bytes::new(), Bytes::from_static(b"ef")] {
            whole.add(data);
        }
        assert_eq!(whole.finish(), b"\0\0\0\0\x06abcdef"[..]);
    }

    #[test]
    fn data_points_of_the_corpus_are_counted() {
        use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
        use opentelemetry_proto::tonic::metrics::v1::metric::Data;
        use prost::Message;
        let path = "tests/corpus/js/otel_contrib_openai/chat.metrics.pb";
        let bytes = std::fs::read(path).expect("corpus");
        let decoded = ExportMetricsServiceRequest::decode(&bytes[..]).expect("metrics");
        let mut expected = 0;
        for resource in &decoded.resource_metrics {
            for metric in resource.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
                expected += match metric.data.as_ref().expect("data") {
                    Data::Gauge(data) => data.data_points.len(),
                    Data::Sum(data) => data.data_points.len(),
                    Data::Histogram(data) => data.data_points.len(),
                    Data::ExponentialHistogram(data) => data.data_points.len(),
                    Data::Summary(data) => data.data_points.len(),
                };
            }
        }
        assert!(expected > 0);
        assert_eq!(metric_points(&bytes), Some(expected as u64));
        assert_eq!(metric_points(b"\xff\xff"), None);
        assert_eq!(metric_points(b""), Some(0));
    }
}
