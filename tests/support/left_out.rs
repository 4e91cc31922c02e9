//! What the emitters of the corpus leave out or say differently, row by row with the reason.

/// Which calls a row of [`LEFT_OUT`] is about.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum When {
    Always,
    /// Only where the fact is 0: the emitter leaves zeros out.
    Zero,
    Streamed,
    Embeddings,
    Responses,
    NotFailed,
    /// Streams that were cut at the token limit: they asked for no usage.
    CutStream,
    /// Spans that have this attribute.
    Reports(&'static str),
    /// Calls whose finish reason is tool_calls.
    ToolCalls,
}

/// What is read instead of the fact.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Reads {
    /// Nothing.
    Nothing,
    /// This.
    This(&'static str),
    /// Some value, not the fact.
    Anything,
}

use Reads::*;
use When::*;

/// What emitters do not say, or say differently: capture (a prefix), field, when, what is read
/// instead, why.
#[rustfmt::skip]
pub const LEFT_OUT: &[(&str, &[&str], When, Reads, &str)] = &[
    ("python/openai_v2/", &["cached", "reasoning"], Always, Nothing, "not instrumented"),
    ("python/openfeature/", &["cached", "reasoning"], Always, Nothing, "not instrumented (openai_v2)"),
    ("python/openfeature/", &["user", "session"], Always, Nothing, "the app tells only the flag's context id"),
    ("python/openfeature/flag_error", &["experiment", "arm"], Always, Nothing, "the evaluation failed: no variant"),
    ("python/evaluations/splunk", &["finish"], Always, Nothing, "the app sets none on the invocation"),
    ("python/evaluations/splunk", &["cached", "reasoning"], Zero, Nothing, "zeros are not sent"),
    ("python/evaluations/otel_log", &["cached", "reasoning"], Zero, Nothing, "zeros are not sent"),
    ("python/genai_openai/responses", &["finish"], Always, This("tool_calls"), "its own finer reason than `completed`"),
    ("python/openllmetry/responses", &["finish"], Always, This("tool_calls"), "its own finer reason than `completed`"),
    ("python/openllmetry/embeddings", &["cached"], Always, This("0"), "sends a zero"),
    ("python/litellm/embeddings", &["output"], Always, This("0"), "sends a zero"),
    ("python/litellm/embeddings", &["response"], Always, Anything, "an id of its own"),
    ("python/litellm/", &["cached", "reasoning"], Always, Nothing, "only inside a Python repr"),
    ("python/logfire/", &["session"], Always, Nothing, "scrubbed by the SDK's default"),
    ("python/pydantic_ai/filter", &["output", "cached"], Zero, Nothing, "zeros are not sent"),
    ("python/openai_agents/", &["cached", "reasoning", "finish", "response", "revision"], Always, Nothing, "not in its spans; the model named is the asked one"),
    ("python/openinference_openai/streamnousage", &["input", "output", "cached", "reasoning"], Always, Nothing, "the stream had no usage chunk"),
    ("python/openinference_openai/responses", &["finish"], Always, Nothing, "not sent for the Responses API"),
    ("python/langfuse/manual", &["finish", "response", "revision"], Always, Nothing, "a hand-made generation: the app wrote the asked model"),
    ("python/langfuse/manual", &["cached", "reasoning"], Zero, Nothing, "the app wrote input, output and total"),
    ("python/langfuse/openai", &["requested", "response", "finish"], NotFailed, Nothing, "has no place for them"),
    ("go/openfeature_hook", &["user", "session"], Always, Nothing, "the app tells only the flag's context id"),
    ("js/openfeature_hooks/metrics_hook", &["experiment", "arm"], Always, Nothing, "only in metrics"),
    ("js/openfeature_hooks/", &["user", "session"], Always, Nothing, "the app tells only the flag's context id"),
    ("js/otel_contrib_openai/", &["user", "session"], Always, Nothing, "the app tells only the flag's context id"),
    ("js/otel_contrib_openai/", &["cached", "reasoning"], Always, Nothing, "not instrumented"),
    ("js/otel_contrib_openai/stream", &["input", "output"], CutStream, Nothing, "the stream had no usage chunk"),
    ("js/traceloop/", &["cached", "reasoning"], Always, Nothing, "not instrumented"),
    ("js/traceloop/responses", &["revision", "input", "output", "finish", "response"], Streamed, Nothing, "a streamed Responses call has none"),
    ("js/traceloop/responses", &["finish"], ToolCalls, This("stop"), "its tool call is reported as stop"),
    ("js/openinference_openai/responses", &["finish"], Responses, Nothing, "not sent for the Responses API"),
    ("js/openinference_openai/json", &["revision", "input", "output", "cached", "reasoning", "response"], Streamed, Nothing, "a streamed chat has none"),
    ("js/openinference_openai/", &["input"], Embeddings, Nothing, "no token counts"),
    ("js/langfuse_default_filter/", &["experiment", "arm"], Always, Nothing, "the filter drops the app's spans"),
    ("js/langfuse", &["input"], Embeddings, Nothing, "no token counts"),
    ("js/langfuse/chat", &["requested", "response", "finish"], Always, Nothing, "has no place for them"),
    ("js/langfuse/responses", &["requested", "response", "finish"], Always, Nothing, "has no place for them"),
    ("js/langfuse/error_embed", &["requested"], NotFailed, Nothing, "has no place for it"),
    ("js/langfuse_default_filter/", &["requested", "response", "finish"], Always, Nothing, "has no place for them"),
    ("js/vercel_ai_v5/chat", &["cached", "reasoning"], Always, Nothing, "generateText tells only prompt and completion"),
    ("js/vercel_ai_v6/object_reason", &["cached", "reasoning"], Reports("ai.usage.promptTokens"), Nothing, "generateObject tells only prompt and completion"),
];

/// Classes of failed calls (all were HTTP 429): capture (a prefix), class, why. Without a row: 429.
pub const ERROR_CLASSES: &[(&str, &str, &str)] = &[
    ("python/langfuse/", "429", "in the status message"),
    ("python/litellm/", "429", "error.code"),
    (
        "python/openinference_anthropic/",
        "429",
        "http.response.status_code of the provider's own span",
    ),
    ("python/openai_agents/", "429", "in the status message; no exception type"),
    ("python/", "rate_limit", "the type of the SDK's exception"),
    ("js/otel_contrib_openai/", "rate_limit", "the type of the SDK's exception"),
    ("js/vercel_ai_v7/", "429", "http.response.status_code"),
    (
        "js/vercel_ai_v",
        "rate_limit",
        "the status message; the exception's type is the same for all",
    ),
];
