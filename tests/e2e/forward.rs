//! armspan inline: its clients are told "done" when the log and downstream have their request,
//! and what comes twice because of that is counted once.

use super::downstream::{Came, Downstream, Say};
use super::load::{PER_REQUEST, request};
use super::payload::now;
use super::server::{CONFIG, Server, command_with, free_port};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;
use std::path::Path;
use std::time::Duration;
use tonic::Code;

fn config(downstream: &Downstream, protocol: &str) -> String {
    let url = downstream.url();
    format!("{CONFIG}forward: {{endpoint: {url}, protocol: {protocol}, timeout: 20s}}\n")
}

async fn start(folder: &Path, downstream: &Downstream, protocol: &str) -> Server {
    Server::start_with(folder, &config(downstream, protocol)).await
}

async fn over_grpc(server: &Server, request: ExportTraceServiceRequest) -> Code {
    let address = format!("http://127.0.0.1:{}", server.grpc);
    let mut client = TraceServiceClient::connect(address).await.expect("connected");
    client.export(request).await.map_or_else(|status| status.code(), |_| Code::Ok)
}

async fn over_http(server: &Server, request: &ExportTraceServiceRequest) -> u16 {
    let url = format!("http://127.0.0.1:{}/v1/traces", server.http);
    let request = reqwest::Client::new().post(url).body(request.encode_to_vec());
    let sent = request.header("content-type", "application/x-protobuf").send().await;
    sent.expect("answered").status().as_u16()
}

/// What downstream took.
fn taken(downstream: &Downstream) -> Vec<Vec<u8>> {
    let ok = |came: &Came| came.said == Say::Ok;
    downstream.came().into_iter().filter(ok).map(|came| came.plain).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_again_is_counted_once_and_taken_once() {
    for protocol in ["http", "grpc"] {
        let folder = tempfile::tempdir().expect("folder");
        let downstream = Downstream::start().await;
        let server = start(folder.path(), &downstream, protocol).await;
        let requests = [1, 2].map(|number| request(number, now()));
        downstream.say(&[Say::Later, Say::Cut, Say::Ok, Say::Later, Say::Later]);
        for expected in [Code::Unavailable, Code::Unavailable, Code::Ok] {
            assert_eq!(over_grpc(&server, requests[0].clone()).await, expected, "{protocol}");
        }
        for expected in [503, 503, 200] {
            assert_eq!(over_http(&server, &requests[1]).await, expected, "{protocol}");
        }
        server.settled(2 * PER_REQUEST).await;
        assert_eq!(taken(&downstream), requests.map(|request| request.encode_to_vec()));
        let status = server.json("/api/v1/status").await;
        assert_eq!(status["received"]["spans"], 2 * PER_REQUEST);
        assert_eq!(status["engine"]["duplicates"], 4 * PER_REQUEST);
        let expected = serde_json::json!({"traces": {"ok": 2, "later": 4, "refused": 0}});
        assert_eq!(status["forwarded"], expected);
        let metrics = server.text("/metrics").await.expect("metrics");
        let line = r#"armspan_forwarded_total{signal="traces",outcome="later"} 4"#;
        assert!(metrics.contains(line), "{metrics}");
        let page = server.text("/status").await.expect("page");
        assert!(page.contains("2 taken, 4 not yet, 0 refused"), "{page}");
    }
}

/// The worst moment: our log has the request, downstream has not answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_before_downstream_answers_loses_and_doubles_nothing() {
    for protocol in ["http", "grpc"] {
        let folder = tempfile::tempdir().expect("folder");
        let downstream = Downstream::start().await;
        let mut server = start(folder.path(), &downstream, protocol).await;
        let sent = request(1, now());
        downstream.say(&[Say::Silent]);
        let address = format!("http://127.0.0.1:{}", server.grpc);
        let mut client = TraceServiceClient::connect(address).await.expect("connected");
        let first = sent.clone();
        let waiting = tokio::spawn(async move { client.export(first).await.map(drop) });
        server.settled(PER_REQUEST).await;
        server.until("downstream", async || downstream.came().len() == 1).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!waiting.is_finished(), "not acknowledged: downstream does not have it");
        server.signal("KILL");
        server.wait();
        assert!(waiting.await.expect("client").is_err());
        let server = start(folder.path(), &downstream, protocol).await;
        assert_eq!(over_grpc(&server, sent.clone()).await, Code::Ok);
        server.settled(PER_REQUEST).await;
        assert_eq!(taken(&downstream), [sent.encode_to_vec()], "{protocol}");
    }
}

#[test]
fn a_loop_is_refused_at_the_start() {
    let folder = tempfile::tempdir().expect("folder");
    let ports = [free_port(), free_port(), free_port()];
    for (protocol, port) in [("grpc", ports[0]), ("http", ports[1])] {
        let forward = format!("{{endpoint: 'http://localhost:{port}', protocol: {protocol}}}");
        let text = format!("{CONFIG}forward: {forward}\n");
        let ended = command_with(folder.path(), ports, &text).output().expect("ends");
        let told = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success(), "{told}");
        assert!(told.contains("forward.endpoint") && told.contains("this server itself"), "{told}");
    }
}
