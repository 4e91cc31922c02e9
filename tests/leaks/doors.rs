//! What goes in: every payload of the corpus, sown with canaries, through every door; and requests
//! that are wrong in every way, each around a canary.

use crate::canary::{canary, hits, sow_logs, sow_traces};
use crate::run::Run;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;

/// A body of the corpus; its times are of now.
pub struct Payload {
    pub name: String,
    pub traces: Option<ExportTraceServiceRequest>,
    pub logs: Option<ExportLogsServiceRequest>,
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("clock").as_nanos() as u64
}

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => files(&path, out),
            false => out.push(path),
        }
    }
}

/// Every captured request of the corpus.
pub fn payloads() -> Vec<Payload> {
    let mut paths = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    files(&root, &mut paths);
    paths.sort();
    paths.iter().filter_map(|path| payload(path, &root)).collect()
}

fn payload(path: &Path, root: &Path) -> Option<Payload> {
    let name = path.strip_prefix(root).ok()?.to_string_lossy().into_owned();
    let bytes = std::fs::read(path).ok()?;
    let (mut traces, mut logs) = (None, None);
    if name.ends_with(".otlp.json") {
        traces = Some(serde_json::from_slice(&bytes).expect("OTLP/JSON"));
    } else if name.ends_with(".pb") && name.contains(".traces") {
        traces = Some(ExportTraceServiceRequest::decode(&bytes[..]).expect("traces"));
    } else if name.ends_with(".pb") && name.contains(".logs") {
        logs = Some(ExportLogsServiceRequest::decode(&bytes[..]).expect("logs"));
    } else {
        return None;
    }
    if let Some(traces) = &mut traces {
        of_now(traces);
    }
    Some(Payload { name, traces, logs })
}

/// Old log records are taken as they are: only their spans' times matter.
fn of_now(traces: &mut ExportTraceServiceRequest) {
    let scopes = traces.resource_spans.iter_mut().flat_map(|r| &mut r.scope_spans);
    for span in scopes.flat_map(|scope| &mut scope.spans) {
        let took = span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano);
        span.end_time_unix_nano = now();
        span.start_time_unix_nano = now() - took.clamp(1, 60_000_000_000);
    }
}

/// Every payload, over HTTP in both forms and over gRPC; says how many were taken.
pub async fn fill(run: &Run) -> usize {
    let mut taken = 0;
    let url = format!("http://127.0.0.1:{}", run.grpc);
    let channel = Channel::from_shared(url).expect("an address").connect().await.expect("connects");
    for payload in payloads() {
        if let Some(mut traces) = payload.traces {
            sow_traces(&mut traces, &payload.name);
            let json = serde_json::to_vec(&traces).expect("JSON");
            let path = "/v1/traces";
            taken += run.send(path, PROTOBUF, traces.encode_to_vec(), false).await;
            taken += run.send(path, JSON, json, true).await;
            let mut client =
                TraceServiceClient::new(channel.clone()).send_compressed(CompressionEncoding::Gzip);
            client.export(with_token(traces)).await.expect("accepted");
        }
        if let Some(mut logs) = payload.logs {
            sow_logs(&mut logs, &payload.name);
            let json = serde_json::to_vec(&logs).expect("JSON");
            taken += run.send("/v1/logs", PROTOBUF, logs.encode_to_vec(), true).await;
            taken += run.send("/v1/logs", JSON, json, false).await;
            let mut client = LogsServiceClient::new(channel.clone());
            client.export(with_token(logs)).await.expect("accepted");
        }
    }
    taken
}

fn with_token<M>(message: M) -> tonic::Request<M> {
    let mut request = tonic::Request::new(message);
    let token = format!("Bearer {}", canary("token over gRPC")).parse().expect("a header");
    request.metadata_mut().insert("authorization", token);
    request
}

pub const PROTOBUF: &str = "application/x-protobuf";
pub const JSON: &str = "application/json";

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).and_then(|()| out.finish()).expect("memory")
}

