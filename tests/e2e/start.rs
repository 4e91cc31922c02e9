//! Starts that must fail and say why, and the demo.

use super::server::{Server, armspan, command, free_port};
use serde_json::Value as Json;
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
}

#[test]
fn the_other_scenarios_run() {
    let null = demo("null");
    let [a, b, _] = arms(&null, "all_epochs");
    assert!((level(&a, "answer_ok") - level(&b, "answer_ok")).abs() < 0.03, "A/A");
    let srm = demo("srm");
    let [a, b, _] = arms(&srm, "arms");
    assert!(b["share"].as_f64() < Some(0.3) && a["share"].as_f64() > Some(0.35), "{a} {b}");
    let missing = demo("missing");
    let [_, _, c] = arms(&missing, "all_epochs");
    assert!(["C", "D"].contains(&c["evidence"].as_str().expect("grade")), "{}", c["evidence"]);
    assert_eq!(demo("drift")["sites"][0]["epoch"], 1, "nothing recorded changed");
}
