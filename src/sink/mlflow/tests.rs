//! The sink against a small MLflow that fails where it hurts.

use super::standin::{Fault, Kept, KeptRun, Standin};
use super::*;
use crate::model::delivery::{HOUR, ItemKey, Why};
use crate::sink::sample::{self, ThreeHours};
use std::time::Duration;

const B: &str = "9cb97ebd526e853fa2707bdde1deacf4";

fn item(cut: &Cut) -> Item {
    let key = ItemKey { position: cut.position, ordinal: 0 };
    Item { key, body: Body::Cut(Box::new(cut.clone())) }
}

/// Three cuts as they come: at the end of an epoch, an hour later, and when all is over.
fn cuts() -> [Cut; 3] {
    let last = sample::cut();
    let mut first = last.clone();
    (first.position, first.at) = (1_000, last.at - 2 * HOUR);
    first.records.retain(|record| record.window.epoch == 1);
    first.experiments[0].sites[0].epoch = 1;
    let mut over = last.clone();
    (over.position, over.at, over.why) = (4_000, last.at + HOUR, Why::Drain);
    over.records.retain(|record| record.window.epoch == 2);
    for record in &mut over.records {
        record.window.closed = true;
        record.traffic.calls += 10;
        record.metrics.retain(|line| line.name != "answer_ok");
    }
    [first, last, over]
}

fn config(server: &Standin) -> Config {
    Config { url: server.url.clone(), ..Config::default() }
}

async fn deliver(config: &Config, cuts: &[Cut]) -> Result<(), Failure> {
    let around = Around { dashboard: Some("http://armspan".into()), ..Around::default() };
    let mut sink = config.open(&around)?;
    for cut in cuts {
        sink.deliver(&item(cut), &ThreeHours).await?;
    }
    Ok(())
}

async fn kept_after(cuts: &[Cut]) -> (Kept, Vec<(String, usize)>) {
    let server = Standin::start().await;
    deliver(&config(&server), cuts).await.expect("delivered");
    (server.kept(), server.asked())
}

fn run_of<'k>(kept: &'k Kept, id: &str) -> &'k KeptRun {
    let mut own = kept.runs.iter().filter(|run| run.tags["armspan.run_id"] == id);
    let found = own.next().expect("a run");
    assert!(own.next().is_none(), "one run of {id}");
    found
}

#[tokio::test]
async fn a_run_has_all_of_its_epochs() {
    let (kept, _) = kept_after(&cuts()[..2]).await;
    assert_eq!((kept.runs.len(), kept.models.len(), kept.outputs.len()), (4, 4, 4));
    assert!(kept.models.iter().all(|model| model["info"]["status"] == "LOGGED_MODEL_READY"));
    let run = run_of(&kept, B);
    assert_eq!(run.info["status"], "RUNNING");
    assert_eq!(run.info["start_time"], entries::millis("2026-11-24T07:55:18.223Z"));
    assert_eq!(run.params["model.revision"], "gpt-4o-mini-2024-12-01");
    for (key, value) in [
        ("armspan.epoch", "2"),
        ("armspan.epoch.1.calls", "34"),
        ("armspan.epoch.2.calls", "3583"),
        ("armspan.verdict.answer_ok", "better"),
        ("armspan.gate", "inconclusive"),
        ("mlflow.source.git.commit", "9f3c2d1e8b7a6f5e4d3c2b1a0f9e8d7c6b5a4f3e"),
    ] {
        assert_eq!(run.tags.get(key).map(String::as_str), Some(value), "{key}");
    }
    let last = sample::cut();
    let history = &run.metrics["traffic/calls"];
    let newest = history.iter().max_by_key(|point| (point.1, point.0)).expect("a point");
    assert_eq!(*newest, ((last.at / 1_000_000) as i64, last.hour(), 3_583.0));
    let ended = run_of(&kept, "2b6f650dd29c507c17c3bd4f9cf310a4");
    assert_eq!(ended.info["status"], "FINISHED");
    assert_eq!(ended.info["end_time"], entries::millis("2026-11-24T07:54:50.875Z"));
}

