//! Calls of three arms with scores of two graders, so that the metrics of an experiment are in
//! several states: B answers better, C is slower, fails more and costs more.

use crate::payload::now;
use crate::server::Server;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use serde_json::{Value as Json, json};
use std::ops::Range;

pub const ARMS: [&str; 3] = ["A", "B", "C"];
pub const CALLS: u64 = 2_400;
/// Scores of one request: the receiver takes 10,000.
const CHUNK: usize = 3_000;

/// Two scales of scores, one of them declared; margins of both kinds and a ceiling.
pub const CONFIG: &str = "assignment_wait: 1s
matures_after: 0s
experiments:
  walk:
    control: A
    split: {A: 0.34, B: 0.33, C: 0.33}
    unit: user.id
    family: {primary: [answer_ok, rating], rollback: [tone, latency_p95, error_rate, cost]}
metrics:
  answer_ok: {role: quality, from: score, grader: judge, direction: increase, range: [0, 1]}
  rating: {role: quality, from: score, grader: judge, direction: increase, range: [1, 5]}
  tone: {role: guardrail, from: score, grader: judge, direction: increase, range: [1, 5], margin: 0.5}
  latency_p95: {role: guardrail, from: latency, quantile: 0.95, direction: decrease, margin: \"10%\"}
  error_rate: {role: guardrail, from: error, direction: decrease, margin: 0.1, ceiling: 0.15}
  cost: {role: guardrail, from: cost, direction: decrease, margin: 0.0001}
prices: {m-1: {input: 0.15, output: 0.60, per: 1000000}}
sinks: [{kind: jsonl}]
";

/// A number of a call, the same at every run: no random source.
fn mixed(id: u64, salt: u64) -> u64 {
    let z = (id * 16 + salt + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb) >> 16
}

fn arm(id: u64) -> usize {
    (id % 3) as usize
}

fn trace(id: u64) -> u128 {
    0x77_u128 << 64 | u128::from(id + 1)
}

fn key(name: &str, value: Value) -> KeyValue {
    KeyValue {
        key: name.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn span(id: u64, began: u64) -> Span {
    let of = arm(id);
    let text = |name: &str, value: &str| key(name, Value::StringValue(value.into()));
    let number = |name: &str, value: u64| key(name, Value::IntValue(value as i64));
    let mut attributes = vec![
        text("gen_ai.operation.name", "chat"),
        text("gen_ai.request.model", "m-1"),
        text("gen_ai.response.model", &format!("m-1-{of}")),
        text("gen_ai.agent.name", "answer"),
        text("user.id", &format!("user-{id}")),
        text("armspan.experiment", "walk"),
        text("armspan.arm", ARMS[of]),
        number("gen_ai.usage.input_tokens", 200 + mixed(id, 1) % 200),
        number("gen_ai.usage.output_tokens", [90, 90, 120][of] + mixed(id, 2) % 60),
    ];
    let fails = mixed(id, 3) % 100 < [2, 2, 30][of];
    attributes.extend(fails.then(|| text("error.type", "500")));
    let millis = [400, 400, 900][of] + mixed(id, 4) % 300;
    Span {
        trace_id: trace(id).to_be_bytes().to_vec(),
        span_id: (id + 1).to_be_bytes().to_vec(),
        name: "chat".into(),
        start_time_unix_nano: began,
        end_time_unix_nano: began + millis * 1_000_000,
        attributes,
        ..Span::default()
    }
}

/// What the judge says of a call, and of one more evaluation that nobody declared two graders.
fn scores(id: u64) -> Vec<Json> {
    let of = arm(id);
    let ok = mixed(id, 5) % 100 < [60, 85, 58][of];
    let stars = 1 + (mixed(id, 6) % 3) + [0, 2, 1][of];
    let score = |name: &str, grader: &str, value: f64| {
        json!({
            "id": format!("{name}-{grader}-{id}"), "name": name, "value": value,
            "grader": {"name": grader},
            "trace_id": format!("{:032x}", trace(id)), "span_id": format!("{:016x}", id + 1),
        })
    };
    let mood = (mixed(id, 7) % 80) as f64 / 10.0;
    vec![
        score("answer_ok", "judge", f64::from(u8::from(ok))),
        score("rating", "judge", stars as f64),
        score("tone", "judge", (2 + mixed(id, 8) % 3) as f64),
        score("mood", "judge", mood),
        score("mood", "people", mood / 2.0),
    ]
}

async fn calls(server: &Server, ids: Range<u64>) {
    let began = now() - 2_000_000_000;
    let spans = ids.map(|id| span(id, began)).collect();
    let scope_spans = vec![ScopeSpans { spans, ..Default::default() }];
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }],
    };
    let address = format!("http://127.0.0.1:{}", server.grpc);
    let mut client = TraceServiceClient::connect(address).await.expect("connected");
    client.export(request).await.expect("accepted");
}

/// These calls with their scores, and until nothing of them waits.
pub async fn send(server: &Server, ids: Range<u64>) {
    calls(server, ids.clone()).await;
    let all: Vec<Json> = ids.clone().flat_map(scores).collect();
    for chunk in all.chunks(CHUNK) {
        let url = format!("{}/api/v1/scores", server.url());
        let answer = reqwest::Client::new().post(url).json(chunk).send().await.expect("answers");
        let told: Json = answer.json().await.expect("a receipt");
        assert_eq!((&told["accepted"], &told["errors"]), (&json!(chunk.len()), &json!([])));
    }
    server.settled(ids.end).await;
}
