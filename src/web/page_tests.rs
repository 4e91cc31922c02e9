//! The pages of runs, their comparison, sinks and the pipeline: as they are served, over one view.

use super::tests::{pages, pages_with, read, sample};
use super::*;
use crate::compare::tests::square;
use crate::model::delivery::SinkStatus;
use crate::model::record::RunRecord;
use crate::model::reject::Reject;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value as Json, json};
use tower::ServiceExt;

/// Four arms of one experiment; one of them has everything that a record can have, and names that
/// try to get out of the page. Control was seen in an earlier epoch, too.
fn rich() -> View {
    let mut view = View { position: 5, ..sample() };
    let [a, mut b, c, d] = square().map(|mut run| {
        run.run.id = run.run.id.repeat(16);
        run.window.epoch = 2;
        run
    });
    dress(&mut b);
    let mut before = a.clone();
    (before.window.epoch, before.window.closed, before.traffic.calls) = (1, true, 700);
    view.runs.splice(0..0, [a, b, c, d, before]);
    view.counts = serde_json::from_value(counts()).expect("counts");
    view
}

fn dress(run: &mut RunRecord) {
    run.config.insert("safety".into(), json!({"policy": "<b>p-12</b>|x"}));
    run.run.arm = "B<script>".into();
    run.sample_ratio = Some(
        serde_json::from_value(json!({"state": "mismatch", "p": 1e-9,
            "expected": {"A": 0.5, "B<script>": 0.5}, "units": {"A": 1300, "B<script>": 1000}}))
        .expect("ratio"),
    );
    run.changes = vec![
        serde_json::from_value(json!({"at": "2026-11-23T09:30:00Z", "arm": "B<script>",
            "field": "code.version", "from": "1", "to": "2"}))
        .expect("change"),
    ];
    run.links = ["worst", "breaching", "random"]
        .map(|rel| {
            serde_json::from_value(
                json!({"rel": rel, "why": format!("why {rel}"), "href": format!("https://traces.example/{rel}"),
                "trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331"}),
            )
            .expect("link")
        })
        .into();
    run.observed[0].more = 3;
    run.observed[0].values[0].value =
        json!({"commit": "9f3c2d1e8b7a6f5e4d3c2b1a", "version": "<1.4>"});
    run.evidence.facets = vec![
        serde_json::from_value(json!({"facet": "prompt.hash", "present": 3774, "share": 0.9702,
            "missing_from": [{"service": "edge-2", "calls": 116}, {"service": "web", "calls": 9}]}))
        .expect("facet"),
    ];
    run.metrics[0].difference = Some(
        serde_json::from_value(
            json!({"from": "A", "estimate": 0.1, "lower": 0.0858, "upper": 0.114,
            "confidence": 0.95, "method": "bucketed-asymptotic"}),
        )
        .expect("difference"),
    );
    let verdict = run.metrics[0].verdict.as_mut().expect("verdict");
    (verdict.state, verdict.sentence) = ("better".into(), "answer_ok is better by 10 pp".into());
    run.metrics[1].verdict = Some(
        serde_json::from_value(json!({"state": "breached", "reasons": ["latched"], "decides": true,
            "sentence": "latency_p95 is above its margin",
            "breach": {"epoch": 1, "at": "2026-11-23T09:10:00Z", "reason": "margin", "estimate": 0.4}}))
        .expect("verdict"),
    );
    (run.metrics[1].margin_share, run.metrics[1].ceiling) = (Some(0.1), Some(2.5));
}

fn counts() -> Json {
    json!({
        "observations": {"call": 900, "link": 4000}, "calls": 900, "with_arm": 720, "with_score": 450,
        "unassigned": 180, "parked": 12, "waiting_scores": 4,
        "orphaned": {"no_call": 3, "session_only": 1}, "duplicates": 40, "conflicts": 2, "late": 7,
        "wrappers": {"langchain": 60}, "judge_calls": 30, "conflicting_traces": 5,
        "limits": {"runs_max": 9, "join_bytes": 1}, "bytes": {"join": 65_536, "tallies": 4096, "units": 512},
    })
}

