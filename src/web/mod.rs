//! The pages: rendered here, without script, from a published view and the doors' counters.
//! They change nothing, and nothing on them comes from elsewhere.

mod absent;
mod arms;
mod chart;
pub mod compare;
pub use crate::model::human;
mod page;
mod pipeline;
mod run;
mod runs;
mod sinks;
mod verdict;
mod waiting;

use crate::model::meter::Meter;
use crate::model::view::View;
use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use maud::Markup;
use std::sync::Arc;
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
}

/// Nothing but our own style sheet; no script, no frame; forms only to ourselves.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; \
                      form-action 'self'; frame-ancestors 'none'";

const STYLE: &str = concat!(include_str!("style.css"), include_str!("style/pages.css"));

/// The pages.
pub fn router(state: WebState) -> Router {
    let fixed = |name: HeaderName, value: &'static str| {
        SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
    };
    Router::new()
        .route("/", get(index))
        .route("/runs", get(runs::list))
        .route("/runs/{run}", get(run::show))
        .route("/compare", get(compare::choose))
        .route("/compare/{a}/{b}", get(compare::show))
        .route("/sinks", get(sinks::show))
        .route("/pipeline", get(pipeline::show))
        .route("/status", get(async || Redirect::to("/pipeline")))
        .route("/style.css", get(style))
        .layer(fixed(header::CONTENT_SECURITY_POLICY, POLICY))
        .layer(fixed(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(fixed(header::REFERRER_POLICY, "no-referrer"))
        .layer(fixed(header::CACHE_CONTROL, "no-cache"))
        .with_state(state)
}

async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

async fn index(State(state): State<WebState>) -> Markup {
    let view = state.view.load();
    match view.experiments.is_empty() {
        true => waiting::page(&view, &state.meter, &state.addresses),
        false => arms::page(&view),
    }
}

/// A count of the doors or the engine, for people.
fn number(count: u64) -> String {
    human::count(i64::try_from(count).unwrap_or(i64::MAX))
}

#[cfg(test)]
pub(crate) mod tests;

#[cfg(test)]
mod page_tests;
