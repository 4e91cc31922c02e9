//! Comparisons of runs made by hand: what is said of them, and the figures of each metric.

use super::*;
use crate::judge::attribution::{EffectKind, Label};
use crate::model::metric::Domain;
use crate::model::record::Spread;
use serde_json::{Value, json};

/// What a claim costs in these runs, and the variance of a level.
const ALPHA: f64 = 0.05;
const VARIANCE: f64 = 1e-5;

/// A run with a score that decides and a quantile.
pub(crate) fn run(id: &str, arm: &str, model: &str, prompt: &str, level: f64) -> RunRecord {
    let mut json = record(id, arm, 0.2);
    json["config"] = json!({
        "model": {"requested": "m", "revision": model},
        "prompt": {"version": prompt},
    });
    json["traffic"]["calls"] = json!(4000);
    json["traffic"]["units"] = json!(1000);
    json["metrics"] = json!([
        {"name": "answer_ok", "role": "quality", "direction": "increase", "unit": "1",
         "definition": "sha256:00", "grader": {"name": "judge"}, "calls": 4000, "scored": 4000,
         "level": {"estimate": level, "method": "bucketed-asymptotic"},
         "verdict": {"state": "inconclusive", "reasons": [], "decides": true}},
        {"name": "latency_p95", "role": "guardrail", "direction": "decrease", "unit": "s",
         "definition": "sha256:00", "calls": 4000,
         "level": {"estimate": 1.0 + level, "lower": 0.9 + level, "upper": 1.3 + level,
                   "confidence": 0.98, "method": "histogram-ranks"}},
    ]);
    let mut record: RunRecord = serde_json::from_value(json).expect("record");
    record.metrics[0].spread = Some(Spread {
        variance: VARIANCE,
        clusters: 600,
        huge: 0.01,
        n: 4000,
        n_eff: 4000.0,
        domain: Domain::Bounded(0.0, 1.0),
        units: 1000.0,
        alpha: ALPHA,
        tau: Some(0.03),
    });
    record
}

pub(crate) fn view_of(runs: &[RunRecord]) -> View {
    View { runs: runs.to_vec(), ..View::default() }
}

/// The corners of model × prompt: old/3, new/4, new/3, old/4.
pub(crate) fn square() -> [RunRecord; 4] {
    [
        run("aa", "A", "old", "3", 0.70),
        run("bb", "B", "new", "4", 0.80),
        run("cc", "C", "new", "3", 0.74),
        run("dd", "D", "old", "4", 0.72),
    ]
}

fn of(runs: &[RunRecord]) -> Comparison {
    compare(&view_of(runs), &runs[0], &runs[1])
}

fn metric<'a>(found: &'a Comparison, name: &str) -> &'a MetricContrast {
    found.metrics.iter().find(|metric| metric.name == name).expect(name)
}

fn near(found: Option<f64>, wanted: f64) -> bool {
    found.is_some_and(|found| (found - wanted).abs() < 1e-9)
}

#[test]
fn one_field_between_randomised_arms_is_identified() {
    let found = of(&[run("aa", "A", "m", "3", 0.70), run("bb", "B", "m", "4", 0.80)]);
    assert_eq!((found.attribution.label, found.concurrent), (Label::Identified, true));
    assert_eq!(found.attribution.fields, ["prompt"]);
    assert!(found.attribution.sentence.starts_with("Any difference is due to prompt 3 → 4;"));
    let score = metric(&found, "answer_ok");
    let [effect] = score.effects.as_slice() else { panic!("{:?}", score.effects) };
    assert_eq!((effect.kind, effect.text.as_str()), (EffectKind::Field, "prompt 3 → 4"));
    assert_eq!((effect.estimate, effect.lower), (score.difference, score.lower));
    assert!(metric(&found, "latency_p95").effects.is_empty(), "it does not decide");
}

#[test]
fn a_difference_has_the_interval_of_the_two_levels_together() {
    let found = of(&square());
    let score = metric(&found, "answer_ok");
    assert!(near(score.difference, 0.1) && near(score.confidence, 0.95));
    assert_eq!(score.method.as_deref(), Some("bucketed-asymptotic"));
    // The radius of statistics.md §1 at V = 2e-5 and τ = 0.03, computed by hand.
    let (v, t2): (f64, f64) = (2.0 * VARIANCE, 0.03 * 0.03);
    let radius = (v * (1.0 + v / t2) * ((1.0 + t2 / v) / (ALPHA * ALPHA)).ln()).sqrt();
    assert!(near(score.lower, 0.1 - radius) && near(score.upper, 0.1 + radius));
    assert!(score.log_e > Some(100.0), "{:?}", score.log_e);
    let slow = metric(&found, "latency_p95");
    assert!(near(slow.lower, 1.7 - 2.0) && near(slow.upper, 2.1 - 1.6), "{slow:?}");
    assert!(near(slow.confidence, 0.96) && slow.log_e.is_none(), "the errors add up");
}

