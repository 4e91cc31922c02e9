//! The line that adds what is left out, by facet and by who emits the calls. Settings of the
//! OpenTelemetry instrumentations are those with which the payloads in `tests/corpus` were captured;
//! those of OpenInference, Traceloop and the Vercel SDK are the defaults that their documentation
//! names, which a service may have switched off.

/// Starts of scope names, and how their SDK is told to send content: prompts and tool schemas,
/// which armspan hashes.
const CONTENT: [(&str, &str); 9] = [
    (
        "opentelemetry.instrumentation.genai",
        "export OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY",
    ),
    (
        "opentelemetry.util.genai",
        "export OTEL_SEMCONV_STABILITY_OPT_IN=gen_ai_latest_experimental \
         OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY",
    ),
    (
        "opentelemetry.instrumentation.openai_v2",
        "export OTEL_LOGS_EXPORTER=otlp OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true",
    ),
    (
        "@opentelemetry/instrumentation-openai",
        "export OTEL_LOGS_EXPORTER=otlp OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true",
    ),
    ("openinference.", "export OPENINFERENCE_HIDE_INPUTS=false"),
    ("@arizeai/openinference", "export OPENINFERENCE_HIDE_INPUTS=false"),
    ("opentelemetry.instrumentation.", "export TRACELOOP_TRACE_CONTENT=true"),
    ("@traceloop/", "export TRACELOOP_TRACE_CONTENT=true"),
    ("ai", "experimental_telemetry: { isEnabled: true, recordInputs: true }"),
];

/// What adds a facet that is left out.
pub fn line(what: &str, emitter: &str) -> String {
    let own = |name: &str| format!("span.set_attribute(\"{name}\", …)");
    match what {
        "arm" => "the tracing hook of the flag SDK, or span.set_attribute(\"armspan.experiment\", \
                  …) and (\"armspan.arm\", …)"
            .to_owned(),
        "variant" => {
            "the option of the flag SDK's tracing hook that records the variant".to_owned()
        }
        "unit" => own("user.id"),
        "model.requested" => own("gen_ai.request.model"),
        "model.revision" => {
            format!("{}, or ask for a model by its dated name", own("gen_ai.response.model"))
        }
        "prompt.hash" => content(emitter).unwrap_or_else(|| own("armspan.prompt.hash")),
        "prompt.version" => own("gen_ai.prompt.version"),
        "tools.hash" => content(emitter).unwrap_or_else(|| own("armspan.tools.hash")),
        "retrieval.snapshot" => own("armspan.retrieval.snapshot"),
        "dataset.version" => own("armspan.dataset.version"),
        "code.commit" => {
            "export OTEL_RESOURCE_ATTRIBUTES=vcs.ref.head.revision=$(git rev-parse HEAD)".to_owned()
        }
        "failures" => "an SDK that sends failed calls, too: this one leaves no span of them, so \
                       its error rate is unknown"
            .to_owned(),
        "too many values" => {
            "take what changes with each call, such as a date, out of it".to_owned()
        }
        other => own(&format!("armspan.{other}")),
    }
}

/// How an SDK is told to send content.
fn content(emitter: &str) -> Option<String> {
    let fits = |start: &str| match start {
        // The scope of Vercel's AI SDK is this word and nothing more.
        "ai" => emitter == start,
        start => emitter.starts_with(start),
    };
    CONTENT.iter().find(|pair| fits(pair.0)).map(|pair| pair.1.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_that_of_the_sdk() {
        let prompt = |emitter| line("prompt.hash", emitter);
        assert!(prompt("opentelemetry.util.genai.handler").contains("OPT_IN"));
        assert!(prompt("opentelemetry.instrumentation.openai_v2").contains("LOGS_EXPORTER"));
        assert!(prompt("opentelemetry.instrumentation.openai.v1").contains("TRACELOOP"));
        assert!(prompt("ai").contains("recordInputs"));
        assert!(prompt("airflow").contains("armspan.prompt.hash"), "ours, for who is not known");
        assert!(line("tools.hash", "").contains("armspan.tools.hash"));
    }
}
