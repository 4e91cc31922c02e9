//! The page is read back by a small strict parser.

use super::*;
use proptest::prelude::*;
use serde_json::json;
use std::collections::HashSet;

type Series = (String, Vec<(String, String)>);

/// Reads a page; panics at anything that a scraper would refuse.
fn parse(page: &str, open: bool) -> BTreeMap<Series, f64> {
    let (mut all, mut families, mut family) = (BTreeMap::new(), HashSet::new(), String::new());
    let body = match open {
        true => page.strip_suffix("# EOF\n").expect("the end is marked"),
        false => page,
    };
    assert!(body.ends_with('\n'));
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split(' ').next().expect("name").to_owned();
            assert!(families.insert(family.clone()), "family {family} comes twice");
        } else if !line.starts_with("# HELP ") {
            let (series, value) = sample(line);
            assert!(series.0.starts_with(&family), "{line} is not of {family}");
            assert!(all.insert(series, value).is_none(), "{line} comes twice");
        }
    }
    all
}

fn sample(line: &str) -> (Series, f64) {
    let end = line.find(['{', ' ']).expect("a name");
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, after) = rest.trim_start_matches(',').split_once("=\"").expect("label");
            let (text, after) = unescape(after);
            labels.push((label.to_owned(), text));
            rest = after;
        }
        rest = &rest[1..];
    }
    ((name.to_owned(), labels), rest.trim_start().parse().expect("number"))
}

fn unescape(text: &str) -> (String, &str) {
    let (mut out, mut chars) = (String::new(), text.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (out, &text[at + 1..]),
            '\\' => match chars.next().expect("escape").1 {
                'n' => out.push('\n'),
                c => out.push(c),
            },
            c => out.push(c),
        }
    }
    panic!("a label has no end")
}

fn view(arm: &str, calls: i64) -> View {
    let line = json!({"name": "error_rate", "role": "guardrail", "direction": "decrease", "unit": "1",
        "definition": "d", "calls": calls, "level": {"estimate": 0.25, "lower": 0.1, "method": "m"}});
    let arm_view = json!({"arm": arm, "control": true, "calls": calls, "units": 1, "runs": [], "evidence": "A",
        "metrics": [line.clone(), line]});
    let experiment = json!({"schema": "s", "name": "bot", "configured": true, "control_assumed": false,
        "state": "live", "unit": "user.id", "calls": calls, "arms": [arm], "crossover_units": 0,
        "conflicting_traces": 0, "sites": [{"site": "answer", "epoch": 1, "calls": calls,
        "arms": [arm_view], "all_epochs": [], "changes": []}]});
    let record = json!({"schema": "s", "run": {"id": "9f0c1d2e3f4a5b6c", "experiment": "bot", "arm": arm,
        "control": true, "site": "answer", "mode": "online", "fingerprint": "f"},
        "config": {"model": {"revision": "m-1"}}, "observed": [],
        "evidence": {"grade": "B", "calls": 4, "facets": [{"facet": "prompt.hash", "present": 3, "share": 0.75}]},
        "window": {"first_seen": "t", "last_seen": "t", "epoch": 1},
        "traffic": {"calls": 4, "units": 1, "unit": "u", "duplicates": 0, "late": 0, "crossover_units": 0},
        "metrics": [], "changes": [], "links": [],
        "collector": {"version": "v", "config": "c", "position": {}}});
    View {
        experiments: vec![serde_json::from_value(experiment).expect("experiment")],
        runs: vec![serde_json::from_value(record).expect("record")],
        ..View::default()
    }
}

fn find(all: &BTreeMap<Series, f64>, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let has = |series: &Series, (key, value): &(&str, &str)| {
        series.1.iter().any(|pair| pair.0 == *key && pair.1 == *value)
    };
    let mut found =
        all.iter().filter(|(s, _)| s.0 == name && labels.iter().all(|label| has(s, label)));
    found.next().map(|pair| *pair.1)
}

