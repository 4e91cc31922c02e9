//! A request that is encoded once, and where its fresh bytes go.

use super::args::Args;
use super::fresh::{Fresh, Seat, Source, seats};
use super::shape;
use crate::cli::demo::random::Random;
use crate::model::Nanos;
use bytes::BufMut;
use prost::Message;

/// Digits at the end of an id and of a user.
const HEX_DIGITS: usize = 16;
const USER_DIGITS: usize = 8;

/// One of a few requests that are sent again and again.
pub struct Template {
    bytes: Vec<u8>,
    /// In the order of the bytes.
    patches: Vec<Patch>,
    seats: Vec<Seat>,
}

struct Patch {
    at: usize,
    span: usize,
    slot: Slot,
}

#[derive(Clone, Copy)]
enum Slot {
    Trace,
    Span,
    Parent,
    Start,
    End,
    Response,
    User,
    Conversation,
}

/// A field of a message: its number, and where its value is.
#[derive(Clone, Copy)]
struct Field {
    number: u64,
    from: usize,
    to: usize,
}

// === impl Slot ===

impl Slot {
    fn of(self, fresh: &Fresh) -> &[u8] {
        match self {
            Slot::Trace => &fresh.trace,
            Slot::Span => &fresh.span,
            Slot::Parent => &fresh.parent,
            Slot::Start => &fresh.start,
            Slot::End => &fresh.end,
            Slot::Response => &fresh.response,
            Slot::User => &fresh.user,
            Slot::Conversation => &fresh.conversation,
        }
    }
}

// === impl Template ===

impl Template {
    /// Equal numbers give equal templates.
    pub fn new(args: &Args, number: u64) -> Self {
        let seats = seats(args);
        let request = shape::request(args, &seats, &mut Random::new(number));
        let bytes = request.encode_to_vec();
        let patches = patches(&bytes);
        Template { bytes, patches, seats }
    }

    /// Spans of a request.
    pub fn spans(&self) -> u64 {
        self.seats.len() as u64
    }

    /// Bytes of a request.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Writes the request of this number, as it is made at `now`.
    pub fn render(&self, source: &Source, request: u64, now: Nanos, out: &mut impl BufMut) {
        let (mut written, mut current, mut fresh) = (0, usize::MAX, Fresh::default());
        for patch in &self.patches {
            if patch.span != current {
                current = patch.span;
                fresh = source.fresh(request, self.seats[current], now);
            }
            let value = patch.slot.of(&fresh);
            out.put_slice(&self.bytes[written..patch.at]);
            out.put_slice(value);
            written = patch.at + value.len();
        }
        out.put_slice(&self.bytes[written..]);
    }
}

/// Walks request > resource_spans (1) > scope_spans (2) > spans (2).
fn patches(bytes: &[u8]) -> Vec<Patch> {
    let all = Field { number: 0, from: 0, to: bytes.len() };
    let scopes = below(bytes, all, 1).flat_map(|resource| below(bytes, resource, 2));
    let spans = scopes.flat_map(|scope| below(bytes, scope, 2));
    let patches =
        spans.enumerate().flat_map(|(span, field)| {
            fields(bytes, field)
                .filter_map(|field| slot(bytes, field))
                .map(move |(at, slot)| Patch { at, span, slot })
        });
    patches.collect()
}

fn slot(bytes: &[u8], field: Field) -> Option<(usize, Slot)> {
    let slot = match field.number {
        1 => Slot::Trace,
        2 => Slot::Span,
        4 => Slot::Parent,
        7 => Slot::Start,
        8 => Slot::End,
        9 => return attribute_slot(bytes, field),
        _ => return None,
    };
    Some((field.from, slot))
}

fn attribute_slot(bytes: &[u8], attribute: Field) -> Option<(usize, Slot)> {
    let key = below(bytes, attribute, 1).next()?;
    let value = below(bytes, attribute, 2).next()?;
    let text = below(bytes, value, 1).next()?;
    match &bytes[key.from..key.to] {
        b"gen_ai.response.id" => Some((text.to - HEX_DIGITS, Slot::Response)),
        b"gen_ai.conversation.id" => Some((text.to - HEX_DIGITS, Slot::Conversation)),
        b"user.id" | b"feature_flag.context.id" => Some((text.to - USER_DIGITS, Slot::User)),
        _ => None,
    }
}