/// Requests to the OTLP doors that are refused; no answer repeats anything of them.
pub async fn wrong_requests(run: &Run) {
    let word = |what: &str| canary(&format!("wrong request: {what}"));
    let good = payloads().into_iter().find_map(|payload| payload.traces).expect("a payload");
    let mut sown = good.clone();
    sow_traces(&mut sown, "cut off");
    let mut cut = sown.encode_to_vec();
    cut.truncate(cut.len() - 3);
    let text = |what: &str, text: &str| text.replace("WORD", &word(what)).into_bytes();
    let spans = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"WORD","#;
    let mut bad_utf8 = sown.clone();
    let span = &mut bad_utf8.resource_spans[0].scope_spans[0].spans[0];
    span.trace_id = word("as a trace id").into_bytes();
    let mut broken = text("in no UTF-8", "\u{1}WORD");
    broken[0] = 0xFF;
    let wrong: Vec<(&str, &str, &str, Vec<u8>)> = vec![
        ("/v1/traces", PROTOBUF, "identity", cut.clone()),
        ("/v1/traces", PROTOBUF, "gzip", gzip(&cut)),
        ("/v1/traces", PROTOBUF, "gzip", gzip(&cut)[..60].to_vec()),
        ("/v1/traces", PROTOBUF, "zstd", cut.clone()),
        ("/v1/logs", PROTOBUF, "deflate", text("not deflated", "WORD")),
        ("/v1/traces", PROTOBUF, "br", text("brotli", "WORD")),
        ("/v1/traces", "text/plain", "identity", text("of another type", "WORD")),
        ("/v1/traces", "", "identity", text("of no type", "WORD")),
        ("/v1/traces", JSON, "identity", text("no JSON", "WORD")),
        ("/v1/traces", JSON, "identity", text("JSON that ends", &format!("{spans}\"kind\":"))),
        (
            "/v1/traces",
            JSON,
            "identity",
            text("a wrong type", &format!("{spans}\"kind\":[\"WORD\"]}}")),
        ),
        (
            "/v1/traces",
            JSON,
            "identity",
            text("a bad escape", &format!("{spans}\"x\":\"WORD\\q\"")),
        ),
        ("/v1/logs", JSON, "gzip", gzip(&text("in a list", "[\"WORD\"]"))),
        ("/v1/traces", JSON, "identity", broken.clone()),
        ("/v1/traces", PROTOBUF, "identity", broken),
        ("/v1/traces", PROTOBUF, "identity", text("too large", &"WORD ".repeat(80_000))),
        ("/v1/metrics", PROTOBUF, "identity", text("metrics", "WORD")),
        ("/v1/nothing", PROTOBUF, "identity", text("at no path", "WORD")),
        ("/v1/traces", PROTOBUF, "identity", bad_utf8.encode_to_vec()),
    ];
    for (path, media, encoding, body) in wrong {
        let (status, answer) = run.post(path, media, encoding, body).await;
        // The last one is a partial success.
        let refused = status >= 400 || !answer.is_empty() || path == "/v1/metrics";
        assert!(refused, "{path} {media} {encoding}: {status}");
        assert_eq!(hits(&answer), Vec::<String>::new(), "{path} {media} {encoding}");
    }
    wrong_calls(run, &word).await;
}

/// A message whose bytes are as they are.
#[derive(Clone, PartialEq, Message)]
struct AnyBytes {
    #[prost(bytes = "vec", tag = "1")]
    bytes: Vec<u8>,
}

async fn wrong_calls(run: &Run, word: &impl Fn(&str) -> String) {
    let url = format!("http://127.0.0.1:{}", run.grpc);
    let channel = Channel::from_shared(url).expect("an address").connect().await.expect("connects");
    let traces = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    for (path, bytes) in [
        (traces, format!("\u{7}{}", word("over gRPC")).into_bytes()),
        (traces, word("over gRPC, too large").repeat(40_000).into_bytes()),
        ("/opentelemetry.proto.collector.trace.v1.TraceService/Nothing", word("no method").into()),
        ("/armspan.v1.ScoreService/Write", word("to our own service").into_bytes()),
    ] {
        let mut grpc = tonic::client::Grpc::new(channel.clone());
        grpc.ready().await.expect("ready");
        let codec = tonic_prost::ProstCodec::<AnyBytes, AnyBytes>::default();
        let path = http::uri::PathAndQuery::from_static(path);
        let answer = grpc.unary(with_token(AnyBytes { bytes }), path, codec).await;
        let status = answer.expect_err("refused");
        assert_eq!(hits(format!("{status:?}").as_bytes()), Vec::<String>::new());
    }
}