#[test]
fn the_stricter_alpha_counts() {
    let [a, mut b, ..] = square();
    let wide = of(&[a.clone(), b.clone()]);
    b.metrics[0].spread.as_mut().expect("spread").alpha = 0.001;
    let found = of(&[a, b]);
    assert!(near(metric(&found, "answer_ok").confidence, 0.999));
    assert!(metric(&found, "answer_ok").lower < metric(&wide, "answer_ok").lower);
}

#[test]
fn the_other_way_round_signs_flip() {
    let [a, b, ..] = square();
    let view = view_of(&[a.clone(), b.clone()]);
    let (there, back) = (compare(&view, &a, &b), compare(&view, &b, &a));
    let turned = |value: Option<f64>| value.map(|value| -value);
    for (x, y) in there.metrics.iter().zip(&back.metrics) {
        assert!(near(x.difference, -y.difference.expect("difference")), "{}", x.name);
        assert!(near(x.lower, turned(y.upper).expect("bound")), "{}", x.name);
        assert!(near(x.upper, turned(y.lower).expect("bound")), "{}", x.name);
        assert_eq!(x.confidence, y.confidence);
    }
    assert_eq!(there.differing[0].a, back.differing[0].b);
    assert_eq!(there.attribution.fields, back.attribution.fields);
}

#[test]
fn a_run_does_not_differ_from_itself() {
    let mut one = run("aa", "A", "m", "3", 0.70);
    one.observed = vec![];
    let found = of(&[one.clone(), one]);
    assert_eq!(found.attribution.label, Label::Same);
    assert!(found.differing.is_empty() && found.missing.is_empty() && !found.equal.is_empty());
    for metric in &found.metrics {
        assert_eq!((metric.difference, metric.lower, metric.log_e), (Some(0.0), None, None));
        assert!(metric.effects.is_empty() && metric.method.is_none());
    }
}

#[test]
fn runs_that_were_not_served_side_by_side_are_temporal() {
    let [a, b, c, d] = square();
    let mut later = run("b2", "B", "new", "4", 0.8);
    later.window.first_seen = "2026-11-24T09:00:00Z".into();
    later.window.last_seen = "2026-11-24T10:00:00Z".into();
    later.window.epoch = 2;
    let found = of(&[a.clone(), later.clone(), c.clone(), d.clone()]);
    assert_eq!((found.attribution.label, found.concurrent), (Label::Temporal, false));
    assert!(found.attribution.sentence.starts_with("The runs did not overlap in time"));
    assert!(
        metric(&found, "answer_ok").effects.is_empty() && found.attribution.missing_arm.is_none()
    );
    assert!(metric(&found, "answer_ok").lower.is_some(), "the difference is told all the same");
    let found = of(&[b.clone(), later]);
    assert!(found.attribution.reasons[1].contains("same arm"), "{:?}", found.attribution.reasons);
    let mut loose = b.clone();
    loose.traffic.unit = "trace".into();
    assert_eq!(of(&[a.clone(), loose]).attribution.label, Label::Temporal);
    let mut skewed = b.clone();
    let ratio = json!({"state": "mismatch", "units": {}});
    skewed.sample_ratio = Some(serde_json::from_value(ratio).expect("ratio"));
    assert_eq!(of(&[a.clone(), skewed]).attribution.label, Label::Temporal);
    let mut elsewhere = b;
    elsewhere.run.site = "summary".into();
    let found = of(&[a, elsewhere]);
    assert_eq!((found.attribution.label, found.concurrent), (Label::Temporal, true));
}

#[test]
fn a_part_of_an_arm_was_not_assigned_at_random() {
    let [a, b, ..] = square();
    let mut other = run("b3", "B", "new", "5", 0.8);
    other.traffic.calls = 1000;
    let found = of(&[a.clone(), b.clone(), other.clone()]);
    let reason = "traffic was not assigned to them at random";
    assert_eq!(found.attribution.reasons, [reason]);
    other.traffic.calls = 100;
    assert_eq!(of(&[a, b, other]).attribution.label, Label::Confounded);
}

