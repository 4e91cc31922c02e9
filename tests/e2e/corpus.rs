//! The corpus through the running server: over gRPC and HTTP, then every route and command.

use super::payload::{self, Payload};
use super::server::{CONFIG, Server, armspan};
use armspan::api::proto::ListRunsRequest;
use armspan::api::proto::run_service_client::RunServiceClient;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// Over gRPC, some compressed.
const GRPC: [&str; 4] = [
    "python/openai_v2/latest_chat_span_and_event",
    "python/evaluations/otel_log",
    "python/pydantic_ai/chat",
    "js/vercel_ai_v7/error_embed",
];
/// Over HTTP, compressed in turn.
const HTTP: [&str; 3] = [
    "python/openinference_openai/loop",
    "js/openfeature_hooks/event_hook_logs",
    "python/litellm/error",
];

async fn channel(server: &Server) -> Channel {
    let endpoint = Channel::from_shared(format!("http://127.0.0.1:{}", server.grpc));
    endpoint.expect("address").connect().await.expect("connected")
}

async fn send_grpc(server: &Server, payload: &Payload, zip: bool) {
    let channel = channel(server).await;
    let mut traces = TraceServiceClient::new(channel.clone());
    let mut logs = LogsServiceClient::new(channel);
    if zip {
        traces = traces.send_compressed(CompressionEncoding::Gzip);
        logs = logs.send_compressed(CompressionEncoding::Zstd);
    }
    let answer = traces.export(payload.traces.clone()).await.expect("accepted").into_inner();
    assert_eq!(answer.partial_success, None, "full success leaves it unset");
    if let Some(records) = &payload.logs {
        let answer = logs.export(records.clone()).await.expect("accepted").into_inner();
        assert_eq!(answer.partial_success, None);
    }
}

async fn send_http(server: &Server, payload: &Payload, encoding: &str) {
    let squeeze = |bytes: Vec<u8>| match encoding {
        "zstd" => zstd::encode_all(&bytes[..], 1).expect("zstd"),
        "gzip" => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(&bytes).expect("gzip");
            out.finish().expect("gzip")
        }
        _ => bytes,
    };
    let mut requests = vec![("traces", payload.traces.encode_to_vec())];
    requests.extend(payload.logs.iter().map(|logs| ("logs", logs.encode_to_vec())));
    for (signal, bytes) in requests {
        let url = format!("http://127.0.0.1:{}/v1/{signal}", server.http);
        let request = reqwest::Client::new()
            .post(url)
            .header("content-type", "application/x-protobuf")
            .header("content-encoding", encoding)
            .body(squeeze(bytes));
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        assert!(answer.bytes().await.expect("body").is_empty(), "full success is an empty message");
    }
}

/// Run id → calls and figures.
fn figures(records: &[Json]) -> BTreeMap<String, (Json, Json)> {
    let one = |record: &Json| {
        let id = record["run"]["id"].as_str().expect("id").to_owned();
        (id, (record["traffic"]["calls"].clone(), crate::figures::lasting(&record["metrics"])))
    };
    records.iter().map(one).collect()
}

fn lines(text: &[u8]) -> Vec<Json> {
    let text = std::str::from_utf8(text).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

async fn runs(server: &Server) -> Vec<Json> {
    let page = server.json("/api/v1/runs?limit=1000").await;
    page["runs"].as_array().expect("runs").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_corpus_over_every_door_gives_what_a_replay_gives() {
    let folder = tempfile::tempdir().expect("folder");
    let mut server = Server::start(folder.path()).await;
    let mut files = Vec::new();
    for (at, name) in GRPC.into_iter().enumerate() {
        let payload = payload::capture(name);
        send_grpc(&server, &payload, at % 2 == 1).await;
        files.extend(payload.write(folder.path(), name));
    }
    for (name, encoding) in HTTP.into_iter().zip(["gzip", "zstd", "identity"]) {
        let payload = payload::capture(name);
        send_http(&server, &payload, encoding).await;
        files.extend(payload.write(folder.path(), name));
    }
    let config = folder.path().join("replay.yaml");
    std::fs::write(&config, CONFIG).expect("config");
    let mut words = vec!["replay", "--records", "--config", config.to_str().expect("path")];
    words.extend(files.iter().map(String::as_str));
    let replayed = armspan(&words);
    assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stderr));
    let expected = figures(&lines(&replayed.stdout));
    assert!(expected.len() > 8, "{expected:#?}");
    server
        .until("the same figures as a replay", async || figures(&runs(&server).await) == expected)
        .await;

    every_route_answers(&server).await;
    grpc_services_answer(&server, expected.len()).await;
    commands_answer(&server);
    ends_and_comes_back(&mut server, folder.path(), &expected).await;
}