#[test]
fn the_names_of_the_contract_are_there() {
    let meter = Meter::default();
    Meter::add(&meter.spans, 7);
    meter.reject(Reject::TooOld, 2);
    for micros in [50, 200, 200, 999_999] {
        meter.commit(micros);
    }
    for (accept, open) in [(None, false), (Some("application/openmetrics-text;q=0.5"), true)] {
        let sink = Prometheus::default();
        let (kind, page) = sink.render(&view("A", 4), &meter, 99, accept);
        assert_eq!(kind, if open { OPEN_METRICS } else { TEXT });
        let all = parse(&page, open);
        let get = |name: &str, labels: &[(&str, &str)]| find(&all, name, labels);
        assert_eq!(get("armspan_spans_received_total", &[]), Some(7.0));
        assert_eq!(get("armspan_rejected_total", &[("reason", "too_old")]), Some(2.0));
        assert_eq!(get("armspan_arm_calls_total", &[("arm", "A"), ("site", "answer")]), Some(4.0));
        assert_eq!(get("armspan_arm_calls", &[("experiment", "bot")]), Some(4.0));
        let metric =
            |bound| get("armspan_arm_metric", &[("metric", "error_rate"), ("bound", bound)]);
        assert_eq!(
            (metric("estimate"), metric("lower"), metric("upper")),
            (Some(0.25), Some(0.1), None)
        );
        assert_eq!(get("armspan_evidence_share", &[("facet", "prompt.hash")]), Some(0.75));
        let info = [("run", "9f0c1d2e3f4a"), ("model_revision", "m-1")];
        assert_eq!(get("armspan_run_info", &info), Some(1.0));
        assert_eq!(get("armspan_queue_bytes", &[]), Some(99.0));
        let bucket = |le| get("armspan_log_commit_seconds_bucket", &[("le", le)]);
        assert_eq!(
            (bucket("0.0001"), bucket("0.00025"), bucket("+Inf")),
            (Some(1.0), Some(3.0), Some(4.0))
        );
        assert_eq!(get("armspan_log_commit_seconds_count", &[]), Some(4.0));
    }
}

#[test]
fn a_counter_never_falls_while_its_gauge_is_exact() {
    let (sink, meter) = (Prometheus::default(), Meter::default());
    sink.render(&view("A", 9), &meter, 0, None);
    let all = parse(&sink.render(&view("A", 4), &meter, 0, None).1, false);
    assert_eq!(find(&all, "armspan_arm_calls_total", &[]), Some(9.0));
    assert_eq!(find(&all, "armspan_arm_calls", &[]), Some(4.0));
}

#[test]
fn an_experiment_says_whether_to_trust_it_and_what_to_do() {
    let mut view = view("A", 4);
    let decision = json!({"action": "roll back", "because": ["error_rate"], "gate": "fail"});
    let ratio = json!({"state": "mismatch", "log_e": 1.5, "p": 0.0001,
        "expected": {"A": 0.5}, "units": {"A": 7}});
    view.experiments[0].sample_ratio = Some(serde_json::from_value(ratio).expect("ratio"));
    view.experiments[0].sites[0].arms[0].decision =
        Some(serde_json::from_value(decision).expect("decision"));
    let render = |view: &View| {
        parse(&Prometheus::default().render(view, &Meter::default(), 0, None).1, false)
    };
    let all = render(&view);
    let get = |name: &str, labels: &[(&str, &str)]| find(&all, name, labels);
    assert_eq!(get("armspan_sample_ratio_mismatch", &[]), Some(1.0), "though its evidence fell");
    assert_eq!(get("armspan_exposed_units", &[("arm", "A")]), Some(7.0));
    assert_eq!(get("armspan_planned_share", &[("arm", "A")]), Some(0.5));
    assert_eq!(get("armspan_arm_units", &[("arm", "A"), ("site", "answer")]), Some(1.0));
    assert_eq!(get("armspan_epoch", &[("site", "answer")]), Some(1.0));
    let action = |action| get("armspan_arm_decision", &[("arm", "A"), ("action", action)]);
    assert_eq!(["ship", "roll back", "wait"].map(action), [Some(0.0), Some(1.0), Some(0.0)]);
    view.experiments[0].sample_ratio.as_mut().expect("ratio").log_e = None;
    let unknown = find(&render(&view), "armspan_sample_ratio_mismatch", &[]);
    assert_eq!(unknown, None, "without a plan nothing is said");
}

