//! The web door: pages, JSON API and metrics on one address. A page that is open keeps a stream of
//! events; it ends when the server stops, so that nothing waits for a browser.

use super::server::Core;
use crate::api;
use crate::model::Log;
use crate::sink::prometheus::Prometheus;
use crate::web::{self, Addresses, Queue, WebState};
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::get;
use futures_util::StreamExt;
use http::{HeaderMap, header};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::watch;

/// Everything that the web address serves.
pub fn router(core: &Core, addresses: [SocketAddr; 3], stopped: watch::Receiver<bool>) -> Router {
    let pages = web::router(pages(core, addresses));
    let ends = move |response: Response| {
        let stopped = stopped.clone();
        async move { ending(response, stopped) }
    };
    api::http_router(core.api_state())
        .merge(pages)
        .merge(metrics(core))
        .layer(axum::middleware::map_response(ends))
}

fn pages(core: &Core, addresses: [SocketAddr; 3]) -> WebState {
    let (log, effective) = (core.log.clone(), core.effective.clone());
    WebState {
        view: core.view.clone(),
        meter: core.meter.clone(),
        addresses: Addresses {
            grpc: addresses[0].to_string(),
            http: addresses[1].to_string(),
            web: addresses[2].to_string(),
            tls: core.config.tls.is_some(),
            credentials: core.config.auth.is_on(),
        },
        queue: Arc::new(move || {
            let (position, bytes) = log.depth();
            Queue { position, bytes }
        }),
        series: core.series(),
        effective: Arc::new(move || effective.load().to_string()),
    }
}

fn metrics(core: &Core) -> Router {
    let (view, meter, log) = (core.view.clone(), core.meter.clone(), core.log.clone());
    let page = Arc::new(Prometheus::of_tenant(core.config.tenant.as_deref()));
    let metrics = move |headers: HeaderMap| {
        let (view, meter, log, page) = (view.clone(), meter.clone(), log.clone(), page.clone());
        async move {
            let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
            let (kind, text) = page.render(&view.load(), &meter, log.depth().1, accept);
            ([(header::CONTENT_TYPE, kind)], text)
        }
    };
    Router::new().route("/metrics", get(metrics))
}

/// A stream of events ends when the server stops.
fn ending(response: Response, mut stopped: watch::Receiver<bool>) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE);
    if kind.is_none_or(|kind| kind != "text/event-stream") {
        return response;
    }
    let (head, body) = response.into_parts();
    let until = async move {
        // An error means that the sender is gone, which is a stop as well.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let body = body.into_data_stream().take_until(Box::pin(until));
    Response::from_parts(head, Body::from_stream(body))
}
