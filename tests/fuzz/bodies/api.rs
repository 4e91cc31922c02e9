//! The JSON API and the pages: any path, query and body gets an answer, never a 500, and an error
//! of the API is a problem document.

use super::door::{Hole, Still, runtime};
use arc_swap::ArcSwap;
use armspan::api::{ApiState, Outgoing, http_router};
use armspan::model::Meter;
use armspan::model::view::{Series, View};
use armspan::normalize::{Config, Normalizer};
use armspan::web::{self, Addresses, Queue, WebState};
use axum::Router;
use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use std::sync::Arc;
use tower::ServiceExt;

thread_local! {
    static SERVER: (Router, tokio::runtime::Runtime) = (router(), runtime());
}

/// Beginnings of addresses, so that inputs get behind the routes.
const ROUTES: [&str; 24] = [
    "",
    "/",
    "/experiments/support-bot",
    "/experiments/",
    "/experiments/support-bot/report.html",
    "/runs",
    "/runs/",
    "/compare",
    "/compare/",
    "/sinks",
    "/pipeline",
    "/config",
    "/api/v1/experiments",
    "/api/v1/experiments/support-bot/series",
    "/api/v1/experiments/support-bot/gate",
    "/api/v1/experiments/",
    "/api/v1/runs",
    "/api/v1/runs/",
    "/api/v1/outbox",
    "/api/v1/status",
    "/api/v1/scores",
    "/api/v1/assignments",
    "/api/public/scores",
    "/assets/",
];

fn view() -> View {
    let cut = include_str!("../../fixtures/cut.json");
    let mut cut: serde_json::Value = serde_json::from_str(cut).expect("the fixture");
    View {
        position: 7,
        log_time: 1_795_543_200_250_000_000,
        experiments: serde_json::from_value(cut["experiments"].take()).expect("experiments"),
        runs: serde_json::from_value(cut["records"].take()).expect("records"),
        ..View::default()
    }
}

fn router() -> Router {
    let view = Arc::new(ArcSwap::from_pointee(view()));
    let meter = Arc::new(Meter::default());
    let series: armspan::model::view::AskSeries = Arc::new(|_| Series::default());
    let api = ApiState {
        view: view.clone(),
        meter: meter.clone(),
        normalizer: Arc::new(Normalizer::new(Config::default())),
        log: Arc::new(Hole),
        clock: Arc::new(Still),
        series: series.clone(),
        outgoing: Outgoing::new(
            Arc::new(|_, _| Ok(Vec::new())),
            tokio::sync::watch::channel(u64::MAX).1,
        ),
    };
    let at = "127.0.0.1:1".to_owned();
    let pages = WebState {
        view,
        meter,
        addresses: Addresses {
            grpc: at.clone(),
            http: at.clone(),
            web: at,
            tls: false,
            credentials: false,
        },
        queue: Arc::new(Queue::default),
        series,
        effective: Arc::new(String::new),
    };
    http_router(api).merge(web::router(pages))
}

/// Route, method, then the rest of the address up to a line break, then the body.
pub fn run(bytes: &[u8]) {
    let [route, method, rest @ ..] = bytes else { return };
    let route = ROUTES[usize::from(*route) % ROUTES.len()];
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let (tail, body) = rest.split_at(end);
    let body = body.strip_prefix(b"\n").unwrap_or(body);
    let posts = route.ends_with("scores") || route.ends_with("assignments");
    let method = match method % 8 {
        0 => Method::DELETE,
        1 => Method::POST,
        _ if posts => Method::POST,
        _ => Method::GET,
    };
    let address = [route.as_bytes(), tail].concat();
    let request = Request::builder()
        .method(method)
        .uri(&address[..])
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_vec()));
    // What hyper would refuse as no address.
    let Ok(request) = request else { return };
    SERVER.with(|(router, runtime)| runtime.block_on(answer(router.clone(), request)));
}

async fn answer(router: Router, request: Request<Body>) {
    let path = request.uri().path().to_owned();
    let answer = router.oneshot(request).await.expect("infallible");
    let (status, kind) = (answer.status(), answer.headers().get(header::CONTENT_TYPE).cloned());
    let kind = kind.as_ref().and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_owned();
    assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
    // Streams of events do not end.
    if kind == "text/event-stream" {
        return;
    }
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    if path.starts_with("/api/v1/") && !status.is_success() && !status.is_redirection() {
        assert_eq!(kind, "application/problem+json", "{status} {path}");
        let problem: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert!(problem["detail"].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
    }
    if kind.starts_with("text/html") {
        let page = std::str::from_utf8(&body).expect("UTF-8");
        assert!(page.ends_with("</html>"), "a whole page");
    }
}
