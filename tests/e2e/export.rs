//! Records leave through the outbox: to several sinks at once, over kills and restarts, to sinks
//! that are added later, and by `armspan export` from a running server or from its folder.

use super::load::{PER_REQUEST, request};
use super::payload::now;
use super::server::{CONFIG, Server, armspan, configure};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

async fn send(server: &Server, number: u64, began: u64) {
    let mut client = TraceServiceClient::connect(format!("http://127.0.0.1:{}", server.grpc))
        .await
        .expect("connects");
    client.export(request(number, began)).await.expect("accepted");
    server.settled((number + 1) * PER_REQUEST).await;
}

async fn cut(server: &Server) {
    let url = format!("{}/api/v1/cuts", server.url());
    server
        .until("a cut", async || {
            let answer = reqwest::Client::new().post(&url).send().await.expect("answers");
            answer.status() == 200
        })
        .await;
}

async fn sink(server: &Server, kind: &str) -> Json {
    let status = server.json("/api/v1/status").await;
    let sinks = status["sinks"].as_array().expect("sinks").clone();
    let own = |s: &&Json| s["name"].as_str().is_some_and(|name| name.starts_with(kind));
    sinks.iter().find(own).cloned().unwrap_or(Json::Null)
}

async fn delivered(server: &Server, kind: &str, count: u64) {
    let what = format!("{count} items to {kind}");
    server
        .until(&what, async || {
            let sink = sink(server, kind).await;
            sink["delivered"].as_u64() >= Some(count) && sink["waiting"] == 0
        })
        .await;
}

