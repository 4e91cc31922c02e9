//! The pages: rendered here from a published view and the doors' counters; scripts only keep them
//! fresh and draw charts with a cursor. They change nothing, and nothing on them comes from
//! elsewhere.

mod absent;
mod asset;
mod chart;
pub mod compare;
mod experiment;
mod forest;
mod home;
mod live;
pub use crate::model::human;
mod page;
mod pipeline;
mod report;
mod run;
mod runs;
mod settings;
mod sinks;
mod verdict;
mod waiting;

use crate::model::meter::Meter;
use crate::model::view::{AskSeries, View};
use arc_swap::ArcSwap;
use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Redirect;
use axum::routing::get;
use std::sync::Arc;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::set_header::SetResponseHeaderLayer;

/// What the pages read.
#[derive(Clone)]
pub struct WebState {
    /// What there is to see.
    pub view: Arc<ArcSwap<View>>,
    /// What the doors counted.
    pub meter: Arc<Meter>,
    /// Where the doors are.
    pub addresses: Addresses,
    /// What waits between doors and engine, as of now.
    pub queue: Arc<dyn Fn() -> Queue + Send + Sync>,
    /// Figures of windows.
    pub series: AskSeries,
    /// The config in force as text, secrets hidden.
    pub effective: Arc<dyn Fn() -> String + Send + Sync>,
}

/// What waits between doors and engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Queue {
    /// Next position of the log.
    pub position: u64,
    /// Bytes that wait to be written or applied.
    pub bytes: u64,
}

/// Where the doors are, as host:port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Addresses {
    /// OTLP over gRPC.
    pub grpc: String,
    /// OTLP over HTTP.
    pub http: String,
    /// Pages and API.
    pub web: String,
    /// They speak TLS.
    pub tls: bool,
    /// They want credentials.
    pub credentials: bool,
}

/// Nothing but our own styles and scripts, none of them in the page; no frame; forms only to
/// ourselves.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
                      form-action 'self'; frame-ancestors 'none'";
/// A report is one file, with its styles in it.
const REPORT_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; \
                             base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The pages.
pub fn router(state: WebState) -> Router {
    let fixed = |name: HeaderName, value: &'static str| {
        SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
    };
    let policy = |text| fixed(header::CONTENT_SECURITY_POLICY, text);
    let report = Router::new()
        .route("/experiments/{experiment}/report.html", get(home::report))
        .layer(policy(REPORT_POLICY));
    let pages = Router::new()
        .route("/", get(home::index))
        .route("/experiments", get(home::list))
        .route("/experiments/{experiment}", get(home::show))
        .route("/runs", get(runs::list))
        .route("/runs/{run}", get(run::show))
        .route("/compare", get(compare::choose))
        .route("/compare/{a}/{b}", get(compare::show))
        .route("/sinks", get(sinks::show))
        .route("/pipeline", get(pipeline::show))
        .route("/config", get(settings::show))
        .route("/status", get(async || Redirect::to("/pipeline")))
        .layer(policy(POLICY));
    let compressed = CompressionLayer::new().gzip(true).quality(CompressionLevel::Default);
    pages
        .merge(report)
        .layer(compressed)
        .layer(fixed(header::CACHE_CONTROL, "no-cache"))
        .route("/live", get(live::live))
        .route("/assets/{hash}/{name}", get(asset::serve))
        .layer(fixed(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(fixed(header::REFERRER_POLICY, "no-referrer"))
        .with_state(state)
}

/// A count of the doors or the engine, for people.
fn number(count: u64) -> String {
    human::count(i64::try_from(count).unwrap_or(i64::MAX))
}

#[cfg(test)]
pub(crate) mod tests;

#[cfg(test)]
mod page_tests;