fn meter() -> Arc<Meter> {
    let meter = Meter::default();
    Meter::add(&meter.spans, 5000);
    Meter::add(&meter.log_records, 100);
    Meter::add(&meter.requests_ok, 17);
    Meter::add(&meter.flags_without_variant, 6);
    meter.reject(Reject::FromTheFuture, 51);
    meter.ready.store(true, std::sync::atomic::Ordering::Relaxed);
    let idle = SinkStatus {
        name: "jsonl:/var/lib/records".into(),
        state: "idle".into(),
        delivered: 24,
        last_success: Some("2026-11-23T14:00:02Z".into()),
        ..Default::default()
    };
    let ill = SinkStatus {
        name: "mlflow:http://127.0.0.1:5000".into(),
        state: "retrying".into(),
        waiting: 12,
        refused: 1,
        failures: 8,
        last_error: Some("connection refused <b>".into()),
        last_refusal: Some("400: no such metric".into()),
        ..Default::default()
    };
    for sink in [idle, ill] {
        meter.sinks.lock().expect("lock").insert(sink.name.clone(), sink);
    }
    Arc::new(meter)
}

/// One element a line, so that a change of the page is a change of few lines.
fn lines(page: &str) -> String {
    page.replace("><", ">\n<")
}

fn id(digits: &str) -> String {
    digits.repeat(16)
}

async fn text(path: &str) -> String {
    let (status, page) = read(pages_with(rich(), meter()), path).await;
    assert_eq!(status, 200, "{path}");
    page
}

/// The part of a page that is its own; all of what is no page.
fn of_main(page: &str) -> &str {
    match (page.find("<main"), page.find("</main>")) {
        (Some(from), Some(to)) => &page[from..to],
        _ => page,
    }
}

#[tokio::test]
async fn pages_are_as_they_were_looked_at() {
    let (a, b) = (id("aa"), id("bb"));
    for (name, path) in [
        ("runs", "/runs".to_owned()),
        ("run", format!("/runs/{b}")),
        ("run_of_two_epochs", format!("/runs/{a}?epoch=1")),
        ("compare", format!("/compare/{a}/{b}")),
        ("compare_markdown", format!("/compare/{a}/{b}.md")),
        ("sinks", "/sinks".to_owned()),
        ("pipeline", "/pipeline".to_owned()),
    ] {
        let page = text(&path).await;
        assert!(!page.contains("<script>") || name == "compare_markdown", "{name}: a name got out");
        insta::assert_snapshot!(name, lines(of_main(&page)));
    }
}

#[tokio::test]
async fn empty_pages_say_what_to_do() {
    for (path, says) in [
        ("/runs", "a run begins with the first call that has an arm"),
        ("/sinks", "Nothing is sent anywhere"),
        ("/pipeline", "Nothing was lost."),
    ] {
        let (status, page) = read(pages(View::default()), path).await;
        assert!(status == 200 && page.contains(says), "{path}");
    }
}

#[tokio::test]
async fn runs_are_filtered_and_paged_without_gaps() {
    let mut view = View::default();
    let [one, ..] = square();
    for number in 0..250 {
        let mut run = one.clone();
        run.run.id = format!("{number:032x}");
        run.run.arm = if number % 2 == 0 { "A".into() } else { "B&".into() };
        run.window.epoch = 1 + number / 100;
        view.runs.push(run);
    }
    let (mut path, mut seen, mut sizes) = ("/runs".to_owned(), Vec::new(), Vec::new());
    loop {
        let (_, page) = read(pages(view.clone()), &path).await;
        let ids: Vec<String> = links(&page, "/runs/").collect();
        sizes.push(ids.len());
        seen.extend(ids);
        let next = page.split("rel=\"next\" href=\"").nth(1);
        let Some(next) = next.and_then(|rest| rest.split('"').next()) else { break };
        path = next.replace("&amp;", "&");
    }
    assert_eq!(sizes, [100, 100, 50]);
    assert!(seen[0].ends_with("epoch=3") && seen[249].ends_with("epoch=1"), "{}", seen[0]);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 250, "each once");
    let (_, page) = read(pages(view.clone()), "/runs?arm=B%26&experiment=").await;
    assert!(page.contains("1 to 100 of 125 runs") && page.contains("/runs?arm=B%26&amp;after=1."));
    let (_, page) = read(pages(view.clone()), "/runs?site=elsewhere").await;
    assert!(
        page.contains("No run matches") && page.contains("<option value=\"elsewhere\" selected")
    );
    let (_, page) = read(pages(view), "/runs?after=2.gone").await;
    assert!(links(&page, "/runs/").next().is_some_and(|first| first.ends_with("epoch=2")));
}

