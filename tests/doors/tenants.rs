//! Two tenants in one process: each sees its own figures and nothing of the other's, whatever
//! route it asks; and one that sends too much is told so without harm to the other.

use super::ask::{channel, grpc};
use super::server::{Running, start, start_in, token, try_config};
use armspan::api::proto::ListRunsRequest;
use armspan::api::proto::run_service_client::RunServiceClient;
use armspan::auth::{Door, ROUTES};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use serde_json::{Value as Json, json};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tonic::Code;

const TENANTS: [&str; 2] = ["default", "acme"];

/// Each tenant's token is its name; both have an experiment of one name, and one of their own.
fn two(more: &str) -> String {
    let tokens = TENANTS.map(|tenant| token(tenant, tenant, "admin")).join(", ");
    let weak = token("acme-ingest", "acme", "ingest");
    format!(
        "auth: {{tokens: [{tokens}, {weak}]}}\n\
         experiments: {{shared: {{control: A}}, canary-default: {{control: canary-arm-default}}}}\n\
         tenants:\n  acme:\n    experiments: {{shared: {{control: A}}, \
         canary-acme: {{control: canary-arm-acme}}}}\n{more}"
    )
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.into())) });
    KeyValue { key: key.into(), value, ..KeyValue::default() }
}

/// Calls of an arm, by users of their own.
fn calls(experiment: &str, arm: &str, model: &str, count: u64) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
    let span = |number: u64| Span {
        trace_id: (u128::from(now) << 64 | u128::from(number + 1)).to_be_bytes().to_vec(),
        span_id: (number + 1).to_be_bytes().to_vec(),
        name: "chat".into(),
        start_time_unix_nano: now - 1_000_000_000,
        end_time_unix_nano: now - 1_000_000,
        attributes: vec![
            text("gen_ai.operation.name", "chat"),
            text("gen_ai.request.model", model),
            text("armspan.experiment", experiment),
            text("armspan.arm", arm),
            text("user.id", &format!("u{number}")),
        ],
        ..Span::default()
    };
    let scope = ScopeSpans { spans: (0..count).map(span).collect(), ..ScopeSpans::default() };
    let resource = ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource] }.encode_to_vec()
}

async fn send(running: &Running, token: &str, body: Vec<u8>) -> reqwest::Response {
    let request = reqwest::Client::new().post(format!("{}/v1/traces", running.url("http")));
    let request = request.header("content-type", "application/x-protobuf").bearer_auth(token);
    request.body(body).send().await.expect("answers")
}

async fn get(running: &Running, token: &str, path: &str) -> (u16, String) {
    let request = reqwest::Client::new().get(format!("{}{path}", running.url("web")));
    let answer = request.bearer_auth(token).send().await.expect("answers");
    let events = path == "/live" || path == "/api/v1/events";
    // A stream of events has no end.
    let text = if events { String::new() } else { answer.status().to_string() };
    let status = answer.status().as_u16();
    if events { (status, text) } else { (status, answer.text().await.expect("a body")) }
}

async fn json(running: &Running, token: &str, path: &str) -> Json {
    let (status, text) = get(running, token, path).await;
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).expect("JSON")
}

