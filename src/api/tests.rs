//! Every route, driven through the router with a view made by hand.

use super::*;
pub(crate) use crate::compare::tests::record;
use crate::model::Nanos;
use crate::model::entry::{Body, Position};
use crate::model::log::{Appended, Refused};
use crate::model::view;
use axum::Router;
use axum::body::Body as HttpBody;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::Mutex;
use tower::ServiceExt;

#[derive(Default)]
pub struct FakeLog {
    entries: Mutex<Vec<Body>>,
    refuse: Option<Refused>,
}

impl Log for FakeLog {
    fn append(&self, _stamp: Nanos, body: Body) -> Appended {
        let mut entries = self.entries.lock().expect("lock");
        entries.push(body);
        let answer = match self.refuse {
            Some(refused) => Err(refused),
            None => Ok(entries.len() as Position - 1),
        };
        Appended::known(answer)
    }

    fn depth(&self) -> (Position, u64) {
        (7, 11)
    }
}

struct FakeClock;

impl Clock for FakeClock {
    fn now(&self) -> Nanos {
        1_764_000_000_000_000_000
    }
}

fn view() -> View {
    let mut right = record("bb00", "B", 0.5);
    right["config"]["prompt"] = json!({"hash": "sha256:11"});
    let runs = [record("aa11", "A", 0.2), record("aa22", "A", 0.2), right];
    let experiment = json!({
        "schema": "armspan/experiment/v1", "name": "bot", "configured": true, "control": "A",
        "control_assumed": false, "state": "live", "unit": "user.id", "calls": 9, "arms": ["A", "B"],
        "sites": [], "crossover_units": 0, "conflicting_traces": 0,
    });
    View {
        position: 5,
        log_time: 1_764_000_000_000_000_000,
        experiments: vec![serde_json::from_value(experiment).expect("experiment")],
        runs: runs.into_iter().map(|run| serde_json::from_value(run).expect("record")).collect(),
        ..View::default()
    }
}

pub fn state_over(log: Arc<FakeLog>) -> ApiState {
    ApiState {
        view: Arc::new(ArcSwap::from_pointee(view())),
        meter: Arc::new(Meter::default()),
        normalizer: Arc::new(normalizer()),
        log,
        clock: Arc::new(FakeClock),
        series: Arc::new(|query| {
            let at = query.metric.clone();
            let windows = vec![view::SeriesPoint { at, arm: "A".into(), n: 1.0, level: None }];
            view::Series { windows, ..view::Series::default() }
        }),
        outgoing: Outgoing::new(
            Arc::new(|_, _| Ok(Vec::new())),
            tokio::sync::watch::channel(u64::MAX).1,
        ),
    }
}

pub async fn ask(
    router: &Router,
    method: &str,
    path: &str,
    body: &str,
) -> (StatusCode, Value, String) {
    let request = Request::builder().method(method).uri(path);
    let request = request.body(HttpBody::from(body.to_owned())).expect("request");
    let response = router.clone().oneshot(request).await.expect("response");
    let status = response.status();
    let kind = response.headers().get("content-type").map(|v| v.to_str().expect("text").to_owned());
    let bytes = response.into_body().collect().await.expect("body").to_bytes();
    let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    (status, json, kind.unwrap_or_default())
}

fn normalizer() -> Normalizer {
    Normalizer::new(crate::normalize::Config::default())
}

fn router() -> Router {
    http_router(state_over(Arc::default()))
}

#[tokio::test]
async fn every_route_of_the_document_answers() {
    let router = router();
    for route in &openapi::ROUTES {
        let path = route.path.replace("{experiment}", "bot").replace("{run}", "bb");
        let path = path.replace("{a}", "aa11").replace("{b}", "bb");
        let path = path.replace("/series", "/series?metric=error_rate");
        let request = Request::builder().method(route.method.to_uppercase().as_str()).uri(&path);
        let trace = "0123456789abcdef0123456789abcdef";
        let body =
            json!({"name": "ok", "value": 1, "trace_id": trace, "experiment": "e", "arm": "a"});
        let body = match path.as_str() {
            "/api/v1/scores" => json!({"name": "ok", "value": 1, "trace_id": trace}),
            "/api/v1/assignments" => json!({"experiment": "e", "arm": "a", "trace_id": trace}),
            "/api/public/scores" => json!({"name": "ok", "value": 1, "traceId": trace}),
            _ => body,
        };
        let request = request.body(HttpBody::from(body.to_string())).expect("request");
        let response = router.clone().oneshot(request).await.expect("response");
        let wanted = if path == "/readyz" { 503 } else { 200 };
        assert_eq!(response.status(), wanted, "{} {path}", route.method);
    }
}

