//! Spans as an SDK sends them, with dummies where each one differs: ids, users, times.

use super::args::{Args, Shape};
use super::fresh::Seat;
use crate::cli::demo::random::Random;
use crate::cli::demo::wire::{double, int, text, texts};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span, Status, span::SpanKind, status::StatusCode,
};

/// Share of calls that fail.
const FAILED: f64 = 0.02;
const RESPONSE: &str = "chatcmpl-0000000000000000";
const CONVERSATION: &str = "conv_0000000000000000";
const USER: &str = "user-00000000";
const INSTRUCTIONS: &str = concat!(
    r#"[{"type":"text","content":"You are the support assistant of Example GmbH. Answer in the "#,
    "customer's language, cite the knowledge base article you used by its id, never promise ",
    "refunds above 50 EUR, and hand over to a person when the customer asks for one or sounds ",
    r#"upset. Keep every answer under 120 words."}]"#
);

/// A request with a span for each seat.
pub fn request(args: &Args, seats: &[Seat], random: &mut Random) -> ExportTraceServiceRequest {
    let spans = seats.iter().map(|seat| span(args, *seat, random)).collect();
    let scope = InstrumentationScope {
        name: "opentelemetry.instrumentation.openai_v2".into(),
        version: "2.4b0".into(),
        ..InstrumentationScope::default()
    };
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
    let resource = Some(resource());
    let resource_spans = vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }
}

fn resource() -> Resource {
    let attributes = vec![
        text("service.name", "support-bot"),
        text("service.version", "2026.11.3"),
        text("deployment.environment.name", "production"),
        text("vcs.ref.head.revision", "9d59409acf479dfa0df1aa568182e43e43df8bbe"),
        text("telemetry.sdk.name", "opentelemetry"),
        text("telemetry.sdk.language", "python"),
        text("telemetry.sdk.version", "1.39.0"),
    ];
    Resource { attributes, ..Resource::default() }
}

fn span(args: &Args, seat: Seat, random: &mut Random) -> Span {
    let failed = random.chance(FAILED);
    let mut attributes = match args.shape {
        Shape::Genai => genai(args, seat.arm, random),
        Shape::Small => small(args, seat.arm, random),
    };
    if failed {
        attributes.push(text("error.type", "rate_limit_exceeded"));
    }
    Span {
        trace_id: vec![1; 16],
        span_id: vec![1; 8],
        parent_span_id: vec![1; 8],
        flags: 0x101,
        name: "chat gpt-4o".into(),
        kind: SpanKind::Client as i32,
        start_time_unix_nano: 1,
        end_time_unix_nano: 1,
        attributes,
        status: failed.then(|| Status {
            message: "429 Too Many Requests".into(),
            code: StatusCode::Error as i32,
        }),
        ..Span::default()
    }
}

fn arm_name(args: &Args, arm: u32) -> String {
    match (args.arms, arm) {
        (2, 0) => "control".into(),
        (2, 1) => "candidate".into(),
        _ => format!("arm-{arm:02}"),
    }
}

fn tokens(random: &mut Random) -> [KeyValue; 2] {
    let input = random.log_normal(665.0, 0.8) as i64;
    let output = random.log_normal(148.0, 0.7) as i64;
    [int("gen_ai.usage.input_tokens", input), int("gen_ai.usage.output_tokens", output)]
}

fn flag(args: &Args, arm: u32) -> [KeyValue; 3] {
    [
        text("feature_flag.key", &args.experiment),
        text("feature_flag.result.variant", &arm_name(args, arm)),
        text("feature_flag.context.id", USER),
    ]
}

fn small(args: &Args, arm: u32, random: &mut Random) -> Vec<KeyValue> {
    let mut out = vec![
        text("gen_ai.operation.name", "chat"),
        text("gen_ai.request.model", "gpt-4o"),
        text("gen_ai.response.model", "gpt-4o-2024-08-06"),
    ];
    out.extend(tokens(random));
    out.extend(flag(args, arm));
    out
}

fn genai(args: &Args, arm: u32, random: &mut Random) -> Vec<KeyValue> {
    let mut out = vec![
        text("gen_ai.operation.name", "chat"),
        text("gen_ai.provider.name", "openai"),
        text("gen_ai.request.model", "gpt-4o"),
        text("gen_ai.response.model", "gpt-4o-2024-08-06"),
        double("gen_ai.request.temperature", 0.2),
        double("gen_ai.request.top_p", 0.95),
        int("gen_ai.request.max_tokens", 1024),
        int("gen_ai.request.seed", 7),
    ];
    out.extend(tokens(random));
    out.extend([
        int("gen_ai.usage.cache_read.input_tokens", (random.bits() % 1024) as i64),
        text("gen_ai.response.id", RESPONSE),
        texts("gen_ai.response.finish_reasons", &["stop"]),
        text("gen_ai.output.type", "text"),
        text("gen_ai.conversation.id", CONVERSATION),
        text("user.id", USER),
        text("gen_ai.system_instructions", INSTRUCTIONS),
        text("gen_ai.prompt.name", "support-answer"),
        text("gen_ai.prompt.version", if arm == 0 { "14" } else { "15" }),
        text("gen_ai.agent.name", "support-bot"),
        text("server.address", "api.openai.com"),
        int("server.port", 443),
        text("openai.response.system_fingerprint", "fp_44709d6fcb"),
    ]);
    out.extend(flag(args, arm));
    out
}
