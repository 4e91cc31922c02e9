//! Requests of calls as an SDK with the current GenAI conventions sends them: 512 spans in traces
//! of four, 26 attributes and about 1,375 bytes each. Ids, users and times are fresh in each.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value::Value,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;

/// Spans of a request.
pub const SPANS: u64 = 512;
/// Spans of a trace, all of one user and one arm.
const TRACE: u64 = 4;
const USERS: u64 = 100_000;
const SECOND: u64 = 1_000_000_000;

const INSTRUCTIONS: &str = r#"[{"type":"text","content":"You are the support assistant of Example GmbH. Answer in the customer's language, cite the knowledge base article you used by its id, never promise refunds above 50 EUR, and hand over to a person when the customer asks for one or sounds upset. Keep every answer under 120 words."}]"#;

/// Distinct in, distinct out, and no pattern between the two.
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn attribute(key: &str, value: Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.into(), value, ..KeyValue::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

fn int(key: &str, value: u64) -> KeyValue {
    attribute(key, Value::IntValue(value as i64))
}

/// The `number`th request, whose calls ended in the minute before `now`.
pub fn request(number: u64, now: u64) -> Vec<u8> {
    let spans = (number * SPANS..(number + 1) * SPANS).map(|id| span(id, now)).collect();
    let resource = Resource {
        attributes: vec![
            text("service.name", "support-bot"),
            text("service.version", "2026.11.3"),
            text("deployment.environment.name", "production"),
            text("vcs.ref.head.revision", "9d59409acf479dfa0df1aa568182e43e43df8bbe"),
            text("telemetry.sdk.name", "opentelemetry"),
            text("telemetry.sdk.language", "python"),
            text("telemetry.sdk.version", "1.39.0"),
        ],
        ..Resource::default()
    };
    let scope = InstrumentationScope {
        name: "opentelemetry.instrumentation.openai_v2".into(),
        version: "2.4b0".into(),
        ..InstrumentationScope::default()
    };
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
    let resource_spans =
        ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }.encode_to_vec()
}

fn span(id: u64, now: u64) -> Span {
    let root = id / TRACE * TRACE;
    let (trace, chance) = (mix(root), mix(id ^ 1 << 63));
    let user = trace % USERS;
    let arm = mix(user) % 2;
    let end = now - chance % (60 * SECOND);
    let mut attributes = genai(trace, user, arm, chance);
    let failed = chance.is_multiple_of(50);
    if failed {
        attributes.push(text("error.type", "rate_limit_exceeded"));
    }
    Span {
        trace_id: (u128::from(trace) << 64 | 7).to_be_bytes().to_vec(),
        span_id: mix(id).to_be_bytes().to_vec(),
        parent_span_id: if id == root { Vec::new() } else { mix(root).to_be_bytes().to_vec() },
        flags: 0x101,
        name: "chat gpt-4o".into(),
        kind: 3,
        start_time_unix_nano: end - SECOND / 2 - chance % SECOND,
        end_time_unix_nano: end,
        attributes,
        status: failed.then(|| Status { message: "429 Too Many Requests".into(), code: 2 }),
        ..Span::default()
    }
}

fn genai(trace: u64, user: u64, arm: u64, chance: u64) -> Vec<KeyValue> {
    let stop = AnyValue { value: Some(Value::StringValue("stop".into())) };
    let user = format!("user-{user:08}");
    vec![
        text("gen_ai.operation.name", "chat"),
        text("gen_ai.provider.name", "openai"),
        text("gen_ai.request.model", "gpt-4o"),
        text("gen_ai.response.model", "gpt-4o-2024-08-06"),
        attribute("gen_ai.request.temperature", Value::DoubleValue(0.2)),
        attribute("gen_ai.request.top_p", Value::DoubleValue(0.95)),
        int("gen_ai.request.max_tokens", 1024),
        int("gen_ai.request.seed", 7),
        int("gen_ai.usage.input_tokens", 200 + chance % 2_000),
        int("gen_ai.usage.output_tokens", 40 + chance % 500),
        int("gen_ai.usage.cache_read.input_tokens", chance % 200),
        text("gen_ai.response.id", &format!("chatcmpl-{chance:016x}")),
        attribute(
            "gen_ai.response.finish_reasons",
            Value::ArrayValue(ArrayValue { values: vec![stop] }),
        ),
        text("gen_ai.output.type", "text"),
        text("gen_ai.conversation.id", &format!("conv_{trace:016x}")),
        text("user.id", &user),
        text("gen_ai.system_instructions", INSTRUCTIONS),
        text("gen_ai.prompt.name", "support-answer"),
        text("gen_ai.prompt.version", ["14", "15"][arm as usize]),
        text("gen_ai.agent.name", "support-bot"),
        text("server.address", "api.openai.com"),
        int("server.port", 443),
        text("openai.response.system_fingerprint", "fp_44709d6fcb"),
        text("feature_flag.key", "support-bot-prompt"),
        text("feature_flag.result.variant", ["control", "candidate"][arm as usize]),
        text("feature_flag.context.id", &user),
    ]
}