#[tokio::test]
async fn runs_are_found_by_prefix_or_named() {
    let router = router();
    let (status, found, _) = ask(&router, "GET", "/api/v1/runs/bb", "").await;
    assert_eq!((status.as_u16(), &found["run"]["id"]), (200, &json!("bb00")));
    let (status, told, kind) = ask(&router, "GET", "/api/v1/runs/aa", "").await;
    assert_eq!((status.as_u16(), kind.as_str()), (409, "application/problem+json"));
    assert_eq!(told["candidates"], json!(["aa11", "aa22"]));
    let (status, told, _) = ask(&router, "GET", "/api/v1/runs/aa1x", "").await;
    assert_eq!((status.as_u16(), &told["candidates"][0]), (404, &json!("aa11")));
    let (status, told, _) = ask(&router, "GET", "/api/v1/experiments/bto", "").await;
    assert_eq!((status.as_u16(), &told["candidates"][0]), (404, &json!("bot")));
    let (status, _, kind) = ask(&router, "GET", "/api/v1/nothing", "").await;
    assert_eq!((status.as_u16(), kind.as_str()), (404, "application/problem+json"));
}

#[tokio::test]
async fn pages_cover_every_run_once() {
    let router = router();
    let (mut path, mut ids) = ("/api/v1/runs?limit=2".to_owned(), Vec::new());
    loop {
        let (_, page, _) = ask(&router, "GET", &path, "").await;
        ids.extend(page["runs"].as_array().expect("runs").iter().map(|r| r["run"]["id"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/runs?limit=2&after={next}");
    }
    assert_eq!(ids, ["aa11", "aa22", "bb00"]);
    let (_, page, _) = ask(&router, "GET", "/api/v1/runs?arm=B", "").await;
    assert_eq!(page["runs"].as_array().expect("runs").len(), 1);
    for wrong in ["limit=0", "limit=5000", "limit=x"] {
        let (status, ..) = ask(&router, "GET", &format!("/api/v1/runs?{wrong}"), "").await;
        assert_eq!(status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn a_comparison_keeps_missing_apart_from_equal() {
    let (_, found, _) = ask(&router(), "GET", "/api/v1/runs/aa11/compare/bb", "").await;
    assert_eq!(found["differing"], json!([{"facet": "sampling.temperature", "a": 0.2, "b": 0.5}]));
    assert_eq!(found["missing"], json!([{"facet": "prompt.hash", "b": "sha256:11"}]));
    assert_eq!(found["equal"][0]["facet"], "model.requested");
    assert_eq!(found["concurrent"], true);
    assert_eq!(found["attribution"]["label"], "temporal", "A has two runs alike");
    assert_eq!((&found["run_a"]["arm"], &found["run_b"]["arm"]), (&json!("A"), &json!("B")));
    assert!((found["metrics"][0]["difference"].as_f64().expect("number") - 0.3).abs() < 1e-12);
}

const TRACE: &str = "0123456789abcdef0123456789abcdef";

#[tokio::test]
async fn good_items_are_logged_and_bad_ones_named() {
    let log = Arc::new(FakeLog::default());
    let router = http_router(state_over(log.clone()));
    let body = json!({"scores": [
        {"name": "ok", "value": true, "trace_id": TRACE},
        {"value": 1, "trace_id": TRACE},
        {"name": "ok", "value": 1},
        {"name": "ok", "value": 1, "trace_id": TRACE, "time": "yesterday"},
        {"name": "ok", "explication": "the secret text", "trace_id": TRACE},
        {"name": "ok", "value": 0.5, "explanation": "the secret text", "trace_id": TRACE},
    ]});
    let (status, receipt, _) = ask(&router, "POST", "/api/v1/scores", &body.to_string()).await;
    assert_eq!((status.as_u16(), &receipt["accepted"]), (200, &json!(2)));
    let places: Vec<&Value> =
        receipt["errors"].as_array().expect("list").iter().map(|e| &e["index"]).collect();
    assert_eq!(places, [1, 2, 3, 4]);
    assert!(!receipt.to_string().contains("secret") && !receipt.to_string().contains("yesterday"));
    let entries = log.entries.lock().expect("lock");
    let [Body::Batch(bytes)] = entries.as_slice() else { panic!("one batch is in the log") };
    assert!(!bytes.windows(6).any(|part| part == b"secret"), "content is in the log");
}

#[tokio::test]
async fn a_listener_hears_what_changes_and_nothing_else() {
    let state = state_over(Arc::default());
    let request = Request::get("/api/v1/events").body(HttpBody::empty()).expect("request");
    let response = http_router(state.clone()).oneshot(request).await.expect("response");
    let mut next = view();
    next.position += 1;
    let change =
        json!({"at": "2026-11-23T14:02:11Z", "arm": "B", "field": "model.revision", "to": "m-2"});
    let site = json!({"site": "answer", "epoch": 1, "calls": 9, "arms": [], "all_epochs": [], "changes": [change]});
    next.experiments[0].sites = vec![serde_json::from_value(site).expect("site")];
    // The connection takes its bearings when it is first read; the view moves on after that.
    tokio::spawn(async move { state.view.store(Arc::new(next)) });
    let frame = response.into_body().frame().await.expect("frame").expect("data");
    let text = String::from_utf8(frame.into_data().expect("data").to_vec()).expect("text");
    assert!(text.starts_with("event: change\n") && text.contains("\"to\":\"m-2\""), "{text}");
}

#[tokio::test]
async fn a_request_with_nothing_good_logs_nothing() {
    let log = Arc::new(FakeLog::default());
    let router = http_router(state_over(log.clone()));
    for body in ["{}", "[{}]", "[1]", "{\"scores\": 5}", "nonsense", ""] {
        let (status, told, kind) = ask(&router, "POST", "/api/v1/scores", body).await;
        assert!(status.is_client_error() && kind == "application/problem+json", "{body} {told}");
    }
    let (status, ..) = ask(&router, "POST", "/api/v1/scores", "[]").await;
    assert_eq!(status, 200);
    let many = format!("[{}0]", "0,".repeat(intake::ITEMS_MAX));
    assert_eq!(ask(&router, "POST", "/api/v1/scores", &many).await.0, 413);
    let large = " ".repeat(intake::BODY_BYTES_MAX + 1);
    assert_eq!(ask(&router, "POST", "/api/v1/scores", &large).await.0, 413);
    assert!(log.entries.lock().expect("lock").is_empty());
}

#[tokio::test]
async fn a_full_log_asks_to_come_back() {
    let log = Arc::new(FakeLog { refuse: Some(Refused::Busy), ..FakeLog::default() });
    let router = http_router(state_over(log));
    let body = json!({"experiment": "e", "arm": "a", "trace_id": TRACE}).to_string();
    let request = Request::post("/api/v1/assignments").body(HttpBody::from(body)).expect("request");
    let response = router.oneshot(request).await.expect("response");
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "1");
}

#[tokio::test]
async fn grpc_gives_the_same_as_json() {
    use super::proto::{run_service_server::RunService, score_service_server::ScoreService};
    use futures_util::StreamExt;
    let state = state_over(Arc::default());
    let services = grpc::Services::over(state.clone());
    let asked = proto::GetRunRequest { id: "bb".into() };
    let run = services.get_run(tonic::Request::new(asked)).await.expect("run").into_inner();
    assert_eq!(run, to_proto(&state.view.load().runs[2]));
    assert_eq!(run.metrics[0].role, "guardrail");
    let asked = proto::CompareRunsRequest { a: "aa11".into(), b: "bb".into() };
    let found = services.compare_runs(tonic::Request::new(asked)).await.expect("comparison");
    assert_eq!(found.get_ref().run_b.as_ref().map(|side| side.calls), Some(3));
    assert_eq!(found.get_ref().attribution.as_ref().expect("attribution").label, "temporal");
    let asked = proto::GetRunRequest { id: "aa".into() };
    let told = services.get_run(tonic::Request::new(asked)).await.expect_err("ambiguous");
    assert_eq!(told.code(), tonic::Code::FailedPrecondition);
    let score = proto::Score {
        name: "ok".into(),
        value: Some(1.0),
        trace_id: Some(TRACE.into()),
        ..Default::default()
    };
    let asked = proto::RecordScoresRequest { scores: vec![score, proto::Score::default()] };
    let receipt = services.record_scores(tonic::Request::new(asked)).await.expect("receipt");
    assert_eq!((receipt.get_ref().accepted, receipt.get_ref().errors[0].index), (1, 1));
    let asked = proto::WatchRunsRequest { arm: "A".into(), ..Default::default() };
    let watch = services.watch_runs(tonic::Request::new(asked)).await.expect("stream").into_inner();
    let first: Vec<_> = watch.take(2).collect().await;
    assert!(first.iter().all(|run| run.as_ref().is_ok_and(|r| r.window.is_some())));
}

#[tokio::test]
async fn status_tells_what_waits() {
    let state = state_over(Arc::default());
    state.meter.reject(crate::model::reject::Reject::TooOld, 3);
    let (_, found, _) = ask(&http_router(state), "GET", "/api/v1/status", "").await;
    assert_eq!(found["queue"]["bytes"], 11);
    assert_eq!(found["rejected"]["too_old"]["count"], 3);
    assert_eq!(found["log_time"], "2025-11-24T16:00:00Z");
}
