//! What programs read of a server: run records over HTTP, gRPC and from the sink's file, the
//! gate's document, and `/metrics`.

use super::truth::{Truth, bits};
use crate::server::Server;
use armspan::api::proto::run_service_client::RunServiceClient;
use armspan::api::proto::{GetRunRequest, RunRecord as Twin};
use armspan::model::record::MetricLine;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::path::Path;

pub async fn walk(truth: &Truth, server: &Server) {
    let runs = server.json("/api/v1/runs?experiment=walk").await["runs"].clone();
    let runs = runs.as_array().expect("runs").clone();
    records(truth, &runs);
    let delivered = delivered(&server.data);
    records(truth, &delivered);
    for record in &runs {
        let id = record["run"]["id"].as_str().expect("id");
        let one = server.json(&format!("/api/v1/runs/{id}")).await;
        assert_eq!(bits(&one["metrics"]), bits(&record["metrics"]));
        twin(record, &ask(server, id).await);
    }
    gate(truth, &server.json("/api/v1/experiments/walk/gate").await);
    metrics(truth, &server.text("/metrics").await.expect("metrics"));
}

/// The latest record of each run in the file of the sink.
fn delivered(data: &Path) -> Vec<Json> {
    let mut latest = BTreeMap::new();
    let mut files: Vec<_> = std::fs::read_dir(data.join("runs"))
        .expect("runs")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    for file in files {
        for line in std::fs::read_to_string(file).expect("text").lines() {
            let record: Json = serde_json::from_str(line).expect("JSON");
            latest.insert(record["run"]["id"].to_string(), record);
        }
    }
    latest.into_values().collect()
}

/// Every arm has one run, so its figures are the arm's.
pub fn records(truth: &Truth, records: &[Json]) {
    assert_eq!(records.len(), truth.site().arms.len());
    for record in records {
        let name = record["run"]["arm"].as_str().expect("arm");
        let (arm, traffic) = (truth.arm(name), &record["traffic"]);
        assert_eq!((&traffic["calls"], &traffic["units"]), (&json!(arm.calls), &json!(arm.units)));
        assert_eq!(bits(&record["metrics"]), bits(truth.lines_json(name)), "{name}");
    }
}

/// The gate's document says of each metric that decides what its verdict says.
pub fn gate(truth: &Truth, gate: &Json) {
    let mut found = 0;
    for arm in gate["arms"].as_array().expect("arms") {
        let name = arm["arm"].as_str().expect("arm");
        let lines = truth.lines_json(name).as_array().expect("lines");
        for metric in arm["sites"][0]["metrics"].as_array().expect("metrics") {
            let own = |line: &&Json| {
                line["name"] == metric["name"] && line["verdict"]["decides"] == json!(true)
            };
            let line = lines.iter().find(own).expect("a line that decides");
            for figure in ["estimate", "lower", "upper", "confidence"] {
                assert_eq!(bits(&metric[figure]), bits(&line["difference"][figure]), "{metric}");
            }
            for word in ["state", "reasons", "since", "breach"] {
                assert_eq!(metric[word], line["verdict"][word], "{name}: {metric}");
            }
            let sentence = metric["sentence"].as_str().expect("a sentence");
            assert!(sentence.ends_with(line["verdict"]["sentence"].as_str().expect("a sentence")));
            assert_eq!(metric["unit"], line["unit"]);
            found += 1;
        }
    }
    assert_eq!(found, 2 * 6, "two arms, six metrics that decide");
}

async fn ask(server: &Server, id: &str) -> Twin {
    let address = format!("http://127.0.0.1:{}", server.grpc);
    let mut client = RunServiceClient::connect(address).await.expect("connected");
    let id = id.to_owned();
    client.get_run(GetRunRequest { id }).await.expect("a record").into_inner()
}

/// The record over gRPC has the same numbers.
fn twin(record: &Json, twin: &Twin) {
    let lines = record["metrics"].as_array().expect("metrics");
    assert_eq!(lines.len(), twin.metrics.len());
    for (line, own) in lines.iter().zip(&twin.metrics) {
        let level = own.level.as_ref();
        let level = level.map(|l| {
            json!([own.name, own.unit, l.estimate, l.lower, l.upper, l.confidence, l.method])
        });
        let found = own.difference.as_ref();
        let found =
            found.map(|d| json!([d.estimate, d.lower, d.upper, d.confidence, d.log_e, d.p]));
        let pick = |from: &Json, names: &[&str]| -> Vec<Json> {
            names.iter().map(|name| from[*name].clone()).collect()
        };
        let of_level = [
            pick(line, &["name", "unit"]),
            pick(&line["level"], &["estimate", "lower", "upper", "confidence", "method"]),
        ];
        let of_difference =
            pick(&line["difference"], &["estimate", "lower", "upper", "confidence", "log_e", "p"]);
        let some = |json: &Json, figures: Json| json.as_object().map(|_| bits(&figures));
        assert_eq!(level.as_ref().map(bits), some(&line["level"], json!(of_level.concat())));
        assert_eq!(found.as_ref().map(bits), some(&line["difference"], json!(of_difference)));
        assert_eq!(
            (json!(own.calls), json!(own.units), json!(own.scored)),
            (line["calls"].clone(), line["units"].clone(), line["scored"].clone())
        );
        let state = own.verdict.as_ref().map_or(Json::Null, |v| json!([v.state, v.sentence]));
        let verdict = &line["verdict"];
        let wanted = if verdict.is_null() {
            Json::Null
        } else {
            json!([verdict["state"], verdict["sentence"]])
        };
        assert_eq!(state, wanted);
    }
}

/// Every level, difference and verdict of `/metrics`.
fn metrics(truth: &Truth, text: &str) {
    for arm in &truth.site().arms {
        for line in truth.shown(arm) {
            let value = |family: &str, more: &str| sample(text, family, &arm.arm, &line.name, more);
            let (level, found) = (line.level.as_ref(), line.difference.as_ref());
            for (bound, level, found) in [
                ("estimate", level.map(|l| l.estimate), found.map(|d| d.estimate)),
                ("lower", level.and_then(|l| l.lower), found.and_then(|d| d.lower)),
                ("upper", level.and_then(|l| l.upper), found.and_then(|d| d.upper)),
            ] {
                let more = format!("bound=\"{bound}\"");
                let place = || format!("{bound} of {} in {}", line.name, arm.arm);
                let same =
                    |a: Option<f64>, b: Option<f64>| a.map(f64::to_bits) == b.map(f64::to_bits);
                assert!(same(value("armspan_arm_metric", &more), level), "{}", place());
                assert!(same(value("armspan_arm_difference", &more), found), "{}", place());
            }
            if let (Some(verdict), true) = (&line.verdict, MetricLine::decides(line)) {
                let more = format!("state=\"{}\"", verdict.state);
                assert_eq!(value("armspan_verdict", &more), Some(1.0), "{}", line.name);
            }
        }
    }
}

fn sample(text: &str, family: &str, arm: &str, metric: &str, more: &str) -> Option<f64> {
    let labels = [format!("arm=\"{arm}\""), format!("metric=\"{metric}\""), more.to_owned()];
    let own = |line: &&str| {
        line.starts_with(&format!("{family}{{")) && labels.iter().all(|label| line.contains(label))
    };
    let found: Vec<&str> = text.lines().filter(own).collect();
    assert!(found.len() <= 1, "{found:?}");
    found.first().map(|line| line.rsplit(' ').next().expect("a value").parse().expect("a number"))
}
