//! The same figure is the same everywhere: every number of every arm and metric is taken from
//! each surface of a real server and held against the API's document, bit for bit where it is a
//! number, letter for letter where it is for people; then from the folder that the server left.

mod commands;
mod documents;
mod pages;
mod tables;
mod traffic;
mod truth;

use super::server::Server;
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::time::Duration;
use truth::Truth;

/// The minute of the calls is over and looked at, for so many looks, and the log stands still.
async fn quiet(server: &Server, looks: usize) {
    let mut last = (Json::Null, 0);
    for _ in 0..120 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let position = server.json("/api/v1/status").await["position"].clone();
        let same = if position == last.0 { last.1 + 1 } else { 0 };
        let series = server.json("/api/v1/experiments/walk/series?metric=rating").await;
        let found = series["looks"].as_array().cloned().unwrap_or_default();
        let times: BTreeSet<String> = found.iter().map(|look| look["at"].to_string()).collect();
        if same >= 3 && times.len() >= looks {
            return;
        }
        last = (position, same);
    }
    panic!("the log does not come to rest");
}

/// A cut, so that the records are at the sinks.
async fn cut(server: &Server) {
    let url = format!("{}/api/v1/cuts", server.url());
    server
        .until("a cut", async || {
            let answer = reqwest::Client::new().post(&url).send().await.expect("answers");
            answer.status() == 200
        })
        .await;
    server
        .until("its delivery", async || {
            let status = server.json("/api/v1/status").await;
            let sinks = status["sinks"].as_array().cloned().unwrap_or_default();
            sinks.iter().all(|s| s["waiting"] == 0 && s["delivered"].as_u64() >= Some(1))
        })
        .await;
}

async fn experiment(server: &Server) -> Json {
    server.json("/api/v1/experiments/walk").await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_surface_shows_the_same_figures() {
    let folder = tempfile::tempdir().expect("folder");
    let mut server = Server::start_with(folder.path(), traffic::CONFIG).await;
    // A chart needs two looks, and so two minutes.
    for (looks, ids) in [(1, 0..traffic::CALLS / 2), (2, traffic::CALLS / 2..traffic::CALLS)] {
        traffic::send(&server, ids).await;
        quiet(&server, looks).await;
    }
    cut(&server).await;
    let truth = Truth::of(experiment(&server).await);
    truth.is_worth_walking();
    documents::walk(&truth, &server).await;
    pages::walk(&truth, &server).await;
    let url = server.url();
    commands::walk(&truth, ["--server", &url]);
    let after = experiment(&server).await;
    assert_eq!(after, truth.json, "something moved while it was walked");
    server.signal("TERM");
    assert!(server.wait().success());
    let data = server.data.display().to_string();
    commands::walk(&truth, ["--data", &data]);
}
