//! `armspan gate` and `armspan report` over a real server: every exit code, waiting, interrupting.

use super::payload::now;
use super::server::{Server, armspan};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use serde_json::Value as Json;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const CONFIG: &str = "assignment_wait: 1s\nmatures_after: 0s\nexperiments:\n  \
    passes: {control: A, family: {rollback: [error_rate]}}\n  \
    fails: {control: A, family: {rollback: [error_rate]}}\n  \
    warns: {control: A, family: {rollback: [error_rate]}}\n  \
    open: {control: A, family: {rollback: [latency_mean]}}\n  \
    few: {control: A, family: {rollback: [error_rate]}}\n  \
    later: {control: A, family: {rollback: [error_rate]}}\n  \
    undeclared: {control: A}\n\
    metrics:\n  error_rate: {role: guardrail, from: error, direction: decrease, margin: 0.3}\n";

const UNITS: u64 = 2_000;

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.into())) });
    KeyValue { key: key.into(), value, ..KeyValue::default() }
}

/// One call of each of so many users, every other one in B; of ten calls of B so many fail, of
/// ten of A one.
fn calls(experiment: &str, units: u64, fail_in_b: u64) -> ExportTraceServiceRequest {
    let began = now() - 1_000_000_000;
    let salt = experiment.bytes().fold(1u64, |sum, byte| sum * 31 + u64::from(byte));
    let span = |id: u64| {
        let in_b = id % 2 == 1;
        let fails = id / 2 % 10 < if in_b { fail_in_b } else { 1 };
        let mut attributes = vec![
            text("gen_ai.operation.name", "chat"),
            text("gen_ai.request.model", "m"),
            text("user.id", &format!("user-{id}")),
            text("armspan.experiment", experiment),
            text("armspan.arm", if in_b { "B" } else { "A" }),
        ];
        attributes.extend(fails.then(|| text("error.type", "500")));
        Span {
            trace_id: (u128::from(salt) << 64 | u128::from(id + 1)).to_be_bytes().to_vec(),
            span_id: (id + 1).to_be_bytes().to_vec(),
            name: "chat".into(),
            start_time_unix_nano: began,
            end_time_unix_nano: began + id % 7 * 1_000_000,
            attributes,
            ..Span::default()
        }
    };
    let scope_spans =
        vec![ScopeSpans { spans: (0..units).map(span).collect(), ..Default::default() }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }],
    }
}

async fn send(server: &Server, request: ExportTraceServiceRequest) {
    let address = format!("http://127.0.0.1:{}", server.grpc);
    let mut client = TraceServiceClient::connect(address).await.expect("connected");
    client.export(request).await.expect("accepted");
}

async fn serving(folder: &std::path::Path) -> Server {
    let server = Server::start_with(folder, CONFIG).await;
    for (experiment, units, fail_in_b) in [
        ("passes", UNITS, 1),
        ("fails", UNITS, 9),
        ("warns", UNITS, 4),
        ("open", UNITS, 1),
        ("few", 6, 1),
        ("undeclared", UNITS, 1),
    ] {
        send(&server, calls(experiment, units, fail_in_b)).await;
    }
    server.settled(5 * UNITS + 6).await;
    server
}

/// `gate` with these words.
fn gate(server: &Server, words: &[&str]) -> Output {
    let url = server.url();
    armspan(&[&["gate", "--server", url.as_str()], words].concat())
}

