//! Tests of the whole sink: what the messages say of events and of the sample cut.

use super::client::Request;
use super::*;
use crate::model::view::{Distribution, Exemplar};
use crate::sink::sample;
use opentelemetry_proto::tonic::metrics::v1 as wire;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use serde_json::json;
use std::collections::BTreeSet;

fn verdict() -> Event {
    let cut = sample::cut();
    let arm = &cut.experiments[0].sites[0].arms[2];
    let metric = arm.metrics.iter().find(|line| line.name == "latency_p95").expect("the metric");
    let json = json!({
        "schema": "armspan/event/v1", "id": "0123456789abcdef0123456789abcdef", "kind": "verdict",
        "at": "2026-11-24T16:31:00.5Z", "experiment": "support-bot", "site": "answer", "epoch": 2,
        "arm": "C", "control": "A", "metric": metric, "was": "inconclusive",
        "decision": arm.decision
    });
    serde_json::from_value(json).expect("an event")
}

fn change() -> Event {
    let json = json!({
        "schema": "armspan/event/v1", "id": "ff", "kind": "change", "at": "2026-11-24T07:59:00Z",
        "experiment": "support-bot", "site": "answer", "epoch": 2, "arm": "B",
        "change": {"at": "2026-11-24T07:59:00Z", "arm": "B", "field": "sampling.temperature",
                   "from": 0.2, "to": 0.7}
    });
    serde_json::from_value(json).expect("an event")
}

fn distribution(quantity: &str) -> Distribution {
    Distribution {
        experiment: "support-bot".into(),
        site: "answer".into(),
        arm: "B".into(),
        quantity: quantity.into(),
        unit: "s".into(),
        since: 1_795_500_000_000_000_000,
        per_unit: 1e6,
        count: 8,
        sum: 4.5,
        zeros: 1,
        scale: 3,
        buckets: vec![(-10, 2), (-8, 5)],
        exemplars: vec![Exemplar {
            at: 1_795_500_000_000_000_001,
            value: 0.5,
            trace_id: "4c3c1e5c2acf31fcc5cd23f5d8d67cce".into(),
            span_id: "2a2821c3fe310977".into(),
        }],
    }
}

fn view() -> View {
    let cut = sample::cut();
    View {
        position: cut.position,
        log_time: cut.at,
        experiments: cut.experiments,
        runs: cut.records,
        distributions: vec![distribution("latency"), distribution("cost")],
        ..View::default()
    }
}

fn metrics(view: &View, counters: &mut points::Counters) -> Vec<wire::Metric> {
    let of = |request| match request {
        Request::Metrics(request) => request.resource_metrics,
        Request::Logs(_) => Vec::new(),
    };
    let resources = points::requests(view, counters).into_iter().flat_map(of);
    resources.flat_map(|one| one.scope_metrics).flat_map(|one| one.metrics).collect()
}

fn numbers(all: &[wire::Metric], name: &str) -> Vec<wire::NumberDataPoint> {
    let points = |metric: &wire::Metric| match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.clone(),
        Some(Data::Sum(sum)) => {
            assert!(sum.is_monotonic && sum.aggregation_temporality == 2);
            sum.data_points.clone()
        }
        _ => Vec::new(),
    };
    all.iter().filter(|metric| metric.name == name).flat_map(points).collect()
}

fn value(point: &wire::NumberDataPoint) -> f64 {
    match point.value.expect("a value") {
        wire::number_data_point::Value::AsInt(value) => value as f64,
        wire::number_data_point::Value::AsDouble(value) => value,
    }
}

