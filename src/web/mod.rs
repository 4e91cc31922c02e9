//! The pages: rendered here, without script, from a published view and the doors' counters.
//! They change nothing, and nothing on them comes from elsewhere.

mod arms;
mod chart;
pub use crate::model::human;
mod page;
mod run;
mod status;
mod waiting;

use crate::model::meter::Meter;
use crate::model::record::RunRecord;
use crate::model::view::View;
use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
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

/// Nothing but our own style sheet; no script, no frame, no form.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

const STYLE: &str = include_str!("style.css");

/// The pages.
pub fn router(state: WebState) -> Router {
    let fixed = |name: HeaderName, value: &'static str| {
        SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
    };
    Router::new()
        .route("/", get(index))
        .route("/runs/{run}", get(run_page))
        .route("/status", get(status_page))
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

async fn run_page(State(state): State<WebState>, Path(id): Path<String>) -> Response {
    let view = state.view.load();
    let matching = || view.runs.iter().filter(|record| record.run.id.starts_with(&id));
    let newest = matching().max_by_key(|record| record.window.epoch);
    let one_run = |found: &&RunRecord| matching().all(|record| record.run.id == found.run.id);
    match newest.filter(one_run) {
        Some(record) => run::page(record).into_response(),
        None => (StatusCode::NOT_FOUND, run::absent()).into_response(),
    }
}

async fn status_page(State(state): State<WebState>) -> Markup {
    status::page(&state.view.load(), &state.meter, &state.addresses)
}

#[cfg(test)]
pub(crate) mod tests;
