//! Starts that must fail and say why, and the demo.

use super::server::{Server, armspan, command, free_port};
use serde_json::{Value as Json, json};
use std::net::TcpListener;

fn told(mut command: std::process::Command) -> (Option<i32>, String) {
    let out = command.output().expect("armspan runs");
    (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
}

#[test]
fn a_busy_port_is_named() {
    let folder = tempfile::tempdir().expect("folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("port");
    let port = taken.local_addr().expect("address").port();
    let (code, told) = told(command(folder.path(), [free_port(), port, free_port()]));
    assert_eq!(code, Some(1));
    assert!(told.contains(&port.to_string()) && told.contains("--listen-http"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let _first = Server::start(folder.path()).await;
    let (code, told) = told(command(folder.path(), [free_port(), free_port(), free_port()]));
    assert_eq!(code, Some(1));
    assert!(told.contains("in use by another armspan"), "{told}");
}

#[test]
fn our_own_spans_do_not_come_back_to_us() {
    let folder = tempfile::tempdir().expect("folder");
    let port = free_port();
    let mut serve = command(folder.path(), [port, free_port(), free_port()]);
    serve.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://localhost:{port}"));
    let (code, told) = told(serve);
    assert_eq!(code, Some(1));
    assert!(told.contains("this server itself"), "{told}");
}

fn demo(scenario: &str) -> Json {
    let out = armspan(&["demo", "--once", "--scenario", scenario, "-o", "json"]);
    assert!(out.status.success(), "{scenario}: {}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).expect("the experiment document")
}

fn level(arm: &Json, metric: &str) -> f64 {
    let lines = arm["metrics"].as_array().expect("metrics");
    let line = lines.iter().find(|line| line["name"] == metric).expect(metric);
    line["level"]["estimate"].as_f64().expect("level")
}

fn arms(document: &Json, which: &str) -> [Json; 3] {
    let arms = document["sites"][0][which].as_array().expect("arms");
    [arms[0].clone(), arms[1].clone(), arms[2].clone()]
}

#[test]
fn the_demo_shows_what_its_story_says() {
    let document = demo("revision-change");
    assert_eq!(document["schema"], "armspan/experiment/v1");
    assert_eq!(document["control"], "A");
    let [a, b, c] = arms(&document, "all_epochs");
    assert!(level(&b, "answer_ok") > level(&a, "answer_ok") + 0.02, "B answers better");
    assert!(level(&c, "error_rate") > 2.0 * level(&a, "error_rate"), "C breaks");
    assert!(level(&c, "latency_p95") > 1.1 * level(&a, "latency_p95"), "C is slow");
    let changes = document["sites"][0]["changes"].as_array().expect("changes");
    let revision =
        changes.iter().find(|change| change["field"] == "model.revision").expect("a change");
    assert_eq!(revision["arm"], "B");
    assert_eq!(document["sites"][0]["epoch"], 2);
    assert_eq!(b["evidence"], "B", "3 % of the calls have no prompt");
    let [_, b, c] = arms(&document, "arms");
    let state = |arm: &Json, metric: &str| {
        decided(arm).into_iter().find(|row| row.0 == metric).expect("decides").1
    };
    assert_eq!(state(&b, "answer_ok"), "better");
    assert_eq!(
        (state(&c, "latency_p95").as_str(), &c["decision"]["action"]),
        ("breached", &json!("roll back"))
    );
}

/// Metric, state and first reason of what decides in an arm.
fn decided(arm: &Json) -> Vec<(String, String, String)> {
    let text = |json: &Json| json.as_str().expect("text").to_owned();
    let lines = arm["metrics"].as_array().expect("metrics").iter();
    let lines = lines.filter(|line| line["verdict"]["decides"] == true);
    lines
        .map(|line| {
            let verdict = &line["verdict"];
            (text(&line["name"]), text(&verdict["state"]), text(&verdict["reasons"][0]))
        })
        .collect()
}

#[test]
fn nothing_wins_where_all_arms_are_the_same() {
    let null = demo("null");
    let [a, b, c] = arms(&null, "arms");
    assert!((level(&a, "answer_ok") - level(&b, "answer_ok")).abs() < 0.03, "A/A");
    for (metric, state, _) in decided(&b).into_iter().chain(decided(&c)) {
        assert!(["inconclusive", "healthy"].contains(&state.as_str()), "{metric} is {state}");
    }
}

#[test]
fn users_in_the_wrong_shares_make_verdicts_invalid() {
    let srm = demo("srm");
    let [a, b, _] = arms(&srm, "arms");
    assert!(b["share"].as_f64() < Some(0.3) && a["share"].as_f64() > Some(0.35), "{a} {b}");
    assert_eq!(srm["sample_ratio"]["state"], "mismatch");
    assert_eq!(decided(&b).len(), 3);
    assert!(decided(&b).iter().all(|row| row.1 == "invalid"), "{:?}", decided(&b));
}

#[test]
fn scores_that_are_missing_from_one_arm_make_its_verdict_invalid() {
    let missing = demo("missing");
    let [_, _, c] = arms(&missing, "arms");
    assert!(["C", "D"].contains(&c["evidence"].as_str().expect("grade")), "{}", c["evidence"]);
    let (_, state, reason) = decided(&c).into_iter().find(|r| r.0 == "answer_ok").expect("line");
    assert_eq!((state.as_str(), reason.as_str()), ("invalid", "missing scores differ by arm"));
}

/// B's quality falls from noon on, by 24 points until midnight.
#[test]
fn the_demo_dates_a_drift() {
    let drift = demo("drift");
    assert_eq!(drift["sites"][0]["epoch"], 1, "nothing recorded changed");
    let changes = drift["sites"][0]["changes"].as_array().expect("changes");
    let found: Vec<&Json> =
        changes.iter().filter(|change| change["field"] == "drift.answer_ok").collect();
    assert!(!found.is_empty() && found.iter().all(|change| change["arm"] == "B"), "{changes:?}");
    let time = |json: &Json| json.as_str().expect("time").parse::<jiff::Timestamp>().expect("time");
    let hours_to_go =
        (time(&drift["last_seen"]) - time(&found[0]["at"])).get_seconds() as f64 / 3_600.0;
    assert!((5.0..12.0).contains(&hours_to_go), "dated {hours_to_go} h before midnight");
}
