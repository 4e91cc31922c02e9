//! How much a browser fetches for the page of an experiment: what is served, compressed.

// The bench of the page uses it, too, and more of it.
#[allow(dead_code)]
#[path = "../../../tests/support/wide.rs"]
mod wide;

use super::tests::demo;
use crate::model;
use crate::web::asset::ASSETS;
use crate::web::tests::pages;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

/// A first visit: the page of the demo and all that it names but the script of charts, which is
/// fetched when a chart comes near.
const FIRST_VISIT_BYTES_MAX: usize = 60_000;
/// The page of 32 arms × 20 metrics with its histories, and the same with every arm open.
const WIDE_BYTES_MAX: usize = 45_000;
const OPEN_BYTES_MAX: usize = 100_000;

async fn fetched(router: &Router, path: &str) -> usize {
    let request = Request::get(path).header(header::ACCEPT_ENCODING, "gzip");
    let answer = router.clone().oneshot(request.body(Body::empty()).expect("a request")).await;
    let answer = answer.expect("an answer");
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-encoding"] == "gzip"),
        (200, true)
    );
    answer.into_body().collect().await.expect("a body").to_bytes().len()
}

#[tokio::test]
async fn a_first_visit_fetches_little() {
    let router = pages(demo());
    let mut sizes = vec![("page", fetched(&router, "/experiments/support-bot").await)];
    for asset in [&ASSETS.style, &ASSETS.script, &ASSETS.theme, &ASSETS.icon] {
        sizes.push((&asset.path, fetched(&router, &asset.path).await));
    }
    let all: usize = sizes.iter().map(|size| size.1).sum();
    assert!(all <= FIRST_VISIT_BYTES_MAX, "{all} bytes: {sizes:?}");
}

#[tokio::test]
async fn a_wide_experiment_stays_a_page_of_a_size_that_one_waits_for() {
    let router = pages(wide::wide());
    let closed = fetched(&router, "/experiments/support-bot").await;
    let open = fetched(&router, &wide::all_open()).await;
    assert!(closed <= WIDE_BYTES_MAX && open <= OPEN_BYTES_MAX, "{closed} and {open} bytes");
}