async fn settled(running: &Running, token: &str, calls: u64) {
    let end = Instant::now() + Duration::from_secs(40);
    loop {
        let status = json(running, token, "/api/v1/status").await;
        if status["engine"]["calls"] == calls && status["engine"]["parked"] == 0 {
            return;
        }
        assert!(Instant::now() < end, "{token}: {status}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Both tenants with data: what each sent bears its name, and figures differ.
async fn filled() -> Running {
    let running = start(&two("")).await;
    for (tenant, count) in TENANTS.into_iter().zip([3, 5]) {
        let canary = format!("canary-{tenant}");
        let (arm, model) = (format!("canary-arm-{tenant}"), format!("canary-model-{tenant}"));
        for body in [calls("shared", "A", "m", count), calls(&canary, &arm, &model, count)] {
            assert_eq!(send(&running, tenant, body).await.status(), 200, "{tenant}");
        }
        settled(&running, tenant, 2 * count).await;
        let cut = reqwest::Client::new().post(format!("{}/api/v1/cuts", running.url("web")));
        assert_eq!(cut.bearer_auth(tenant).send().await.expect("answers").status(), 200);
    }
    running
}

/// Every route that can be read, with names and ids that are the tenant's own.
fn readable(own: &str, run: &str) -> Vec<String> {
    let of_web = ROUTES.iter().filter(|route| route.door == Door::Web && !route.post);
    let path = |path: &str| {
        let path = path.replace("{experiment}", own).replace("{run}", run);
        path.replace("{a}", run).replace("{b}", run).replace("{hash}/{name}", "x/x")
    };
    let mut paths: Vec<String> = of_web.map(|route| path(route.path)).collect();
    let series = paths.iter_mut().find(|path| path.ends_with("/series")).expect("series");
    series.push_str("?metric=calls");
    paths
}

async fn run_of(running: &Running, tenant: &str) -> String {
    let runs = json(running, tenant, &format!("/api/v1/runs?experiment=canary-{tenant}")).await;
    runs["runs"][0]["run"]["id"].as_str().expect("a run").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_anything_of_another() {
    let running = filled().await;
    for (tenant, other) in [(TENANTS[0], TENANTS[1]), (TENANTS[1], TENANTS[0])] {
        let strange = format!("{other}\"");
        let canaries = [
            format!("canary-{other}"),
            format!("canary-arm-{other}"),
            format!("canary-model-{other}"),
            format!("tenants/{other}"),
            format!("tenant=\"{strange}"),
        ];
        let own = format!("canary-{tenant}");
        let mut seen = 0;
        for path in readable(&own, &run_of(&running, tenant).await) {
            let (status, text) = get(&running, tenant, &path).await;
            assert!(status == 200 || path.starts_with("/assets/"), "{status} {path}");
            seen += usize::from(text.contains(&own));
            for canary in &canaries {
                assert!(!text.contains(canary.as_str()), "{canary} is seen by {tenant} on {path}");
            }
        }
        assert!(seen > 10, "{seen} routes have the tenant's own");
        let theirs = run_of(&running, other).await;
        for path in [
            format!("/api/v1/experiments/canary-{other}"),
            format!("/api/v1/experiments/canary-{other}/gate"),
            format!("/api/v1/experiments/canary-{other}/series?metric=calls"),
            format!("/api/v1/runs/{theirs}"),
            format!("/experiments/canary-{other}"),
            format!("/experiments/canary-{other}/report.html"),
            format!("/runs/{theirs}"),
        ] {
            assert_eq!(get(&running, tenant, &path).await.0, 404, "{tenant} {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_name_is_two_experiments_with_figures_of_their_own() {
    let running = filled().await;
    for (tenant, count) in TENANTS.into_iter().zip([3, 5]) {
        let shared = json(&running, tenant, "/api/v1/experiments/shared").await;
        assert_eq!(shared["calls"], count, "{tenant}");
        let (_, text) = get(&running, tenant, "/metrics").await;
        let series: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let label = format!("{{tenant=\"{tenant}\"");
        assert!(series.iter().all(|line| line.contains(&label)), "{text}");
        let mut client = RunServiceClient::new(channel(&running.url("grpc")).await);
        let mut request = tonic::Request::new(ListRunsRequest::default());
        let value = format!("Bearer {tenant}").parse().expect("a value");
        request.metadata_mut().insert("authorization", value);
        let runs = client.list_runs(request).await.expect("runs").into_inner().runs;
        let mut names: Vec<_> =
            runs.iter().filter_map(|run| Some(run.run.as_ref()?.experiment.as_str())).collect();
        names.sort_unstable();
        assert_eq!(names, [format!("canary-{tenant}").as_str(), "shared"]);
    }
    let dir = running.dir.path().join("data");
    assert!(holds(&dir.join("tenants/acme"), b"canary-model-acme"));
    assert!(!holds(&dir.join("tenants/acme"), b"canary-model-default"));
    let rest: Vec<_> =
        std::fs::read_dir(&dir).expect("lists").map(|e| e.expect("e").path()).collect();
    let rest = rest.iter().filter(|path| !path.ends_with("tenants"));
    assert!(rest.clone().any(|path| holds(path, b"canary-model-default")));
    assert!(!rest.into_iter().any(|path| holds(path, b"canary-model-acme")));
}

/// Whether a file, or one of a folder, has these bytes in it.
fn holds(path: &Path, wanted: &[u8]) -> bool {
    if path.is_dir() {
        let mut files = std::fs::read_dir(path).expect("lists");
        return files.any(|entry| holds(&entry.expect("entry").path(), wanted));
    }
    let bytes = std::fs::read(path).expect("reads");
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_each_had_is_there_after_a_restart() {
    let running = filled().await;
    let Running { server, dir } = running;
    server.stop().await.expect("stopped");
    let running = start_in(dir, &two("")).await;
    for (tenant, count) in TENANTS.into_iter().zip([3, 5]) {
        let shared = json(&running, tenant, "/api/v1/experiments/shared").await;
        assert_eq!(shared["calls"], count, "{tenant}");
    }
    assert_eq!(get(&running, "acme-ingest", "/api/v1/runs").await.0, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_too_much_comes_back_later_and_harms_nobody() {
    let quota = "    quota: {spans_per_second: 1}\n";
    let running = start(&two(quota)).await;
    let body = |count| calls("shared", "A", "m", count);
    assert_eq!(send(&running, "acme", body(20)).await.status(), 200);
    let refused = send(&running, "acme", body(1)).await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "1");
    let export = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let asked = async |token: &str| {
        grpc(&running.url("grpc"), export, Some(&format!("Bearer {token}"))).await
    };
    assert_eq!(asked("acme-ingest").await, Code::Unavailable);
    assert_eq!(asked("default").await, Code::Ok);
    let score = json!({"id": "s", "name": "ok", "value": 1, "response_id": "r"});
    let scored = async |token: &str| {
        let request = reqwest::Client::new().post(format!("{}/api/v1/scores", running.url("web")));
        let answer = request.bearer_auth(token).json(&score).send().await.expect("answers");
        (answer.status().as_u16(), answer.headers().get("retry-after").is_some())
    };
    assert_eq!(scored("acme").await, (503, true));
    assert_eq!(scored("default").await, (200, false));
    assert_eq!(send(&running, "default", body(1)).await.status(), 200);
    let (_, text) = get(&running, "acme", "/metrics").await;
    let line = text.lines().find(|line| line.contains("outcome=\"quota\"")).expect("a line");
    assert!(line.ends_with(" 2"), "{line}");
    let (_, text) = get(&running, "default", "/metrics").await;
    let line = text.lines().find(|line| line.contains("outcome=\"quota\"")).expect("a line");
    assert!(line.ends_with(" 0"), "{line}");
}

#[test]
fn what_does_not_fit_is_no_config() {
    let dir = tempfile::tempdir().expect("folder");
    for (text, word) in [
        ("tenants: {default: {}}", "tenants.default: is what"),
        ("tenants: {../x: {}}", "a-z"),
        ("tenants: {Acme: {}}", "a-z"),
        ("tenants: {acme: {experiments: {e: {alpha: 7}}}}", "tenants.acme.experiments.e.alpha"),
        ("tenants: {acme: {metrics: {m: {from: latency, quantile: 2}}}}", "tenants.acme.metrics.m"),
        ("tenants: {acme: {sinks: [{kind: webhook}]}}", "tenants.acme.sinks[0].url"),
        ("tenants: {acme: {quota: {spans_per_second: 0}}}", "tenants.acme.quota.spans_per_second"),
        ("tenants: {acme: {mapping: {}}}", "mapping"),
        ("quota: {bytes_per_second: 0}", "quota.bytes_per_second"),
    ] {
        let told = try_config(dir.path(), text, "127.0.0.1:0").expect_err(text).to_string();
        assert!(told.contains(word), "{word}: {told}");
    }
    let config = super::server::config(dir.path(), "tenants: {acme: {hash_key: k3y}}");
    assert!(!format!("{config:?}{}", config.effective()).contains("k3y"));
    assert_eq!(config.tenants()["acme"].normalize.hash_key.reveal(), Some("k3y"));
}