#[test]
fn the_corners_of_a_square_give_conditional_effects() {
    use EffectKind::{Conditional, Interaction, Total};
    let found = of(&square());
    assert_eq!(found.attribution.label, Label::Confounded);
    let effects = &metric(&found, "answer_ok").effects;
    let told: Vec<(EffectKind, &str)> = effects.iter().map(|e| (e.kind, e.text.as_str())).collect();
    let wanted = [
        (Total, "model old → new, prompt 3 → 4"),
        (Interaction, "interaction of model and prompt"),
        (Conditional, "model old → new at prompt=3"),
        (Conditional, "model old → new at prompt=4"),
        (Conditional, "prompt 3 → 4 at model=old"),
        (Conditional, "prompt 3 → 4 at model=new"),
    ];
    assert_eq!(told, wanted);
    for (effect, wanted) in effects.iter().zip([0.10, 0.04, 0.04, 0.08, 0.02, 0.06]) {
        assert!(near(effect.estimate, wanted), "{effect:?}");
    }
    let width = |at: usize| effects[at].upper.expect("bound") - effects[at].lower.expect("bound");
    assert!(width(1) > 1.3 * width(2), "four arms against two");
    assert!(width(2) > 1.05 * width(0), "the family shares the error probability");
    let bounds = &metric(&found, "answer_ok").bounds;
    assert!(bounds.len() == 2 && (bounds[0].low - 0.04).abs() < 1e-9, "{bounds:?}");
}

#[test]
fn a_negligible_interaction_gives_main_effects() {
    let mut runs = square();
    runs[1].metrics[0].level.as_mut().expect("level").estimate = 0.76;
    for run in &mut runs {
        run.metrics[0].spread.as_mut().expect("spread").variance = 1e-6;
    }
    let found = of(&runs);
    let effects = &metric(&found, "answer_ok").effects;
    let kinds: Vec<EffectKind> = effects.iter().map(|effect| effect.kind).collect();
    let wanted = [EffectKind::Total, EffectKind::Interaction, EffectKind::Main, EffectKind::Main];
    assert_eq!(kinds, wanted);
    assert!(near(effects[2].estimate, 0.04) && near(effects[3].estimate, 0.02), "{effects:?}");
}

#[test]
fn the_cheapest_missing_arm_is_named() {
    let [a, b, mut c, _] = square();
    let found = of(&[a.clone(), b.clone()]);
    let arm = found.attribution.missing_arm.expect("an arm");
    assert_eq!(arm.text, "run model=new with prompt=3");
    let found = of(&[a.clone(), b.clone(), c.clone()]);
    assert_eq!(found.attribution.missing_arm, None, "a path is enough");
    assert_eq!(metric(&found, "answer_ok").effects.len(), 3);
    c.window.epoch = 2;
    assert!(of(&[a, b, c]).attribution.missing_arm.is_some(), "another epoch does not serve");
}

#[test]
fn what_changed_inside_the_window_is_a_field_of_its_own() {
    let pair = || [run("aa", "A", "m", "3", 0.7), run("bb", "B", "m", "4", 0.8)];
    let value = |text: &str| {
        json!({"value": text, "calls": 9, "first_seen": "2026-11-23T09:00:00Z",
               "last_seen": "2026-11-23T10:00:00Z"})
    };
    let field = |name: &str, values: &[&str]| {
        let values: Vec<Json> = values.iter().map(|text| value(text)).collect();
        serde_json::from_value(json!({"field": name, "values": values, "more": 0})).expect("field")
    };
    let change = |arm: &str, at: &str, field: &str| {
        serde_json::from_value(json!({"at": at, "arm": arm, "field": field})).expect("change")
    };
    let label = |change: &dyn Fn(&mut RunRecord)| {
        let [a, mut b] = pair();
        change(&mut b);
        of(&[a, b]).attribution.label
    };
    let (within, before) = ("2026-11-23T09:30:00Z", "2026-11-23T09:00:00Z");
    let one = |b: &mut RunRecord| b.observed = vec![field("system_fingerprint", &["x"])];
    let two = |b: &mut RunRecord| b.observed = vec![field("system_fingerprint", &["x", "y"])];
    assert_eq!((label(&one), label(&two)), (Label::Identified, Label::Confounded));
    for (arm, at, path, wanted) in [
        ("B", within, "code.version", Label::Confounded),
        ("A", within, "code.version", Label::Identified),
        ("B", before, "code.version", Label::Identified),
        ("B", within, "drift.answer_ok", Label::Identified),
    ] {
        let found = label(&|b: &mut RunRecord| {
            b.observed = vec![field("code", &["x"])];
            b.changes = vec![change(arm, at, path)];
        });
        assert_eq!(found, wanted, "{arm} {at} {path}");
    }
}

