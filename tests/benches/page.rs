//! What a page costs the server: an experiment of 32 arms × 20 metrics as markup and compressed,
//! and a list of 1,000 experiments. The bound is 50 ms (`cargo bench --bench page`).

#[path = "../support/wide.rs"]
mod wide;

use arc_swap::ArcSwap;
use armspan::model;
use armspan::model::View;
use armspan::model::meter::Meter;
use armspan::model::view::Series;
use armspan::web::{Addresses, Queue, WebState, router};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use criterion::{Criterion, criterion_group, criterion_main};
use std::sync::Arc;
use tower::ServiceExt as _;

fn pages(view: View) -> Router {
    let address = || "127.0.0.1:4317".to_owned();
    router(WebState {
        view: Arc::new(ArcSwap::from_pointee(view)),
        meter: Arc::new(Meter::default()),
        addresses: Addresses {
            grpc: address(),
            http: address(),
            web: address(),
            tls: false,
            credentials: false,
        },
        queue: Arc::new(Queue::default),
        series: Arc::new(|_| Series::default()),
        effective: Arc::new(String::new),
    })
}

/// Bytes of an answer.
async fn asked(router: Router, path: &str, encoding: &str) -> usize {
    let request = Request::get(path).header(header::ACCEPT_ENCODING, encoding);
    let answer = router.oneshot(request.body(Body::empty()).expect("a request")).await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), 200);
    to_bytes(answer.into_body(), usize::MAX).await.expect("a body").len()
}

fn page(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (wide, many) = (pages(wide::wide()), pages(wide::many()));
    let plain = "/experiments/support-bot".to_owned();
    for (name, router, path) in [
        ("32 arms × 20 metrics", &wide, plain),
        ("32 arms × 20 metrics, all open", &wide, wide::all_open()),
        ("1,000 experiments", &many, "/experiments".to_owned()),
    ] {
        for (how, encoding) in [("markup", "identity"), ("gzip", "gzip")] {
            let bytes = runtime.block_on(asked(router.clone(), &path, encoding));
            let title = format!("{name}: {how}, {bytes} bytes");
            c.bench_function(&title, |b| {
                b.iter(|| runtime.block_on(asked(router.clone(), &path, encoding)));
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = page
}
criterion_main!(benches);
