//! The gate in the terminal: its table, and waiting for servers that are slow to decide.

use super::*;
use crate::cli::print;
use crate::sink::sample;
use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

fn document(arm: Option<&str>, fail_on_inconclusive: bool) -> GateDocument {
    let experiment = sample::cut().experiments.swap_remove(0);
    let asked = judged::Asked { arm, fail_on_inconclusive };
    judged::document(&experiment, &asked).expect("a document")
}

fn printed(document: &GateDocument, format: Format) -> String {
    let mut out = Vec::new();
    print::print(&data(document, json!(document)), format, &mut out).expect("printed");
    String::from_utf8(out).expect("text")
}

#[test]
fn the_table_has_a_row_a_metric_and_ends_with_the_answer() {
    insta::assert_snapshot!(printed(&document(None, false), Format::Csv));
    let table = printed(&document(None, false), Format::Table);
    assert!(
        table.ends_with("\nsupport-bot fails: error_rate in C, latency_p95 in C.\n"),
        "{table}"
    );
    let lines = printed(&document(Some("B"), true), Format::Jsonl);
    let first: Json = serde_json::from_str(lines.lines().next().expect("a line")).expect("JSON");
    assert_eq!((&first["arm"], &first["name"]), (&json!("B"), &json!("answer_ok")));
    let whole: Json =
        serde_json::from_str(&printed(&document(Some("B"), true), Format::Json)).expect("JSON");
    assert_eq!(whole["exit_code"], 11);
}

#[test]
fn what_has_nothing_to_judge_has_a_row_too() {
    let mut experiment = sample::cut().experiments.swap_remove(0);
    experiment.sites[0].arms.retain(|arm| arm.arm != "C");
    let asked = judged::Asked { arm: Some("C"), fail_on_inconclusive: false };
    let found = judged::document(&experiment, &asked).expect("a document");
    let rows = data(&found, Json::Null).rows;
    assert_eq!(rows, [["C", "answer", "–", "nothing to judge", "–", "–", "invalid"]]);
}

/// A server that gives these answers, the last one for ever; and how often it was asked.
async fn server(answers: Vec<(u16, String)>) -> (String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let answer = async move || {
        let at = count.fetch_add(1, SeqCst).min(answers.len() - 1);
        let (status, text) = answers[at].clone();
        (StatusCode::from_u16(status).expect("status"), text).into_response()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
    let address = listener.local_addr().expect("address").to_string();
    let router = Router::new().route("/api/v1/experiments/{experiment}/gate", get(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, asked)
}

async fn asked(address: &str, seconds: Option<u64>) -> Result<GateDocument> {
    let server = Server { server: Some(address.to_owned()), ..Server::default() };
    let asked = Asked { experiment: "support-bot".into(), arm: None, fail_on: None };
    let wait = seconds.map(Span::seconds);
    let args = Args { asked, wait, junit: None, server };
    Ok(wait::ask(&args).await?.document)
}

fn answer(document: &GateDocument) -> (u16, String) {
    (200, json!(document).to_string())
}

fn problem(status: u16, detail: &str) -> (u16, String) {
    (status, json!({"detail": detail}).to_string())
}

#[tokio::test]
async fn it_is_asked_until_it_is_decided() {
    let (open, decided) = (document(Some("B"), false), document(None, false));
    let answers = vec![
        problem(404, "there is no experiment \"support-bot\""),
        (502, "<html>bad gateway</html>".to_owned()),
        answer(&open),
        answer(&decided),
    ];
    let (address, count) = server(answers).await;
    let found = asked(&address, Some(60)).await.expect("an answer");
    assert_eq!((found, count.load(SeqCst)), (decided, 4));
}

#[tokio::test]
async fn it_is_asked_once_without_wait_and_never_when_the_question_is_wrong() {
    let open = document(Some("B"), false);
    let (address, count) = server(vec![answer(&open)]).await;
    assert_eq!(asked(&address, None).await.expect("an answer"), open);
    assert_eq!(count.load(SeqCst), 1);
    let (address, count) = server(vec![problem(400, "A is the control")]).await;
    let told = asked(&address, Some(60)).await.expect_err("refused").to_string();
    assert_eq!((told.as_str(), count.load(SeqCst)), ("A is the control", 1));
}

/// No answer of these servers takes so long.
const TEST_MAX: std::time::Duration = std::time::Duration::from_secs(30);

#[tokio::test]
async fn when_the_time_is_over_the_last_answer_counts() {
    let open = document(Some("B"), false);
    let (address, count) = server(vec![answer(&open)]).await;
    assert_eq!(asked(&address, Some(2)).await.expect("an answer"), open);
    assert!((2..=4).contains(&count.load(SeqCst)), "{count:?}");
    let (address, _) = server(vec![problem(404, "there is no arm \"D\"")]).await;
    let told = asked(&address, Some(1)).await.expect_err("not there").to_string();
    assert!(told.contains("no arm"), "{told}");
    // It ends at once: the test would not within the time that is allowed here.
    let told = tokio::time::timeout(TEST_MAX, asked("no address", Some(3_600))).await;
    let told = told.expect("no waiting").expect_err("no address").to_string();
    assert!(told.contains("cannot reach"), "{told}");
    let told = asked("127.0.0.1:1", Some(1)).await.expect_err("nobody").to_string();
    assert!(told.contains("cannot reach"), "{told}");
}

#[test]
fn the_flags_become_the_question() {
    let asked = Asked {
        experiment: "a/b c".into(),
        arm: Some("B&x=1".into()),
        fail_on: Some(FailOn::Inconclusive),
    };
    assert_eq!(asked.path(), "/api/v1/experiments/a%2Fb%20c/gate");
    assert_eq!(asked.query(), [("arm", "B&x=1"), ("fail_on", "inconclusive")]);
}