fn below(bytes: &[u8], message: Field, number: u64) -> impl Iterator<Item = Field> {
    fields(bytes, message).filter(move |field| field.number == number)
}

/// The fields of a message that prost has written.
fn fields(bytes: &[u8], message: Field) -> impl Iterator<Item = Field> {
    let mut at = message.from;
    std::iter::from_fn(move || {
        if at >= message.to {
            return None;
        }
        let tag = varint(bytes, &mut at);
        let mut from = at;
        let to = match tag & 7 {
            0 => {
                varint(bytes, &mut at);
                at
            }
            1 => from + 8,
            2 => {
                let length = varint(bytes, &mut at) as usize;
                from = at;
                from + length
            }
            _ => from + 4,
        };
        at = to;
        Some(Field { number: tag >> 3, from, to })
    })
}

fn varint(bytes: &[u8], at: &mut usize) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes[*at];
        *at += 1;
        value |= u64::from(byte & 127) << shift;
        if byte < 128 {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::args::tests::parsed;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use opentelemetry_proto::tonic::trace::v1::Span;
    use std::collections::HashSet;

    const NOW: Nanos = 1_800_000_000_000_000_000;

    fn sent(words: &[&str], request: u64) -> Vec<Span> {
        let args = parsed(words);
        let (template, source) = (Template::new(&args, request % 3), Source::new(&args, 42));
        let mut out = Vec::new();
        template.render(&source, request, NOW, &mut out);
        assert_eq!(out.len(), template.len());
        let mut again = Vec::new();
        template.render(&source, request, NOW, &mut again);
        assert_eq!(out, again, "a resend is the same");
        let decoded = ExportTraceServiceRequest::decode(&out[..]).expect("OTLP");
        decoded.resource_spans[0].scope_spans[0].spans.clone()
    }

    fn text(span: &Span, key: &str) -> String {
        let found = span.attributes.iter().find(|attribute| attribute.key == key).expect(key);
        match found.value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(Value::StringValue(text)) => text.clone(),
            other => panic!("{key}: {other:?}"),
        }
    }

    #[test]
    fn ids_never_repeat_and_everything_fresh_is_written() {
        let (mut ids, mut responses) = (HashSet::new(), HashSet::new());
        for request in 0..10 {
            for span in sent(&["--batch", "64"], request) {
                assert!(ids.insert(span.span_id.clone()));
                assert!(responses.insert(text(&span, "gen_ai.response.id")));
                assert!(span.start_time_unix_nano < span.end_time_unix_nano);
                assert!(NOW - span.end_time_unix_nano < 65_536);
                assert_eq!(text(&span, "user.id"), text(&span, "feature_flag.context.id"));
            }
        }
    }

    #[test]
    fn spans_of_a_trace_share_parent_arm_user_and_conversation() {
        let spans = sent(&["--batch", "8", "--trace-len", "4", "--shape", "genai"], 5);
        for trace in spans.chunks(4) {
            for span in trace {
                assert_eq!(span.trace_id, trace[0].trace_id);
                assert_eq!(span.parent_span_id, trace[0].parent_span_id);
                assert!(spans.iter().all(|other| other.span_id != span.parent_span_id));
            }
            for key in ["user.id", "gen_ai.conversation.id", "feature_flag.result.variant"] {
                let values: HashSet<String> = trace.iter().map(|span| text(span, key)).collect();
                assert_eq!(values.len(), 1, "{key}");
            }
        }
        assert_ne!(spans[0].trace_id, spans[4].trace_id);
        assert_ne!(spans[0].trace_id[..8], spans[0].trace_id[8..]);
        assert_ne!(text(&spans[0], "user.id"), text(&spans[4], "user.id"));
    }

    #[test]
    fn both_shapes_are_as_long_as_they_say() {
        for (shape, least, most) in [("genai", 1_300, 1_450), ("small", 350, 450)] {
            let template = Template::new(&parsed(&["--shape", shape]), 0);
            let each = template.len() as u64 / template.spans();
            assert!((least..most).contains(&each), "{shape}: {each} bytes");
        }
    }
}
