//! What is posted, signed and wanted, against a receiver that answers as it is told to.

use super::*;
use crate::model::delivery::{EVENT_SCHEMA, ItemKey};
use crate::model::record::Change;
use crate::sink::sample;
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Got = Arc<Mutex<Vec<(HeaderMap, String)>>>;

fn verdict() -> Event {
    let cut = sample::cut();
    let site = &cut.experiments[0].sites[0];
    let arm = &site.arms[2];
    let line = arm.metrics.iter().find(|line| line.name == "error_rate").expect("a guardrail");
    Event {
        schema: EVENT_SCHEMA.into(),
        id: "0123456789abcdef0123456789abcdef".into(),
        kind: EventKind::Verdict,
        at: "2026-11-24T18:00:00Z".into(),
        experiment: "support bot".into(),
        site: site.site.clone(),
        epoch: site.epoch,
        arm: Some(arm.arm.clone()),
        control: Some("A".into()),
        metric: Some(line.clone()),
        was: Some("regressed".into()),
        decision: arm.decision.clone(),
        change: None,
    }
}

fn change() -> Event {
    let change = Change {
        at: "2026-11-24T17:00:00Z".into(),
        arm: "B".into(),
        field: "model.revision".into(),
        from: Some(json!("<one>")),
        to: Some(json!("two")),
    };
    Event {
        kind: EventKind::Change,
        metric: None,
        was: None,
        decision: None,
        change: Some(change),
        arm: Some("B".into()),
        ..verdict()
    }
}

fn item(event: Event) -> Item {
    Item { key: ItemKey { position: 1, ordinal: 0 }, body: Body::Event(Box::new(event)) }
}

/// A receiver that answers with one status after the other, the last one for ever.
async fn receiver(statuses: &'static [u16]) -> (String, Got) {
    let got = Got::default();
    let seen = got.clone();
    let answer = move |headers: HeaderMap, body: String| async move {
        let mut seen = seen.lock().expect("lock");
        let status = statuses[seen.len().min(statuses.len() - 1)];
        seen.push((headers, body));
        (StatusCode::from_u16(status).expect("status"), [("retry-after", "7")], "told so")
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
    let url = format!("http://{}/hook", listener.local_addr().expect("address"));
    let router = Router::new().route("/hook", post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, got)
}

async fn deliver(config: &Config, event: Event) -> Result<(), Failure> {
    let around =
        Around { dashboard: Some("https://evals.example.com".into()), ..Around::default() };
    config.open(&around).expect("opens").deliver(&item(event), &sample::ThreeHours).await
}

#[tokio::test]
async fn an_event_is_a_signed_cloud_event() {
    let (url, got) = receiver(&[200]).await;
    let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let config = Config { url, secret, ..Config::default() };
    assert_eq!(config.faults(), []);
    deliver(&config, verdict()).await.expect("delivered");
    let (headers, body) = got.lock().expect("lock")[0].clone();
    let header = |name: &str| headers[name].to_str().expect("text").to_owned();
    let document: Json = serde_json::from_str(&body).expect("JSON");
    assert_eq!(header("content-type"), "application/cloudevents+json");
    assert_eq!(document["specversion"], "1.0");
    assert_eq!(document["type"], "dev.armspan.verdict");
    assert_eq!(document["source"], "https://evals.example.com/experiments/support%20bot");
    assert_eq!(document["subject"], "answer/C/error_rate");
    assert_eq!(document["data"]["metric"]["verdict"]["state"], "breached");
    let id = document["id"].as_str().expect("id");
    assert_eq!((header("webhook-id"), header("idempotency-key")), (id.to_owned(), id.to_owned()));
    let seconds = header("webhook-timestamp").parse().expect("seconds");
    let key = key(&config.secret).expect("a key");
    assert_eq!(header("webhook-signature"), sign(&key, id, seconds, &body));
}

#[test]
fn the_signature_is_that_of_standard_webhooks() {
    // The example of the specification.
    let key = key(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).expect("a key");
    let signed =
        sign(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, "{\"test\": 2432232314}");
    assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[tokio::test]
async fn what_may_work_later_is_told_apart_from_what_never_will() {
    let (url, got) = receiver(&[500, 429, 400, 200]).await;
    let config = Config { url, ..Config::default() };
    let first = deliver(&config, verdict()).await.expect_err("500");
    assert!(matches!(&first, Failure::Later { what, .. } if what.contains("told so")), "{first}");
    let second = deliver(&config, verdict()).await.expect_err("429");
    assert!(
        matches!(second, Failure::Later { after: Some(pause), .. } if pause == Duration::from_secs(7))
    );
    let third = deliver(&config, verdict()).await.expect_err("400");
    assert!(matches!(third, Failure::Refused { .. }), "{third}");
    deliver(&config, verdict()).await.expect("200");
    let ids: Vec<_> =
        got.lock().expect("lock").iter().map(|got| got.0["webhook-id"].clone()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "a repeat has the same id");
}

#[tokio::test]
async fn only_what_is_wanted_is_posted() {
    let (url, got) = receiver(&[200]).await;
    let states = vec!["breached".to_owned()];
    let config = Config { url, events: vec![Kind::Verdict], states, ..Config::default() };
    let mut other = verdict();
    other.metric.as_mut().and_then(|line| line.verdict.as_mut()).expect("verdict").state =
        "healthy".into();
    let left = Event { was: Some("breached".into()), ..other.clone() };
    for event in [change(), other, verdict(), left] {
        deliver(&config, event).await.expect("delivered or passed over");
    }
    assert_eq!(got.lock().expect("lock").len(), 2, "breached, and no longer breached");
    let elsewhere = Config { only: Some("other".into()), ..config };
    deliver(&elsewhere, verdict()).await.expect("passed over");
    assert_eq!(got.lock().expect("lock").len(), 2);
}

#[test]
fn slack_reads_a_sentence_and_strangers_cannot_write_markup() {
    let message = slack::message(&verdict(), Some("https://evals.example.com"));
    let text = message["text"].as_str().expect("text");
    assert!(text.starts_with(":red_circle: *breached* (was regressed): error_rate in C"), "{text}");
    let context = message["blocks"][1]["elements"][0]["text"].as_str().expect("text");
    assert!(context.contains("<https://evals.example.com/|open>"));
    let changed = slack::message(&change(), None);
    assert_eq!(changed["text"], "model.revision changed in B: &lt;one&gt; → two");
}

#[test]
fn a_wrong_setting_is_named_and_a_secret_url_is_not() {
    let config = Config {
        url: "https://hooks.example.com/services/T0/B0/verysecret".into(),
        secret: Secret::new("whsec_!!"),
        states: vec!["brached".into()],
        ..Config::default()
    };
    assert!(!config.target().contains("verysecret"), "{}", config.target());
    let keys: Vec<&str> = config.faults().iter().map(|fault| fault.0).collect();
    assert_eq!(keys, ["secret", "states"]);
    assert_eq!(Config::default().faults()[0].0, "url");
}