#[tokio::test]
async fn what_comes_again_changes_nothing() {
    let server = Standin::start().await;
    let cuts = cuts();
    deliver(&config(&server), &cuts).await.expect("delivered");
    let kept = server.kept();
    for again in [&cuts[..], &cuts[..1], &cuts[1..2], &cuts[..2]] {
        deliver(&config(&server), again).await.expect("delivered");
        assert_eq!(server.kept(), kept, "{} cuts again", again.len());
    }
}

#[tokio::test]
async fn of_several_mlflow_runs_of_one_run_the_oldest_is_taken() {
    let server = Standin::start().await;
    let cuts = cuts();
    deliver(&config(&server), &cuts[..1]).await.expect("delivered");
    server.change(|kept| {
        let mut second = kept.runs[0].clone();
        second.info.insert("run_id".into(), json!("later"));
        kept.runs.push(second);
    });
    let before = server.kept();
    deliver(&config(&server), &cuts[1..]).await.expect("delivered");
    let kept = server.kept();
    assert_eq!((kept.runs.len(), &kept.runs[4]), (5, &before.runs[4]));
    assert_ne!(kept.runs[0], before.runs[0]);
}

#[tokio::test]
async fn a_cut_of_known_runs_costs_few_requests() {
    let server = Standin::start().await;
    let mut sink = config(&server).open(&Around::default()).expect("a sink");
    let mut cut = sample::cut();
    sink.deliver(&item(&cut), &ThreeHours).await.expect("delivered");
    let first = server.asked().len();
    (cut.position, cut.at) = (4_000, cut.at + HOUR);
    cut.records.retain(|record| record.window.epoch == 2);
    sink.deliver(&item(&cut), &ThreeHours).await.expect("delivered");
    let next = server.asked().len() - first;
    // For each run a batch, the record and the report; for two arms three traces to look for.
    assert_eq!((cut.records.len(), next), (3, 3 * 3 + 2 * 3));
}

#[tokio::test]
async fn a_run_that_comes_back_is_opened_and_loses_verdicts_that_no_longer_hold() {
    let mut cuts = cuts();
    let (kept, _) = kept_after(&cuts).await;
    let run = run_of(&kept, B);
    assert_eq!(run.info["status"], "FINISHED");
    assert!(!run.tags.contains_key("armspan.verdict.answer_ok"));
    assert!(run.tags.contains_key("armspan.verdict.error_rate"));
    let back = &mut cuts[2];
    for record in &mut back.records {
        (record.window.closed, record.window.epoch) = (false, 3);
        record.window.last_seen = "2026-11-24T18:50:00Z".into();
    }
    let mut all = self::cuts().to_vec();
    back.position = 5_000;
    all.push(back.clone());
    let (kept, _) = kept_after(&all).await;
    let run = run_of(&kept, B);
    assert_eq!((&run.info["status"], &run.tags["armspan.epoch"]), (&json!("RUNNING"), &"3".into()));
    assert_eq!(run.info["end_time"], entries::millis("2026-11-24T18:50:00Z"));
}