#[test]
fn too_little_data_gives_a_difference_without_interval() {
    let [a, mut b, ..] = square();
    b.metrics[0].spread.as_mut().expect("spread").units = 60.0;
    b.traffic.units = 60;
    let found = of(&[a, b]);
    for metric in &found.metrics {
        assert!(near(metric.difference, 0.1) && metric.lower.is_none() && metric.log_e.is_none());
        assert_eq!(metric.unmet, ["too few units"], "{}", metric.name);
        assert_eq!(metric.confidence, None);
    }
    let effect = &metric(&found, "answer_ok").effects[0];
    assert!(near(effect.estimate, 0.1) && effect.lower.is_none());
}

#[test]
fn graders_are_kept_apart() {
    let [a, mut b, ..] = square();
    b.metrics[0].grader.as_mut().expect("grader").name = Some("people".into());
    let found = of(&[a, b]);
    let scores: Vec<_> = found.metrics.iter().filter(|m| m.name == "answer_ok").collect();
    assert_eq!((scores[0].a, scores[0].b, scores[0].difference), (Some(0.7), None, None));
    assert_eq!((scores[1].a, scores[1].b, scores[1].difference), (None, Some(0.8), None));
}

#[test]
fn the_records_compared_were_served_side_by_side() {
    let [a, b, ..] = square();
    let in_epoch = |run: &RunRecord, epoch: u32, calls: i64| {
        let mut run = run.clone();
        (run.window.epoch, run.traffic.calls) = (epoch, calls);
        run
    };
    let later = run("b2", "B", "new", "5", 0.8);
    let view = view_of(&[
        in_epoch(&a, 2, 500),
        in_epoch(&b, 2, 5),
        in_epoch(&later, 2, 500),
        in_epoch(&a, 1, 4000),
        in_epoch(&b, 1, 4000),
        in_epoch(&later, 1, 3),
    ]);
    let epochs = |x: &RunRecord, y: &RunRecord| {
        let newest = |run: &RunRecord| {
            let all = view.runs.iter().filter(|r| r.run.id == run.run.id);
            all.max_by_key(|r| r.window.epoch).expect("run")
        };
        let (x, y) = side_by_side(&view, newest(x), newest(y));
        (x.window.epoch, y.window.epoch)
    };
    assert_eq!(epochs(&a, &later), (2, 2));
    assert_eq!(epochs(&a, &b), (1, 1), "stragglers of b in epoch 2 are no arm");
    assert_eq!(epochs(&b, &later), (1, 2), "one after the other");
}

/// A record of a run.
pub fn record(id: &str, arm: &str, temperature: f64) -> Value {
    json!({
        "schema": "armspan/run-record/v1",
        "run": {"id": id, "experiment": "bot", "arm": arm, "control": arm == "A", "site": "answer",
                "mode": "online", "fingerprint": "sha256:00"},
        "config": {"model": {"requested": "m"}, "sampling": {"temperature": temperature}},
        "observed": [{"field": "seed", "values": [{"value": 7, "calls": 3, "first_seen": "2026-11-23T09:00:00Z",
                      "last_seen": "2026-11-23T10:00:00Z"}], "more": 0}],
        "evidence": {"grade": "B", "calls": 3, "facets": []},
        "window": {"first_seen": "2026-11-23T09:00:00Z", "last_seen": "2026-11-23T10:00:00Z", "epoch": 1},
        "traffic": {"calls": 3, "units": 2, "unit": "user.id", "duplicates": 0, "late": 0, "crossover_units": 0},
        "metrics": [{"name": "error_rate", "role": "guardrail", "direction": "decrease", "unit": "1",
                     "definition": "sha256:00", "calls": 3, "level": {"estimate": temperature, "method": "ratio"}}],
        "changes": [], "links": [],
        "collector": {"version": "0.1.0", "config": "sha256:00", "position": {"0": 5}}
    })
}
