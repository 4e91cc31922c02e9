//! Our own log lines and spans: to stderr, and over OTLP when OTEL_* says where. A start is
//! refused when that endpoint is our own listener: each span received would make another one.

use anyhow::{Context as _, Result, bail};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::io::IsTerminal as _;
use std::net::{SocketAddr, ToSocketAddrs};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

/// Flushes what is left when it is dropped.
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

/// Where OTEL_* wants our own spans, when it says so.
pub fn endpoint(env: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    if env("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return None;
    }
    env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
        .or_else(|| env("OTEL_EXPORTER_OTLP_ENDPOINT"))
        .filter(|endpoint| !endpoint.trim().is_empty())
}

/// Refuses an endpoint that is one of our own listeners; `key` is what names it.
pub fn refuse_own(key: &str, endpoint: &str, own: &[SocketAddr]) -> Result<()> {
    let url: http::Uri =
        endpoint.parse().with_context(|| format!("{key} is no URL: {endpoint}"))?;
    let host = url.host().unwrap_or("localhost").trim_matches(['[', ']']);
    let port = url.port_u16().unwrap_or(if url.scheme_str() == Some("https") { 443 } else { 80 });
    let resolved = (host, port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
    for address in resolved.unwrap_or_default() {
        let same = |own: &SocketAddr| {
            let any = own.ip().is_unspecified() && address.ip().is_loopback();
            own.port() == address.port() && (own.ip() == address.ip() || any)
        };
        if own.iter().any(same) {
            bail!(
                "{key} is {endpoint}, which is this server itself: what it sends would come back \
                 for ever; point it at another collector, or leave it away"
            );
        }
    }
    Ok(())
}

/// Starts logging to stderr, and tracing to an endpoint. Needs a Tokio runtime for the latter.
pub fn start(level: &str, endpoint: Option<&str>) -> Result<Telemetry> {
    // What stores say of their inside is no news; a filter that names them wins.
    let filter = EnvFilter::try_new(format!("fjall=warn,lsm_tree=warn,{level}"))
        .with_context(|| format!("log level \"{level}\" is not understood; write info or debug"))?;
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_target(false);
    let registry = tracing_subscriber::registry().with(filter).with(lines);
    let Some(endpoint) = endpoint else {
        // A second start in one process (tests) keeps the first one's settings.
        let _ = registry.try_init();
        return Ok(Telemetry { provider: None });
    };
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).build();
    let tracer = provider.tracer("armspan");
    let _ = registry.with(tracing_opentelemetry::layer().with_tracer(tracer)).try_init();
    Ok(Telemetry { provider: Some(provider) })
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(provider) = &self.provider {
            // Nobody can be told any more when the last spans do not get through.
            let _ = provider.shutdown();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_listener_is_refused() {
        let own = ["127.0.0.1:4317".parse().expect("address")];
        let error =
            refuse_own("forward.endpoint", "http://localhost:4317", &own).expect_err("ourselves");
        let told = error.to_string();
        assert!(told.starts_with("forward.endpoint is") && told.contains("this server itself"));
        assert!(refuse_own("x", "http://localhost:4417", &own).is_ok());
        let any = ["0.0.0.0:4317".parse().expect("address")];
        assert!(refuse_own("x", "http://127.0.0.1:4317", &any).is_err());
    }

    #[test]
    fn the_more_special_variable_wins() {
        let env = |name: &str| match name {
            "OTEL_EXPORTER_OTLP_ENDPOINT" => Some("http://a:1".to_owned()),
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" => Some("http://b:1".to_owned()),
            _ => None,
        };
        assert_eq!(endpoint(&env).as_deref(), Some("http://b:1"));
        assert_eq!(endpoint(&|_| None), None);
    }
}