#[tokio::test]
async fn a_delivery_that_breaks_at_any_request_is_made_good() {
    let mut cuts = cuts();
    for cut in &mut cuts {
        cut.records.retain(|record| record.run.id == B);
    }
    let cuts = &cuts[1..];
    let (whole, asked) = kept_after(cuts).await;
    assert!(asked.len() > 20);
    for (at, request) in asked.iter().enumerate() {
        for done in [false, true] {
            let server = Standin::start().await;
            let answer = (500, vec![], "{\"error_code\": \"INTERNAL_ERROR\"}");
            server.fail(Fault { at, done, answer });
            let failed = deliver(&config(&server), cuts).await;
            assert!(matches!(failed, Err(Failure::Later { .. })), "{at}: {failed:?}");
            deliver(&config(&server), cuts).await.expect("delivered");
            assert_eq!(server.kept(), whole, "broken at {request:?}, done: {done}");
        }
    }
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let invalid = "Invalid Host header - possible DNS rebinding attack detected";
    for (status, body, hint, is_later) in [
        (429, "slow down", "429 Too Many Requests", true),
        (401, "no", "check username and password", true),
        (403, invalid, "--allowed-hosts", true),
        (400, "The run x must be in the 'active' state.", "restore it", false),
        (200, "<html>", "check the sink's URL", true),
    ] {
        let server = Standin::start().await;
        let answer = (status, vec![("retry-after", "17")], body);
        server.fail(Fault { at: 2, done: false, answer });
        let failure = deliver(&config(&server), &cuts()[..1]).await.expect_err("refused");
        assert!(failure.to_string().contains(hint), "{failure}");
        assert_eq!(matches!(failure, Failure::Later { .. }), is_later, "{failure}");
        if let Failure::Later { after, .. } = failure {
            assert_eq!(after, (status == 429).then_some(Duration::from_secs(17)));
        }
    }
}

#[tokio::test]
async fn what_was_deleted_is_not_made_again() {
    let server = Standin::start().await;
    let cuts = cuts();
    deliver(&config(&server), &cuts[..1]).await.expect("delivered");
    let stage = |stage: &'static str| {
        server.change(|kept| {
            for run in &mut kept.runs {
                run.info.insert("lifecycle_stage".into(), json!(stage));
            }
        });
    };
    stage("deleted");
    let failure = deliver(&config(&server), &cuts[..1]).await.expect_err("deleted");
    assert!(matches!(failure, Failure::Refused { .. }), "{failure}");
    assert!(failure.to_string().contains("mlflow runs restore --run-id r"), "{failure}");
    // The other runs are not kept back by the one that is refused.
    server.change(|kept| {
        let own = |run: &&mut KeptRun| run.tags["armspan.run_id"] != B;
        kept.runs.iter_mut().filter(own).for_each(|run| {
            run.info.insert("lifecycle_stage".into(), json!("active"));
        });
    });
    let failure = deliver(&config(&server), &cuts[1..2]).await.expect_err("one is deleted");
    assert!(matches!(failure, Failure::Refused { .. }), "{failure}");
    let kept = server.kept();
    let shown = kept.runs.iter().filter(|run| run.tags["armspan.epoch"] == "2").count();
    assert_eq!((kept.runs.len(), shown), (4, 2));
    stage("active");
    deliver(&config(&server), &cuts[..1]).await.expect("delivered");
    assert_eq!(server.kept().runs.len(), 3 + 1);
}

#[tokio::test]
async fn long_texts_are_cut_visibly_and_kept_whole_in_files() {
    let mut cut = sample::cut();
    cut.records.truncate(1);
    let long = "é".repeat(7_000);
    cut.records[0].config.insert("stop".into(), json!(long));
    let (kept, _) = kept_after(&[cut]).await;
    let run = &kept.runs[0];
    assert_eq!(run.params["stop"].chars().count(), 6_000);
    assert!(run.params["stop"].ends_with("all of it: artifact armspan/params/stop.txt)"));
    assert_eq!(run.tags["armspan.truncated.stop"], "armspan/params/stop.txt");
    assert_eq!(kept.files["1/r0/artifacts/armspan/params/stop.txt"], long.as_bytes());
}

#[tokio::test]
async fn verdicts_are_put_once_on_traces_that_are_there() {
    let server = Standin::start().await;
    let cut = sample::cut();
    let trace = format!("tr-{}", cut.records[1].links[0].trace_id);
    server.change(|kept| {
        kept.traces.insert(trace.clone(), Vec::new());
        kept.read_only = true;
    });
    deliver(&config(&server), std::slice::from_ref(&cut)).await.expect("all but the verdicts");
    assert!(server.kept().traces[&trace].is_empty());
    server.change(|kept| kept.read_only = false);
    for _ in 0..2 {
        deliver(&config(&server), std::slice::from_ref(&cut)).await.expect("delivered");
    }
    let kept = server.kept();
    let names: Vec<&str> =
        kept.traces[&trace].iter().filter_map(|one| one["assessment_name"].as_str()).collect();
    let decides = |line: &&crate::model::record::MetricLine| {
        line.verdict.as_ref().is_some_and(|verdict| verdict.decides)
    };
    let expected: Vec<String> = cut.records[1]
        .metrics
        .iter()
        .filter(decides)
        .map(|line| format!("armspan_verdict/{}", line.name))
        .collect();
    assert_eq!(names, expected);
    assert_eq!((kept.traces.len(), names[0]), (1, "armspan_verdict/answer_ok"));
}