async fn every_route_answers(server: &Server) {
    let document = server.json("/api/openapi.json").await;
    let run = runs(server).await[0]["run"]["id"].as_str().expect("id").to_owned();
    let paths = document["paths"].as_object().expect("paths");
    let mut asked = 0;
    for (path, methods) in
        paths.iter().filter(|(path, m)| m["get"].is_object() && !path.ends_with("/events"))
    {
        let path = path.replace("{experiment}", "support-answer");
        let path = ["{run}", "{a}", "{b}"].iter().fold(path, |path, name| path.replace(name, &run));
        let query = if methods["get"].to_string().contains("\"metric\"") {
            "?metric=error_rate"
        } else {
            ""
        };
        let answer = server.text(&format!("{path}{query}")).await;
        assert!(answer.is_some_and(|text| !text.is_empty()), "{path}");
        asked += 1;
    }
    assert!(asked >= 9, "{asked} routes");
    for page in ["/", "/status", &format!("/runs/{run}")] {
        let text = server.text(page).await.unwrap_or_default();
        assert!(text.contains("armspan") && text.contains("</html>"), "{page}: {text}");
    }
    let metrics = server.text("/metrics").await.expect("metrics");
    assert!(metrics.contains("armspan_spans_received_total") && metrics.contains("support-answer"));
}

async fn grpc_services_answer(server: &Server, count: usize) {
    let channel = channel(server).await;
    let health = HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await;
    assert_eq!(health.expect("health").into_inner().status, 1, "serving");
    let request = ListRunsRequest { limit: 1000, ..ListRunsRequest::default() };
    let answer = RunServiceClient::new(channel.clone()).list_runs(request).await.expect("runs");
    assert_eq!(answer.into_inner().runs.len(), count);
    let listed = reflected_services(channel).await;
    for name in ["armspan.v1.RunService", "opentelemetry.proto.collector.trace.v1.TraceService"] {
        assert!(listed.iter().any(|service| service == name), "{listed:?}");
    }
}

async fn reflected_services(channel: Channel) -> Vec<String> {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let stream = tokio_stream::iter([ask]);
    let answer = ServerReflectionClient::new(channel).server_reflection_info(stream).await;
    let first =
        answer.expect("reflection").into_inner().message().await.expect("answer").expect("one");
    match first.message_response {
        Some(MessageResponse::ListServicesResponse(list)) => {
            list.service.into_iter().map(|service| service.name).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn commands_answer(server: &Server) {
    let url = server.url();
    let list = armspan(&["runs", "list", "--server", &url, "-o", "json"]).stdout;
    let list: Json = serde_json::from_slice(&list).expect("runs");
    let id = |at: usize| list["runs"][at]["run"]["id"].as_str().expect("id");
    let commands: [&[&str]; 5] = [
        &["arms", "status", "support-answer"],
        &["runs", "list"],
        &["runs", "compare", id(0), id(1)],
        &["status"],
        &["export", "jsonl"],
    ];
    for command in commands {
        for format in ["table", "json", "jsonl", "markdown", "csv"] {
            let words = [command, &["--server", &url, "-o", format]].concat();
            let out = armspan(&words);
            assert!(out.status.success(), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
            assert!(!out.stdout.is_empty() && out.stderr.is_empty(), "{words:?}");
        }
    }
    let wrong = armspan(&["arms", "status", "support-answr", "--server", &url]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&wrong.stderr).contains("support-answer"),
        "names the near one"
    );
}

async fn ends_and_comes_back(
    server: &mut Server,
    folder: &Path,
    expected: &BTreeMap<String, (Json, Json)>,
) {
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0), "drained");
    assert!(!server.data.join("server.json").exists());
    let mut recorded = Vec::new();
    for entry in std::fs::read_dir(server.data.join("runs")).expect("runs") {
        recorded.extend(lines(&std::fs::read(entry.expect("entry").path()).expect("file")));
    }
    assert_eq!(&figures(&recorded), expected, "the records of the drain");
    let again = Server::start(folder).await;
    again
        .until("the same figures after a restart", async || {
            &figures(&runs(&again).await) == expected
        })
        .await;
}
