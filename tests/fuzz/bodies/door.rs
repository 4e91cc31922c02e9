//! The receivers over HTTP around a log that keeps nothing, on a clock that stands still.

use armspan::model::{Appended, Body, Clock, Log, Meter, Nanos, Position};
use armspan::normalize::{Config, Normalizer};
use armspan::otlp::{self, Receiver};
use axum::Router;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tower::ServiceExt;

/// Takes everything and keeps nothing.
pub struct Hole;

impl Log for Hole {
    fn append(&self, _: Nanos, _: Body) -> Appended {
        Appended::known(Ok(0))
    }

    fn depth(&self) -> (Position, u64) {
        (0, 0)
    }
}

/// A clock that stands still.
pub struct Still;

impl Clock for Still {
    fn now(&self) -> Nanos {
        1_795_463_700_000_000_000
    }
}

/// Both doors' router, and what counts.
pub struct Door {
    router: Router,
    meter: Arc<Meter>,
    runtime: tokio::runtime::Runtime,
}

impl Door {
    /// With small limits, so that small inputs reach them.
    pub fn new(request_bytes_max: usize) -> Door {
        let meter = Arc::new(Meter::default());
        let config = otlp::Config { request_bytes_max, ..otlp::Config::default() };
        let normalizer = Arc::new(Normalizer::new(Config::default()));
        let horizon = 7 * 86_400 * 1_000_000_000;
        let receiver = Receiver::new(
            config,
            normalizer,
            Arc::new(Hole),
            Arc::new(Still),
            meter.clone(),
            horizon,
        );
        let router = otlp::http_router(Arc::new(receiver));
        Door { router, meter, runtime: runtime() }
    }

    /// The answer to a request; nothing of it stays in flight.
    pub fn post(&self, media: &str, encoding: &str, body: &[u8]) -> (StatusCode, Vec<u8>) {
        let request = Request::post("/v1/traces")
            .header(header::CONTENT_TYPE, media)
            .header(header::CONTENT_ENCODING, encoding)
            .body(axum::body::Body::from(body.to_vec()))
            .expect("a request");
        let answer = self.runtime.block_on(async {
            let answer = self.router.clone().oneshot(request).await.expect("infallible");
            let status = answer.status();
            (status, answer.into_body().collect().await.expect("a body").to_bytes().to_vec())
        });
        assert_eq!(self.meter.in_flight_bytes.load(Relaxed), 0, "all bytes are given back");
        answer
    }
}

/// One whose clock jumps over waits.
pub fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().expect("a runtime")
}