fn told(out: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (out.status.code(), text(&out.stdout), text(&out.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_exit_code_arrives() {
    let folder = tempfile::tempdir().expect("folder");
    let server = serving(folder.path()).await;
    let strict = ["--fail-on", "inconclusive"];
    for (words, code, said) in [
        (&["--experiment", "passes"][..], 0, "passes passes: nothing"),
        (&["--experiment", "passes", "--arm", "B", strict[0], strict[1]], 0, "B of passes passes"),
        (&["--experiment", "warns"], 0, "warns passes: nothing"),
        (&["--experiment", "open"], 0, "open is not decided yet: latency_mean in B."),
        (&["--experiment", "open", strict[0], strict[1]], 11, "is not decided yet"),
        (&["--experiment", "fails"], 10, "fails fails: error_rate in B."),
        (&["--experiment", "few"], 12, "few cannot be judged: nothing can be said of error_rate"),
        (&["--experiment", "undeclared"], 12, "cannot be judged: nothing to judge: undeclared"),
    ] {
        let (found, out, err) = told(&gate(&server, words));
        assert_eq!(found, Some(code), "{words:?}: {out}{err}");
        assert!(out.lines().last().is_some_and(|line| line.contains(said)), "{words:?}: {out}");
        assert_eq!(err, "", "{words:?}");
    }
    for (words, code, said) in [
        (&["--experiment", "passes", "--arm", "C"][..], 1, "its arms are A, B"),
        (&["--experiment", "passes", "--arm", "A"], 1, "is the control"),
        (&["--experiment", "passse"], 1, "near: passes"),
        (&["--experiment", "passes", "--fail-on", "never"], 2, "inconclusive"),
        (&["--experiment", "passes", "--wait", "soon"], 2, "no length of time"),
        (&["--experiment", "fails", "--junit", "/dev/null/x.xml"], 1, "was not written"),
        (&[], 2, "--experiment"),
    ] {
        let (found, out, err) = told(&gate(&server, words));
        assert_eq!((found, out.as_str()), (Some(code), ""), "{words:?}: {err}");
        assert!(err.contains(said), "{words:?}: {err}");
    }
    let data = server.data.display().to_string();
    let out = armspan(&["gate", "--data", &data, "--experiment", "fails"]);
    assert_eq!(out.status.code(), Some(10), "the server of a folder");
    the_files(&server, folder.path());
    a_closed_pipe_is_no_pass(&server);
}

/// The JUnit report is there when the gate fails; the route and the report say the same.
fn the_files(server: &Server, folder: &std::path::Path) {
    let junit = folder.join("new/gate.xml").display().to_string();
    let out = gate(server, &["--experiment", "fails", "--junit", &junit, "-o", "json"]);
    let (code, json, _) = told(&out);
    let json: Json = serde_json::from_str(&json).expect("the document");
    assert_eq!((code, &json["exit_code"], &json["result"]), (Some(10), &10.into(), &"fail".into()));
    let xml = std::fs::read_to_string(&junit).expect("the JUnit report");
    assert!(xml.contains("failures=\"1\"") && xml.contains("type=\"breached\""), "{xml}");
    let url = server.url();
    let report = ["report", "--experiment", "fails", "--server", &url];
    let (code, text, err) = told(&armspan(&report));
    assert_eq!((code, err.as_str()), (Some(0), ""), "a report of a failed gate is a good report");
    assert!(text.starts_with("<!-- armspan:run=") && text.contains("fails fails"), "{text}");
    let (_, again, _) = told(&armspan(&[&report[..], &["--format", "junit"]].concat()));
    let cases = |xml: &str| xml.lines().filter(|l| !l.contains("timestamp")).count();
    assert_eq!(cases(&again), cases(&xml));
}

fn a_closed_pipe_is_no_pass(server: &Server) {
    let mut child = waiting(server, &["--experiment", "fails"]);
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("ended").code(), Some(10));
}

/// `gate` that goes on while the test does.
fn waiting(server: &Server, words: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_armspan"));
    command.args(["gate", "--server", &server.url()]).args(words);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started")
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_until_it_is_decided_or_the_time_is_over() {
    let folder = tempfile::tempdir().expect("folder");
    let mut server = serving(folder.path()).await;
    let began = Instant::now();
    let words = ["--experiment", "open", "--wait", "2s", "--fail-on", "inconclusive"];
    let (code, _, err) = told(&gate(&server, &words));
    assert!(began.elapsed() >= Duration::from_secs(2), "the time was not used");
    assert_eq!(
        (code, err.as_str()),
        (Some(11), "waiting: open is not decided yet: latency_mean in B.\n")
    );
    let (code, _, err) = told(&gate(&server, &["--experiment", "never", "--wait", "1s"]));
    assert_eq!(code, Some(1));
    assert!(err.contains("error: there is no experiment \"never\""), "{err}");
    let interrupted = waiting(&server, &["--experiment", "open", "--wait", "1h"]);
    let child = waiting(&server, &["--experiment", "later", "--wait", "2m"]);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let pid = interrupted.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill runs").success());
    let (code, out, _) = told(&interrupted.wait_with_output().expect("ended"));
    assert_eq!((code, out.as_str()), (Some(130), ""));
    // The server is gone for a while, and comes back on the same ports.
    server.signal("KILL");
    server.wait();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let server = server.again(folder.path(), CONFIG).await;
    send(&server, calls("later", UNITS, 9)).await;
    let began = Instant::now();
    let (code, out, err) = told(&child.wait_with_output().expect("ended"));
    assert_eq!(code, Some(10), "{out}{err}");
    assert!(began.elapsed() < Duration::from_secs(60), "it ends when it is decided");
    assert!(
        err.contains("waiting: later cannot be judged: nothing to judge")
            && err.contains("cannot reach"),
        "{err}"
    );
}