/// What links that begin so lead to, in the order of the page.
fn links<'a>(page: &'a str, start: &'a str) -> impl Iterator<Item = String> + 'a {
    let found = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    found.filter(move |href| href.starts_with(start)).map(|href| href.replace("&amp;", "&"))
}

#[tokio::test]
async fn a_run_that_is_not_there_or_not_alone_names_others() {
    let (status, page) = read(pages(rich()), &format!("/runs/{}", id("ab"))).await;
    assert_eq!(status, 404);
    assert!(page.contains(&id("aa")) && page.contains("There is no run abab"), "{page}");
    let mut view = rich();
    view.runs[2].run.id = format!("aa{}", "c".repeat(30));
    for path in ["/runs/aa", "/compare/aa/bb", "/compare/bb/aa", "/compare/bb/aa.md"] {
        let (status, page) = read(pages(view.clone()), path).await;
        assert_eq!(status, 409, "{path}");
        assert!(page.contains("2 runs begin with &quot;aa&quot;"), "{page}");
        assert!(links(&page, "/runs/").count() == 2, "{page}");
    }
    let (status, page) = read(pages(view), "/runs/%3Cscript%3Ealert(1)%3C%2Fscript%3E").await;
    assert!(status == 404 && !page.contains("<script>"));
}

#[tokio::test]
async fn a_form_leads_to_the_comparison_and_the_old_address_to_the_pipeline() {
    for (path, wanted) in [
        ("/compare?a=aa&b=b%2Fb", "/compare/aa/b%2Fb"),
        ("/compare?a=aa", "/runs"),
        ("/compare", "/runs"),
        ("/status", "/pipeline"),
    ] {
        let request = Request::get(path).body(Body::empty()).expect("request");
        let answer = pages(rich()).oneshot(request).await.expect("answer");
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{path}");
        assert_eq!(answer.headers()["location"], wanted, "{path}");
    }
}

#[tokio::test]
async fn what_is_copied_is_what_the_address_gives_and_stays_text() {
    let path = format!("/compare/{}/{}", id("aa"), id("bb"));
    let (page, plain) = (text(&path).await, text(&format!("{path}.md")).await);
    let inside = page.split("<textarea").nth(1).and_then(|rest| rest.split_once('>'));
    let inside = inside.and_then(|pair| pair.1.split("</textarea>").next()).expect("the text");
    let read = |text: &str| {
        text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
    };
    assert_eq!(read(inside), plain);
    // A bar in a value ends no cell: every row of a table has as many as its head.
    for table in plain.split("\n\n").filter(|part| part.starts_with('|')) {
        let cells = |line: &str| line.replace("\\|", "").matches('|').count();
        let mut rows = table.lines().filter(|line| line.starts_with('|'));
        let head = cells(rows.next().expect("head"));
        assert!(rows.all(|row| cells(row) == head), "{table}");
    }
}

#[test]
fn a_long_comparison_is_cut_on_a_lines_end() {
    let [mut a, b, ..] = square();
    for number in 0..2000 {
        a.config.insert(format!("tools{number}"), json!("x".repeat(60)));
    }
    let found = crate::compare::compare(&crate::compare::tests::view_of(&[]), &a, &b);
    let text = compare::markdown::text(&found);
    assert!(text.len() <= compare::markdown::BYTES_MAX && text.ends_with("has all of it.*\n"));
}

#[test]
fn a_sink_that_does_well_needs_no_advice() {
    let meter = meter();
    let all = meter.sinks.lock().expect("lock");
    let told: Vec<Option<String>> = all.values().map(sinks::advice).collect();
    assert!(told[0].is_none());
    let told = told[1].as_deref().expect("advice");
    assert!(told.contains("12 wait") && told.contains("armspan export mlflow"), "{told}");
}
