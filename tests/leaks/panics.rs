//! A panic in the middle of a request says nothing of the request.

use crate::canary::{canary, hits, sow_traces};
use crate::doors::payloads;
use armspan::model::{Appended, Body, Clock, Log, Meter, Nanos, Position};
use armspan::normalize::{Config, Normalizer};
use armspan::otlp::{self, Receiver};
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use prost::Message;
use std::sync::{Arc, Mutex};
use tower::ServiceExt;

struct Fragile;

impl Log for Fragile {
    fn append(&self, _: Nanos, _: Body) -> Appended {
        panic!("the log broke")
    }

    fn depth(&self) -> (Position, u64) {
        (0, 0)
    }
}

struct Now(Nanos);

impl Clock for Now {
    fn now(&self) -> Nanos {
        self.0
    }
}

static SAID: Mutex<String> = Mutex::new(String::new());

#[tokio::test]
async fn a_panic_says_nothing_of_the_request() {
    let mut traces = payloads().into_iter().find_map(|p| p.traces).expect("a payload");
    sow_traces(&mut traces, "panic");
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(|info| SAID.lock().expect("lock").push_str(&info.to_string())));
    let normalizer = Arc::new(Normalizer::new(Config::default()));
    let clock = Arc::new(Now(crate::doors::now()));
    let (log, meter) = (Arc::new(Fragile), Arc::new(Meter::default()));
    let receiver = Receiver::new(otlp::Config::default(), normalizer, log, clock, meter, u64::MAX);
    let request = Request::post("/v1/traces")
        .header(header::CONTENT_TYPE, "application/x-protobuf")
        .header(header::AUTHORIZATION, format!("Bearer {}", canary("token in a panic")))
        .body(axum::body::Body::from(traces.encode_to_vec()))
        .expect("a request");
    let answer = otlp::http_router(Arc::new(receiver)).oneshot(request).await.expect("infallible");
    std::panic::set_hook(before);
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    let said = SAID.lock().expect("lock").clone();
    assert!(said.contains("the log broke"), "{said}");
    assert_eq!([hits(&body), hits(said.as_bytes())].concat(), Vec::<String>::new());
}