#[tokio::test]
async fn an_experiment_without_a_proxy_for_files_gets_all_else() {
    let server = Standin::start().await;
    let cuts = cuts();
    deliver(&config(&server), &cuts[..1]).await.expect("delivered");
    server.change(|kept| {
        kept.files.clear();
        for run in &mut kept.runs {
            run.info.insert("artifact_uri".into(), json!("s3://bucket/1"));
        }
    });
    deliver(&config(&server), &cuts[..2]).await.expect("delivered");
    let kept = server.kept();
    assert_eq!((kept.files.len(), &run_of(&kept, B).tags["armspan.epoch"]), (0, &"2".to_owned()));
}

#[tokio::test]
async fn a_server_before_mlflow_3_gets_what_it_knows() {
    let server = Standin::start().await;
    server.change(|kept| kept.old = true);
    deliver(&config(&server), &cuts()).await.expect("delivered");
    let kept = server.kept();
    assert_eq!((kept.runs.len(), kept.models.len(), kept.outputs.len()), (4, 0, 0));
}

#[tokio::test]
async fn a_request_names_its_sender() {
    let server = Standin::start().await;
    let cut = &cuts()[..1];
    for (settings, expected) in [
        (config(&server), None),
        (Config { token: Secret::new("t"), ..config(&server) }, Some("Bearer t")),
        (
            Config {
                username: Some("u".into()),
                password: Secret::new("p"),
                experiment: Some("shared".into()),
                ..config(&server)
            },
            Some("Basic dTpw"),
        ),
    ] {
        deliver(&settings, cut).await.expect("delivered");
        assert_eq!(server.authorization().as_deref(), expected);
    }
    let names: Vec<String> = server.kept().experiments.into_keys().collect();
    assert_eq!(names, ["shared", "support-bot"]);
}

#[test]
fn every_setting_is_a_flag() {
    #[derive(clap::Parser)]
    struct Export {
        #[command(subcommand)]
        sink: crate::sink::Config,
    }
    let words = "x mlflow --url http://h --into e --username u --password p";
    let read: Export = clap::Parser::parse_from(words.split(' '));
    let yaml = r#"{"kind": "mlflow", "url": "http://h", "experiment": "e", "username": "u",
                   "password": "p"}"#;
    assert_eq!(read.sink, serde_json::from_str(yaml).expect("settings"));
    let plain: Export = clap::Parser::parse_from(["x", "mlflow"]);
    assert!(plain.sink.is_plain());
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let read = |text: &str| serde_json::from_str::<Config>(text).expect("settings");
    let faults =
        |text: &str| read(text).faults().into_iter().map(|fault| fault.0).collect::<Vec<_>>();
    assert_eq!(faults("{}"), [""; 0]);
    assert_eq!(faults(r#"{"username": "a", "password": "b"}"#), [""; 0]);
    assert_eq!(faults(r#"{"username": "a", "token": "b"}"#), ["token"]);
    assert_eq!(faults(r#"{"password": "b"}"#), ["password"]);
    for url in ["", "mlflow:5000", "http://a:b@host", "ftp://host", "http://host?x=1"] {
        assert_eq!(faults(&json!({"url": url}).to_string()), ["url"], "{url}");
    }
    assert!(serde_json::from_str::<Config>(r#"{"uri": "x"}"#).is_err());
    let named = read(r#"{"url": "http://host/base/", "experiment": "x"}"#);
    assert_eq!(named.target(), "http://host/base#x");
}
