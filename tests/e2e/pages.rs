//! Pages over the real binary: what a browser that stays open sees, and that it holds nobody up.

use crate::payload::capture;
use crate::server::Server;
use prost::Message;
use std::time::Duration;

/// The next part of a stream of events; none when it has ended.
async fn next(answer: &mut reqwest::Response) -> Option<String> {
    // Keep-alives come every 15 s: what takes longer is lost.
    let part = tokio::time::timeout(Duration::from_secs(20), answer.chunk()).await;
    let part = part.expect("a part, or the end").expect("no broken stream")?;
    Some(String::from_utf8_lossy(&part).into_owned())
}

#[tokio::test]
async fn an_open_page_hears_what_is_new_and_does_not_hold_up_the_end() {
    let folder = tempfile::tempdir().expect("folder");
    let mut server = Server::start(folder.path()).await;
    let mut live = reqwest::get(format!("{}/live", server.url())).await.expect("live");
    let mut events = reqwest::get(format!("{}/api/v1/events", server.url())).await.expect("events");
    let first = next(&mut live).await.expect("the present position");
    assert!(first.contains("event: view"), "{first}");
    let sent = capture("python/openai_v2/v130_chat_default").traces.encode_to_vec();
    let posted = reqwest::Client::new()
        .post(format!("http://127.0.0.1:{}/v1/traces", server.http))
        .header("content-type", "application/x-protobuf")
        .body(sent)
        .send()
        .await;
    assert!(posted.expect("sent").status().is_success());
    let mut told = next(&mut live).await.expect("a later position");
    while told == first || !told.contains("event: view") {
        told = next(&mut live).await.expect("a later position");
    }
    server.signal("TERM");
    while next(&mut live).await.is_some() {}
    while next(&mut events).await.is_some() {}
    assert!(server.wait().success());
}

#[tokio::test]
async fn every_page_answers_compressed_and_with_its_policy() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path()).await;
    for path in ["/", "/experiments", "/runs", "/sinks", "/pipeline", "/config"] {
        let request = reqwest::Client::new().get(format!("{}{path}", server.url()));
        let answer = request.header("accept-encoding", "gzip").send().await.expect("an answer");
        let header = |name: &str| {
            answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        assert_eq!(answer.status().as_u16(), 200, "{path}");
        assert_eq!(header("content-encoding"), "gzip", "{path}");
        assert!(header("content-security-policy").contains("script-src 'self'"), "{path}");
    }
    let config = server.text("/config").await.expect("the config");
    assert!(config.contains("support-answer"), "{config}");
}
