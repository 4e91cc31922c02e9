//! `/` while there is no experiment: what has come so far, the first thing that is missing and
//! what to do about it, and settings to copy.

use super::page::{figure, frame};
use super::{Addresses, human};
use crate::model::meter::Meter;
use crate::model::view::View;
use maud::{Markup, html};
use std::sync::atomic::Ordering::Relaxed;

/// What has come so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Seen {
    /// Spans received.
    pub spans: u64,
    /// Model calls among them.
    pub calls: u64,
    /// Calls with an arm.
    pub with_arm: u64,
    /// Calls with a score.
    pub with_score: u64,
    /// Flag evaluations that named no variant.
    pub without_variant: u64,
    /// Refused spans.
    pub rejected: u64,
}

/// The page.
pub fn page(view: &View, meter: &Meter, addresses: &Addresses) -> Markup {
    let seen = seen(view, meter);
    let (title, advice) = missing(&seen);
    let shown = |count: u64| human::count(i64::try_from(count).unwrap_or(i64::MAX));
    let body = html! {
        section {
            h1 { (title) }
            p.lead { (advice) }
            div.figures {
                (figure("spans received", &shown(seen.spans)))
                (figure("model calls", &shown(seen.calls)))
                (figure("with an arm", &shown(seen.with_arm)))
                (figure("with a score", &shown(seen.with_score)))
            }
            @if seen.rejected > 0 { p.note { (shown(seen.rejected)) " were refused: " a href="/status" { "see why" } "." } }
            h2 { "Point your service here" }
            @for (language, text) in settings(addresses) {
                h3 { (language) }
                pre tabindex="0" role="region" aria-label=(format!("Settings for {language}")) { code { (text) } }
            }
            @if addresses.credentials {
                p { "This server wants credentials of the role ingest: set "
                    code { "OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20TOKEN" } " too." }
            }
            h2 { "Name the arm" }
            p { "What the OpenFeature hooks for OpenTelemetry send is understood as it is. Without one, set two attributes on any span of the trace:" }
            pre tabindex="0" role="region" aria-label="Attributes to set" { code { "armspan.experiment = support-bot\narmspan.arm        = B" } }
        }
    };
    frame("Waiting for data", true, body)
}

fn seen(view: &View, meter: &Meter) -> Seen {
    Seen {
        spans: meter.spans.load(Relaxed),
        calls: view.counts.calls.max(meter.calls.load(Relaxed)),
        with_arm: view.counts.with_arm,
        with_score: view.counts.with_score,
        without_variant: meter.flags_without_variant.load(Relaxed),
        rejected: meter.rejected.iter().map(|count| count.load(Relaxed)).sum(),
    }
}

/// The first thing that is missing, and what to do about it.
pub fn missing(seen: &Seen) -> (&'static str, &'static str) {
    match seen {
        Seen { spans: 0, .. } => (
            "Waiting for the first span",
            "Nothing has come yet. Copy the settings below into your service and send it a request.",
        ),
        Seen { calls: 0, .. } => (
            "Spans, but no model call",
            "Switch on an instrumentation of your model client (OpenTelemetry GenAI, OpenInference, \
             OpenLLMetry, Vercel AI SDK, Langfuse). `armspan explain FILE` says how each span is read.",
        ),
        Seen { with_arm: 0, without_variant: 1.., .. } => (
            "Flags, but no variant",
            "The flag evaluations that came name no variant. Switch it on in your flag SDK's \
             tracing hook: LaunchDarkly's, for one, leaves it out unless asked.",
        ),
        Seen { with_arm: 0, .. } => (
            "Calls, but no arm",
            "Add the tracing hook of your feature-flag SDK, or set armspan.experiment and \
             armspan.arm on a span of the trace, or map an attribute under `mapping` in the config.",
        ),
        _ => (
            "Calls with an arm",
            "A flag becomes an experiment when two of its variants were seen. Send traffic to a \
             second arm, or declare the experiment in the config.",
        ),
    }
}

/// Settings to copy: variables that every OpenTelemetry SDK reads, and what each adds.
pub fn settings(addresses: &Addresses) -> [(&'static str, String); 4] {
    let (grpc, http) = (&addresses.grpc, &addresses.http);
    let scheme = if addresses.tls { "https" } else { "http" };
    let insecure = if addresses.tls { "" } else { ", otlptracegrpc.WithInsecure()" };
    let content = "export OTEL_SEMCONV_STABILITY_OPT_IN=gen_ai_latest_experimental";
    [
        (
            "Python",
            format!(
                "pip install opentelemetry-distro opentelemetry-exporter-otlp opentelemetry-instrumentation-openai-v2\n\
                 export OTEL_EXPORTER_OTLP_ENDPOINT={scheme}://{grpc} OTEL_EXPORTER_OTLP_PROTOCOL=grpc\n\
                 export OTEL_LOGS_EXPORTER=otlp OTEL_METRICS_EXPORTER=none OTEL_SERVICE_NAME=support-bot\n\
                 {content}\n\
                 opentelemetry-instrument python app.py"
            ),
        ),
        (
            "TypeScript",
            format!(
                "npm install @opentelemetry/api @opentelemetry/auto-instrumentations-node\n\
                 export OTEL_EXPORTER_OTLP_ENDPOINT={scheme}://{http} OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\n\
                 export OTEL_METRICS_EXPORTER=none OTEL_SERVICE_NAME=support-bot\n\
                 node --require @opentelemetry/auto-instrumentations-node/register app.js\n\
                 # Vercel AI SDK: generateText({{…, experimental_telemetry: {{ isEnabled: true }}}})"
            ),
        ),
        (
            "Go",
            format!(
                "// go get go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc\n\
                 exporter, err := otlptracegrpc.New(ctx,\n    \
                 otlptracegrpc.WithEndpoint(\"{grpc}\"){insecure})\n\
                 provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter))\n\
                 otel.SetTracerProvider(provider)"
            ),
        ),
        (
            "Java",
            format!(
                "export OTEL_EXPORTER_OTLP_ENDPOINT={scheme}://{http} OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\n\
                 export OTEL_METRICS_EXPORTER=none OTEL_SERVICE_NAME=support-bot\n\
                 java -javaagent:opentelemetry-javaagent.jar -jar app.jar"
            ),
        ),
    ]
}
