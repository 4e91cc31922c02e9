//! Pages render, escape what strangers named, and say first what is missing.

use super::waiting::{Seen, missing};
use super::*;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;
use tower::ServiceExt;

pub fn sample() -> View {
    let line = |name: &str, unit: &str, estimate: f64, scored: Option<i64>| {
        let mut line = json!({
            "name": name, "role": "guardrail", "direction": "decrease", "unit": unit, "definition": "sha256:00",
            "calls": 3890, "level": {"estimate": estimate, "method": "ratio"},
        });
        if let Some(scored) = scored {
            line["scored"] = json!(scored);
        }
        line
    };
    let arm = |name: &str, control: bool, ok: f64, p95: f64, model: &str| {
        json!({
            "arm": name, "control": control, "calls": 3890, "units": 1204, "share": 0.334, "planned": 0.333,
            "runs": ["9f0c1d2e3f4a5b6c7d8e9f0a1b2c3d4e"], "model": model, "evidence": if control { "A" } else { "B" },
            "metrics": [line("answer_ok", "1", ok, Some(3801)), line("error_rate", "1", 0.0123, None),
                        line("latency_p50", "s", p95 / 2.0, None), line("latency_p95", "s", p95, None), line("cost", "USD", 0.00131, None)],
        })
    };
    let arms = [
        arm("A", true, 0.812, 0.92, "gpt-4o-mini-2024-07-18"),
        arm("B<script>", false, 0.874, 0.95, "gpt-4o-mini-2024-12-01"),
        arm("C", false, 0.815, 2.4, "gpt-4o-mini-2024-07-18"),
    ];
    let experiment = json!({
        "schema": "armspan/experiment/v1", "name": "support-bot", "configured": false, "control": "A",
        "control_assumed": true, "state": "live", "unit": "user.id", "calls": 11_670, "arms": ["A", "B<script>", "C"],
        "last_seen": "2026-11-23T14:02:11Z", "crossover_units": 2, "conflicting_traces": 0,
        "sites": [{"site": "answer", "epoch": 2, "epoch_began": "2026-11-23T12:00:00Z", "calls": 11_670, "arms": arms,
                   "all_epochs": [], "changes": [{"at": "2026-11-23T12:00:00Z", "arm": "B<script>", "field": "model.revision",
                   "from": "gpt-4o-mini-2024-07-18", "to": "gpt-4o-mini-2024-12-01"}]}],
    });
    let record = json!({
        "schema": "armspan/run-record/v1",
        "run": {"id": "9f0c1d2e3f4a5b6c7d8e9f0a1b2c3d4e", "experiment": "support-bot", "arm": "B<script>", "control": false,
                "site": "answer", "mode": "online", "fingerprint": "sha256:00"},
        "config": {"model": {"requested": "gpt-4o-mini"}, "sampling": {"temperature": 0.2}},
        "observed": [{"field": "seed", "values": [{"value": 7, "calls": 3, "first_seen": "2026-11-23T09:00:00Z", "last_seen": "2026-11-23T10:00:00Z"}], "more": 0}],
        "evidence": {"grade": "B", "calls": 3, "facets": [{"facet": "prompt.hash", "present": 3774, "share": 0.9702, "missing_from": [{"service": "edge-2", "calls": 116}]}]},
        "window": {"first_seen": "2026-11-23T09:00:00Z", "last_seen": "2026-11-23T10:00:00Z", "epoch": 1},
        "traffic": {"calls": 3890, "units": 1204, "unit": "user.id", "duplicates": 0, "late": 0, "crossover_units": 0},
        "metrics": [line("error_rate", "1", 0.0123, None)], "changes": [],
        "links": [{"rel": "worst", "trace_id": "00", "span_id": "00", "href": "javascript:alert(1)"}],
        "collector": {"version": "0.1.0", "config": "sha256:00", "position": {"0": 5}}
    });
    View {
        experiments: vec![serde_json::from_value(experiment).expect("experiment")],
        runs: vec![serde_json::from_value(record).expect("record")],
        ..View::default()
    }
}

pub(super) fn pages(view: View) -> Router {
    pages_with(view, Arc::default())
}

pub(super) fn pages_with(view: View, meter: Arc<Meter>) -> Router {
    router(state(view, meter, Arc::new(|_| Default::default())))
}