#[test]
fn a_verdict_is_a_warning_with_all_that_is_known() {
    let record = events::record(&verdict());
    assert_eq!(record.event_name, "armspan.verdict");
    assert_eq!((record.severity_number, record.severity_text.as_str()), (13, "WARN"));
    assert_eq!(record.time_unix_nano, 1_795_537_860_500_000_000);
    assert_eq!(record.observed_time_unix_nano, record.time_unix_nano);
    let keys: BTreeSet<&str> = record.attributes.iter().map(|pair| pair.key.as_str()).collect();
    assert_eq!(keys.len(), record.attributes.len(), "each key once");
    for key in ["event_id", "experiment", "site", "epoch", "arm", "metric", "state", "was"] {
        assert!(keys.contains(format!("armspan.{key}").as_str()), "{key} in {keys:?}");
    }
    let body = format!("{:?}", record.body);
    assert!(body.contains("latency_p95"), "{body}");
    assert_eq!(record, events::record(&verdict()), "the same event is the same record");
}

#[test]
fn a_change_says_from_what_to_what() {
    let record = events::record(&change());
    assert_eq!((record.event_name.as_str(), record.severity_number), ("armspan.change", 9));
    let body = format!("{:?}", record.body);
    assert!(
        body.contains("sampling.temperature changed in B at answer from 0.2 to 0.7."),
        "{body}"
    );
}

#[test]
fn figures_are_those_of_the_view() {
    let (view, mut counters) = (view(), points::Counters::default());
    let all = metrics(&view, &mut counters);
    let lines = || view.experiments[0].sites[0].arms.iter().flat_map(|arm| &arm.metrics);
    let estimates: f64 = lines().filter_map(|l| l.level.as_ref()).map(|l| l.estimate).sum();
    let label = |point: &wire::NumberDataPoint, text: &str| {
        point.attributes.iter().any(|pair| format!("{:?}", pair.value).contains(text))
    };
    let levels = numbers(&all, "armspan.arm.metric");
    let sent: f64 = levels.iter().filter(|p| label(p, "\"estimate\"")).map(value).sum();
    assert!((sent - estimates).abs() < 1e-9, "{sent} for {estimates}");
    let calls = numbers(&all, "armspan.arm.calls");
    let total: i64 = view.experiments[0].sites[0].all_epochs.iter().map(|arm| arm.calls).sum();
    assert_eq!(calls.iter().map(value).sum::<f64>(), total as f64);
    assert!(calls.iter().all(|p| p.start_time_unix_nano > 0 && p.time_unix_nano == view.log_time));
    let verdicts = numbers(&all, "armspan.verdict");
    let deciding = lines().filter(|l| l.verdict.as_ref().is_some_and(|v| v.decides)).count();
    assert_eq!(verdicts.len(), 7 * deciding);
    assert_eq!(verdicts.iter().map(value).sum::<f64>(), deciding as f64);
    assert_eq!(numbers(&all, "armspan.sample_ratio.log_e").len(), 1);
    assert!(all.iter().any(|metric| metric.name == "armspan.arm.latency" && metric.unit == "s"));
}

#[test]
fn a_counter_never_falls() {
    let (mut view, mut counters) = (view(), points::Counters::default());
    let before = numbers(&metrics(&view, &mut counters), "armspan.arm.calls");
    for arm in &mut view.experiments[0].sites[0].all_epochs {
        arm.calls -= 5;
    }
    assert_eq!(numbers(&metrics(&view, &mut counters), "armspan.arm.calls"), before);
}

#[test]
fn a_histogram_has_its_exemplars_and_begins_with_the_first_call() {
    let point = histogram::point(&distribution("latency"), 1_795_543_200_000_000_000);
    assert_eq!((point.count, point.sum, point.zero_count, point.scale), (8, Some(4.5), 1, 3));
    let buckets = point.positive.expect("buckets");
    assert_eq!((buckets.offset, buckets.bucket_counts), (-10, vec![2, 0, 5]));
    assert_eq!(point.start_time_unix_nano, 1_795_500_000_000_000_000);
    assert_eq!(point.exemplars.len(), 1);
    assert_eq!(point.exemplars[0].span_id.len(), 8);
}

