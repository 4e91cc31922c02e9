//! kill -9 in the middle of a stream: what was acknowledged is counted once, whatever is sent again.

use super::load::{PER_REQUEST, arms, expected, request};
use super::payload::now;
use super::server::{Server, armspan};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use serde_json::Value as Json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

const CLIENTS: u64 = 4;

/// Sends requests until the server is gone; says which were acknowledged and which were not.
async fn stream(port: u16, next: Arc<AtomicU64>, began: u64) -> (Vec<u64>, Vec<u64>) {
    let (mut acknowledged, mut open) = (Vec::new(), Vec::new());
    let Ok(mut client) = TraceServiceClient::connect(format!("http://127.0.0.1:{port}")).await
    else {
        return (acknowledged, open);
    };
    loop {
        let number = next.fetch_add(1, SeqCst);
        match client.export(request(number, began)).await {
            Ok(_) => acknowledged.push(number),
            Err(_) => {
                open.push(number);
                return (acknowledged, open);
            }
        }
    }
}

async fn send_all(server: &Server, numbers: &[u64], began: u64) {
    let address = format!("http://127.0.0.1:{}", server.grpc);
    let mut client = TraceServiceClient::connect(address).await.expect("connected");
    for number in numbers {
        client.export(request(*number, began)).await.expect("accepted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_counted_once_after_kills() {
    let folder = tempfile::tempdir().expect("folder");
    let began = now();
    let next = Arc::new(AtomicU64::new(0));
    let (mut acknowledged, mut open) = (Vec::new(), Vec::new());
    // Not round: the moment of the kill is different in every round, and from run to run.
    for pause in [230, 410, 170] {
        let mut server = Server::start(folder.path()).await;
        let clients: Vec<_> =
            (0..CLIENTS).map(|_| tokio::spawn(stream(server.grpc, next.clone(), began))).collect();
        tokio::time::sleep(Duration::from_millis(pause)).await;
        server.signal("KILL");
        server.wait();
        for client in clients {
            let (done, lost) = client.await.expect("client");
            acknowledged.extend(done);
            open.extend(lost);
        }
    }
    assert!(acknowledged.len() > 20, "{} requests were acknowledged", acknowledged.len());
    let server = Server::start(folder.path()).await;
    let status = server.json("/api/v1/status").await;
    let known = status["engine"]["observations"]["call"].as_u64().unwrap_or(0);
    assert!(known >= acknowledged.len() as u64 * PER_REQUEST, "nothing acknowledged is lost");
    // An exporter sends again what it has no answer for; and every third request comes twice.
    let again: Vec<u64> = acknowledged.iter().copied().filter(|number| number % 3 == 0).collect();
    send_all(&server, &open, began).await;
    send_all(&server, &again, began).await;
    let sent = (acknowledged.len() + open.len()) as u64;
    server.settled(sent * PER_REQUEST).await;
    same_as_the_oracle(&server, &acknowledged, &open).await;
    same_as_its_own_log(server).await;
}

async fn same_as_the_oracle(server: &Server, acknowledged: &[u64], open: &[u64]) {
    let numbers = acknowledged.iter().chain(open).copied().collect();
    let experiment = server.json("/api/v1/experiments/load").await;
    assert_eq!(arms(&experiment), expected(&numbers));
}

async fn same_as_its_own_log(mut server: Server) {
    let shown = server.json("/api/v1/experiments/load").await;
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    let replayed = armspan(&["replay", server.data.to_str().expect("path"), "-o", "json"]);
    assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stderr));
    let replayed: Json = serde_json::from_slice(&replayed.stdout).expect("one document");
    assert_eq!(arms(&replayed), arms(&shown));
    assert_eq!(replayed["sites"][0]["arms"], shown["sites"][0]["arms"], "every figure is the same");
}