/// Records of the JSON lines under a folder, in their order.
fn lines(folder: &Path) -> Vec<Json> {
    let mut files: Vec<_> = std::fs::read_dir(folder.join("runs"))
        .expect("runs")
        .map(|entry| entry.expect("entry").path())
        .collect();
    files.sort();
    let text: String =
        files.iter().map(|file| std::fs::read_to_string(file).expect("text")).collect();
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn key(record: &Json) -> (String, u64, u64) {
    let id = record["run"]["id"].as_str().expect("id").to_owned();
    let number = |json: &Json| json.as_u64().expect("number");
    (id, number(&record["window"]["epoch"]), number(&record["collector"]["position"]["0"]))
}

fn out(words: &[&str]) -> Output {
    let out = armspan(words);
    assert!(out.status.success(), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
    out
}

fn json_lines(out: &Output) -> Vec<Json> {
    let text = String::from_utf8_lossy(&out.stdout);
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_leave_once_over_kills_and_restarts() {
    let folder = tempfile::tempdir().expect("folder");
    let began = now() - 1_000_000_000;
    let path = |name: &str| folder.path().join(name).display().to_string();
    let sinks = json!([
        {"kind": "jsonl", "dir": path("lines")},
        {"kind": "intoto", "dir": path("statements")},
        {"kind": "ci", "summary": path("summary.md"), "badge": path("badge.svg")},
    ]);
    let mut server = Server::start_with(folder.path(), &format!("{CONFIG}sinks: {sinks}\n")).await;
    for number in 0..3 {
        send(&server, number, began).await;
        cut(&server).await;
        // The third is in the middle of its deliveries, or not begun.
        if number < 2 {
            delivered(&server, "jsonl", number + 1).await;
        }
        server.signal("KILL");
        server.wait();
        server = Server::start_with(folder.path(), &format!("{CONFIG}sinks: {sinks}\n")).await;
    }
    for kind in ["jsonl", "intoto", "ci"] {
        delivered(&server, kind, 3).await;
    }
    let page = server.json("/api/v1/outbox?limit=100").await;
    let cuts = page["items"].as_array().expect("items").iter().filter_map(|i| i.get("cut"));
    let recorded: Vec<Json> =
        cuts.flat_map(|cut| cut["records"].as_array().expect("records").clone()).collect();
    assert_eq!(lines(&folder.path().join("lines")), recorded, "each once, in order");
    let keys: BTreeSet<_> = recorded.iter().map(key).collect();
    assert_eq!(keys.len(), recorded.len());
    assert_eq!(recorded.iter().filter(|r| r["run"]["arm"] == "A").count(), 3);
    let last: i64 =
        recorded.iter().rev().take(2).map(|r| r["traffic"]["calls"].as_i64().expect("n")).sum();
    assert_eq!(last, 3 * PER_REQUEST as i64);
    assert!(std::fs::read_to_string(path("summary.md")).expect("summary").contains("## load"));
    let metrics = server.text("/metrics").await.expect("metrics");
    assert!(metrics.contains("armspan_export_delivered_total{sink=\"jsonl:"), "{metrics}");
    exports(&server, folder.path(), &recorded);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    offline(folder.path(), &recorded);
}

/// The commands against a running server.
fn exports(server: &Server, folder: &Path, recorded: &[Json]) {
    let url = server.url();
    let status = out(&["export", "status", "--server", &url, "-o", "json"]);
    let status: Json = serde_json::from_slice(&status.stdout).expect("JSON");
    assert_eq!(status.as_array().map(Vec::len), Some(3), "{status}");
    let table = out(&["export", "status", "--server", &url]);
    assert!(String::from_utf8_lossy(&table.stdout).contains("jsonl:"));
    let dir = folder.join("again").display().to_string();
    for _ in 0..2 {
        out(&["export", "jsonl", "--server", &url, "--dir", &dir, "--to", "2100-01-01"]);
        assert_eq!(lines(Path::new(&dir)), recorded, "a second time changes nothing");
    }
    let statements = json_lines(&out(&["export", "intoto", "--server", &url, "--from", "1h"]));
    assert!(statements.iter().all(|s| s["_type"] == "https://in-toto.io/Statement/v1"));
    assert!(statements.len() >= recorded.len());
    let none = out(&["export", "jsonl", "--server", &url, "--to", "2020-01-01"]);
    assert!(none.stdout.is_empty());
    let wrong = armspan(&["export", "webhook", "--server", &url]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("url: is needed"));
    let bad = armspan(&["export", "jsonl", "--server", &url, "--from", "yesterday"]);
    assert!(String::from_utf8_lossy(&bad.stderr).contains("--from yesterday"));
}

/// The same from the folder of a server that is gone.
fn offline(folder: &Path, recorded: &[Json]) {
    let data = folder.join("data").display().to_string();
    let found = json_lines(&out(&["export", "jsonl", "--data", &data]));
    assert_eq!(found[..recorded.len()], *recorded);
    #[cfg(feature = "parquet")]
    {
        let dir = folder.join("tables");
        out(&["export", "parquet", "--data", &data, "--dir", &dir.display().to_string()]);
        let days = std::fs::read_dir(dir.join("records")).expect("a table").count();
        assert!(days >= 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_is_added_later_gets_what_was_before_it() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path()).await;
    send(&server, 0, now() - 1_000_000_000).await;
    cut(&server).await;
    delivered(&server, "jsonl", 1).await;
    let dir = folder.path().join("statements");
    let more = json!([{"kind": "jsonl"}, {"kind": "intoto", "dir": dir}]);
    configure(folder.path(), &format!("sinks: {more}\n"));
    server.signal("HUP");
    delivered(&server, "intoto", 1).await;
    assert_eq!(
        std::fs::read_dir(&dir).expect("files").count(),
        2 * 3,
        "two runs, three files each"
    );
    // A file that is wrong changes nothing, nor does a sink that cannot be opened.
    let taken = folder.path().join("taken");
    std::fs::write(&taken, "no folder").expect("written");
    for wrong in [json!([{"kind": "nothing"}]), json!([{"kind": "jsonl", "dir": taken}])] {
        configure(folder.path(), &format!("sinks: {wrong}\n"));
        server.signal("HUP");
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    send(&server, 1, now() - 1_000_000_000).await;
    cut(&server).await;
    delivered(&server, "intoto", 2).await;
}

/// Answers with a 500 the first two times; what it took well.
async fn flaky() -> (String, Arc<Mutex<Vec<String>>>) {
    let (seen, good) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())));
    let taken = good.clone();
    let answer = move |body: String| async move {
        if seen.fetch_add(1, SeqCst) < 2 {
            return StatusCode::INTERNAL_SERVER_ERROR;
        }
        taken.lock().expect("lock").push(body);
        StatusCode::NO_CONTENT
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
    let url = format!("http://{}/", listener.local_addr().expect("address"));
    let router = Router::new().route("/", post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, good)
}

/// A demo that goes on, and where its pages are.
struct Demo(Child, String);

impl Demo {
    fn start(temporary: &Path) -> Demo {
        let mut command = Command::new(env!("CARGO_BIN_EXE_armspan"));
        command.arg("demo").env("TMPDIR", temporary).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().expect("started");
        let mut told = BufReader::new(child.stderr.take().expect("stderr")).lines();
        let address = |line: String| {
            line.split_whitespace().find(|w| w.starts_with("http://")).map(str::to_owned)
        };
        let mut urls = told.by_ref().map_while(Result::ok).filter_map(address);
        let url = urls.next().expect("the address of its pages");
        // It goes on talking, and ends when nobody listens.
        std::thread::spawn(move || told.for_each(drop));
        Demo(child, url)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A backfill of events tries again, and sends them in the order of the log.
#[tokio::test(flavor = "multi_thread")]
async fn the_demo_tells_its_story_to_a_webhook() {
    let folder = tempfile::tempdir().expect("folder");
    let demo = Demo::start(folder.path());
    let (url, got) = flaky().await;
    let words = ["export", "webhook", "--server", &demo.1, "--url", &url, "--states", "breached"];
    let sent = tokio::task::spawn_blocking({
        let words = words.map(str::to_owned);
        move || out(&words.iter().map(String::as_str).collect::<Vec<_>>())
    });
    sent.await.expect("sent");
    let events: Vec<Json> = got
        .lock()
        .expect("lock")
        .iter()
        .map(|body| serde_json::from_str(body).expect("JSON"))
        .collect();
    let breached = |metric: &str| {
        events.iter().any(|event| {
            event["data"]["arm"] == "C"
                && event["data"]["metric"]["name"] == metric
                && event["data"]["metric"]["verdict"]["state"] == "breached"
        })
    };
    assert!(breached("error_rate") && breached("latency_p95"), "{events:#?}");
    let changed = |event: &&Json| event["data"]["change"]["field"] == "model.revision";
    let change = events.iter().find(changed).expect("the new revision");
    assert_eq!(change["type"], "dev.armspan.change");
    let times: Vec<&str> = events
        .iter()
        .filter_map(|e| e["data"]["metric"].as_object().and(e["time"].as_str()))
        .collect();
    assert!(times.windows(2).all(|pair| pair[0] <= pair[1]), "{times:?}");
}