#[test]
fn what_never_happened_is_zero_and_not_absent() {
    let mut view = View::default();
    view.counts.limits.insert("runs_max".into(), 5);
    let all = parse(&Prometheus::default().render(&view, &Meter::default(), 0, None).1, false);
    let hits = |limit| find(&all, "armspan_limit_hits_total", &[("limit", limit)]);
    assert_eq!((hits("runs_max"), hits("arms_max")), (Some(5.0), Some(0.0)));
    assert_eq!(find(&all, "armspan_orphaned_total", &[("reason", "no_call")]), Some(0.0));
}

#[test]
fn there_is_an_end_to_the_page() {
    let mut out = Encoder::new(true, None);
    out.family("armspan_x", Kind::Gauge, "x");
    for at in 0..SERIES_MAX + 3 {
        out.sample("armspan_x", &[("n", &at.to_string())], 1.0);
    }
    let all = parse(&out.finish(), true);
    assert_eq!(find(&all, "armspan_series_left_out", &[]), Some(3.0));
}

proptest! {
    #[test]
    fn any_name_comes_back_from_its_label(name in "[^\\p{Cc}]{0,30}") {
        let (_, page) = Prometheus::default().render(&view(&name, 1), &Meter::default(), 0, None);
        prop_assert_eq!(find(&parse(&page, false), "armspan_arm_calls", &[("arm", &name)]), Some(1.0));
    }
}

fn with_latency(buckets: &[(i32, i64)], exemplar: f64) -> View {
    let count = buckets.iter().map(|row| row.1).sum();
    let call = crate::model::view::Exemplar {
        at: 1_764_000_000_123_456_789,
        value: exemplar,
        trace_id: "ab".repeat(16),
        span_id: "cd".repeat(8),
    };
    let one = crate::model::view::Distribution {
        experiment: "bot".into(),
        site: "answer".into(),
        arm: "A".into(),
        quantity: "latency".into(),
        unit: "s".into(),
        per_unit: 1e6,
        count,
        sum: count as f64,
        scale: 5,
        buckets: buckets.to_vec(),
        exemplars: vec![call],
        ..Default::default()
    };
    View { distributions: vec![one], ..View::default() }
}

#[test]
fn histograms_count_up_to_exact_bounds_and_never_fall() {
    // In microseconds: 2^20 (1.05 s) is the upper edge of bucket 639, the next one begins there.
    let shift = (1e6f64.log2() * 32.0).round() as i32;
    let (below, above) = (20 * 32 - 1 - shift, 20 * 32 - shift);
    let page = Prometheus::default();
    let render = |view: &View| {
        page.render(view, &Meter::default(), 0, Some("application/openmetrics-text")).1
    };
    let bucket = |text: &str, le: &str| {
        let start = format!(
            "armspan_call_latency_seconds_bucket{{experiment=\"bot\",arm=\"A\",site=\"answer\",le=\"{le}\"}} "
        );
        let line = text.lines().find_map(|line| line.strip_prefix(&start)).expect("a bucket");
        line.to_owned()
    };
    let text = render(&with_latency(&[(below, 3), (above, 4)], 1.5));
    assert_eq!(bucket(&text, "1.048576"), "3");
    let exemplar = format!(
        "7 # {{trace_id=\"{}\",span_id=\"{}\"}} 1.5 1764000000.123",
        "ab".repeat(16),
        "cd".repeat(8)
    );
    assert_eq!(bucket(&text, "2.097152"), exemplar);
    assert_eq!(bucket(&text, "+Inf"), "7");
    let text = render(&with_latency(&[(below, 1), (above, 5)], 0.5));
    assert_eq!(bucket(&text, "+Inf"), "7", "one was taken back");
    assert_eq!(bucket(&text, "1.048576"), "3");
    assert!(text.contains(
        "armspan_call_latency_seconds_count{experiment=\"bot\",arm=\"A\",site=\"answer\"} 7"
    ));
    let plain = page.render(&with_latency(&[(below, 1)], 0.5), &Meter::default(), 0, None).1;
    assert!(!plain.contains("{trace_id"), "the plain format has no exemplars");
}