#[test]
fn requests_are_bounded_and_lose_no_point() {
    let mut view = view();
    let site = view.experiments[0].sites[0].clone();
    for number in 0..40 {
        let mut more = site.clone();
        more.site = format!("site {number}");
        view.experiments[0].sites.push(more);
    }
    let requests = points::requests(&view, &mut points::Counters::default());
    let mut total = 0;
    for request in &requests {
        let Request::Metrics(request) = request else { panic!("logs") };
        let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
        let count: usize = metrics.iter().map(count).sum();
        assert!((1..=points::POINTS_MAX).contains(&count), "{count}");
        total += count;
    }
    let one = metrics(&self::view(), &mut points::Counters::default());
    let (once, twice) = (3, one.iter().map(count).sum::<usize>() - 3);
    assert_eq!(
        total,
        once + 41 * twice,
        "but for the ratio and the distributions all are per site"
    );
}

fn count(metric: &wire::Metric) -> usize {
    match metric.data.as_ref().expect("data") {
        Data::Gauge(gauge) => gauge.data_points.len(),
        Data::Sum(sum) => sum.data_points.len(),
        Data::ExponentialHistogram(found) => found.data_points.len(),
        _ => 0,
    }
}

#[test]
fn an_unclear_answer_is_not_tried_for_ever() {
    let (mut unclear, key) = (Unclear::default(), ItemKey { position: 7, ordinal: 1 });
    let fault = || Fault::Unclear("POST x: 500".into());
    for _ in 1..UNCLEAR_MAX {
        assert!(matches!(unclear.judge(key, fault(), &verdict()), Failure::Later { .. }));
    }
    let Failure::Refused { what } = unclear.judge(key, fault(), &verdict()) else { panic!() };
    assert!(what.contains("0123456789abcdef"), "{what}");
    let next = ItemKey { position: 8, ordinal: 0 };
    assert!(matches!(unclear.judge(next, fault(), &verdict()), Failure::Later { .. }));
}

#[test]
fn settings_say_what_is_wrong_with_them() {
    let faults = |json: serde_json::Value| {
        let config: Config = serde_json::from_value(json).expect("config");
        let found = config.faults();
        assert!(found.iter().all(|(_, what)| !what.contains("hunter2")), "{found:?}");
        found.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
    };
    assert_eq!(faults(json!({})), ["endpoint"], "there is no default: it would be ourselves");
    let good = json!({"endpoint": "https://h:4317", "protocol": "grpc", "interval": "15s",
                      "headers": ["authorization=Basic aHVudGVyMg=="], "signals": ["logs"]});
    assert!(faults(good).is_empty());
    assert_eq!(faults(json!({"endpoint": "h:4318"})), ["endpoint"]);
    assert_eq!(faults(json!({"endpoint": "http://h:4318/v1/metrics"})), ["endpoint"]);
    assert_eq!(faults(json!({"endpoint": "http://a:hunter2@h"})), ["endpoint"]);
    assert_eq!(faults(json!({"endpoint": "http://h", "headers": ["hunter2"]})), ["headers"]);
    assert_eq!(faults(json!({"endpoint": "http://h", "headers": ["a b=hunter2"]})), ["headers"]);
    assert_eq!(faults(json!({"endpoint": "http://h", "interval": 0})), ["interval"]);
}

#[test]
fn a_receiver_of_metrics_only_gets_no_events() {
    let open = |signals: Vec<Signal>| {
        let config = Config { signals, ..Config::default() };
        config.open(&Around::default()).expect("a sink")
    };
    let (logs, metrics, both) =
        (open(vec![Signal::Logs]), open(vec![Signal::Metrics]), open(Vec::new()));
    let takes = [&logs, &metrics, &both].map(|sink| sink.takes(ItemKind::Event));
    assert_eq!(takes, [true, false, true]);
    let pulses = [&logs, &metrics, &both].map(|sink| sink.pulse().map(|pulse| pulse.as_secs()));
    assert_eq!(pulses, [None, Some(60), Some(60)]);
    assert!(!both.takes(ItemKind::Cut));
}