/// Pages whose windows have these figures.
pub(super) fn pages_asking(view: View, series: AskSeries) -> Router {
    router(state(view, Arc::default(), series))
}

fn state(view: View, meter: Arc<Meter>, series: AskSeries) -> WebState {
    let addresses = Addresses {
        grpc: "127.0.0.1:4317".into(),
        http: "127.0.0.1:4318".into(),
        web: "127.0.0.1:4390".into(),
        tls: false,
        credentials: false,
    };
    let view = Arc::new(ArcSwap::from_pointee(view));
    WebState {
        view,
        meter,
        addresses,
        queue: Arc::new(|| Queue { position: 9, bytes: 2048 }),
        series,
        effective: Arc::new(|| "listen: {}\n".to_owned()),
    }
}

/// A page with another policy.
pub(super) async fn plain(view: View, path: &str) -> String {
    let request = Request::get(path).body(Body::empty()).expect("request");
    let response = pages(view).oneshot(request).await.expect("response");
    let bytes = response.into_body().collect().await.expect("body").to_bytes();
    String::from_utf8(bytes.to_vec()).expect("text")
}

pub(super) async fn read(router: Router, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).body(Body::empty()).expect("request");
    let response = router.oneshot(request).await.expect("response");
    assert_eq!(response.headers()["content-security-policy"], POLICY, "{path}");
    let status = response.status();
    let bytes = response.into_body().collect().await.expect("body").to_bytes();
    (status, String::from_utf8(bytes.to_vec()).expect("text"))
}

#[tokio::test]
async fn the_arms_table_shows_levels_in_human_units_and_escapes_names() {
    let (status, page) = read(pages(sample()), "/?open=B%3Cscript%3E").await;
    assert_eq!(status, 200);
    for text in
        ["87.4 %", "950 ms", "$0.00131", "3,890", "33.3 %", "B&lt;script&gt;", "model.revision"]
    {
        assert!(page.contains(text), "{text} is missing");
    }
    assert!(!page.contains("<script>"), "a name got out");
    assert!(page.contains("href=\"/runs/9f0c1d2e3f4a5b6c7d8e9f0a1b2c3d4e\""));
}

#[tokio::test]
async fn a_record_is_readable_and_its_links_are_web_addresses_only() {
    let (status, page) = read(pages(sample()), "/runs/9f0c").await;
    assert_eq!(status, 200);
    assert!(page.contains("sampling.temperature") && page.contains("edge-2"));
    assert!(!page.contains("javascript:"));
    assert_eq!(read(pages(sample()), "/runs/zz").await.0, 404);
}

#[tokio::test]
async fn an_empty_store_says_what_to_do() {
    let (_, page) = read(pages(View::default()), "/").await;
    for text in [
        "Waiting for the first span",
        "http://127.0.0.1:4317",
        "Python",
        "TypeScript",
        "Go",
        "Java",
    ] {
        assert!(page.contains(text), "{text} is missing");
    }
    let (status, page) = read(pages(View::default()), "/pipeline").await;
    assert!(status == 200 && page.contains("not ready"));
}

#[test]
fn the_first_thing_that_is_missing_is_named() {
    let mut seen = Seen::default();
    let mut titles = vec![missing(&seen).0];
    seen.spans = 5;
    titles.push(missing(&seen).0);
    seen.calls = 3;
    titles.push(missing(&seen).0);
    seen.without_variant = 1;
    titles.push(missing(&seen).0);
    seen.with_arm = 2;
    titles.push(missing(&seen).0);
    titles.dedup();
    assert_eq!(titles.len(), 5, "{titles:?}");
}

#[test]
fn settings_to_copy_speak_tls_when_the_doors_do() {
    let of = |tls| {
        let at = || "127.0.0.1:4317".to_owned();
        let (grpc, http, web) = (at(), at(), at());
        super::waiting::settings(&Addresses { grpc, http, web, tls, credentials: false })
            .map(|(_, text)| text)
            .join("\n")
    };
    assert!(of(false).contains("http://127") && of(false).contains("WithInsecure"));
    assert!(!of(true).contains("http://127") && !of(true).contains("WithInsecure"));
    assert!(of(true).contains("https://127"));
}
