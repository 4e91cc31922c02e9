//! Bodies of requests: normal ones, and those that are too much of something.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

static NEXT: AtomicU64 = AtomicU64::new(1);

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.into())) });
    KeyValue { key: key.into(), value, ..KeyValue::default() }
}

fn call(experiment: &str, arm: &str) -> Span {
    let number = NEXT.fetch_add(1, Relaxed);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("clock").as_nanos() as u64;
    Span {
        trace_id: [&[7; 8][..], &number.to_be_bytes()].concat(),
        span_id: number.to_be_bytes().into(),
        name: "chat".into(),
        start_time_unix_nano: now - 1_000_000,
        end_time_unix_nano: now,
        attributes: vec![
            text("gen_ai.operation.name", "chat"),
            text("gen_ai.request.model", "m"),
            text("armspan.experiment", experiment),
            text("armspan.arm", arm),
        ],
        ..Span::default()
    }
}

fn request(spans: Vec<Span>) -> Vec<u8> {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

/// What a normal client sends.
pub fn one_call() -> Vec<u8> {
    request(vec![call("load", "A")])
}

/// Calls of an experiment each, and an arm each, that nobody has seen.
pub fn strange_names(from: usize, count: usize) -> Vec<u8> {
    request((from..from + count).map(|n| call(&format!("e{}", n / 2), &format!("a{n}"))).collect())
}

/// A span with so many attributes that each want to be kept.
pub fn many_attributes(count: usize) -> Vec<u8> {
    let mut span = call("load", "A");
    span.attributes.extend((0..count).map(|n| text(&format!("k{n}"), "")));
    request(vec![span])
}

/// A span whose system instructions are a list in a list, so many times.
pub fn deep_value(levels: usize) -> Vec<u8> {
    // Lengths from the innermost one outwards; then the bytes from the outermost one inwards.
    let mut sizes = Vec::with_capacity(2 * levels);
    let mut size = 0;
    for _ in 0..levels {
        // An ArrayValue with one element, in an AnyValue.
        sizes.push((0x0A, size));
        size += 1 + varint(size as u64).len();
        sizes.push((0x2A, size));
        size += 1 + varint(size as u64).len();
    }
    let mut value = Vec::with_capacity(size);
    for (tag, size) in sizes.into_iter().rev() {
        value.push(tag);
        value.extend(varint(size as u64));
    }
    let pair = [&field(1, b"gen_ai.system_instructions")[..], &field(2, &value)].concat();
    let span = [&call("load", "A").encode_to_vec()[..], &field(9, &pair)].concat();
    field(1, &field(2, &field(2, &span)))
}

fn field(number: u8, body: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2][..], &varint(body.len() as u64), body].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// Zeros, so small that they grow a thousand times.
pub fn bomb(encoding: &str, bytes: u64) -> Vec<u8> {
    let mut zeros = std::io::repeat(0).take(bytes);
    let level = flate2::Compression::best();
    match encoding {
        "zstd" => zstd::encode_all(zeros, 3).expect("memory"),
        "gzip" => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), level);
            std::io::copy(&mut zeros, &mut out).expect("memory");
            out.flush().and_then(|()| out.finish()).expect("memory")
        }
        _ => {
            let mut out = flate2::write::ZlibEncoder::new(Vec::new(), level);
            std::io::copy(&mut zeros, &mut out).expect("memory");
            out.finish().expect("memory")
        }
    }
}
