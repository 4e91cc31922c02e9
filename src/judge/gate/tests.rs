//! The gate of experiments made by hand: every state, roles, latches, arms that are not there.

use super::*;
use serde_json::{Value as Json, json};

/// A metric of an arm with a verdict that decides.
fn line(name: &str, role: &str, state: &str) -> Json {
    json!({"name": name, "role": role, "direction": "decrease", "unit": "1", "calls": 9,
        "definition": "sha256:00",
        "difference": {"from": "A", "estimate": 0.03, "lower": 0.01, "upper": 0.05,
                       "confidence": 0.96, "method": "m"},
        "verdict": {"state": state, "reasons": ["interval excludes 0"], "decides": true,
                    "sentence": format!("{name} is {state}.")}})
}

fn arm(name: &str, metrics: &[Json], gate: &str) -> Json {
    let control = name == "A";
    let mut arm = json!({"arm": name, "control": control, "calls": 9, "units": 5,
        "runs": [format!("{name}1"), format!("{name}2")], "evidence": "A", "metrics": metrics});
    if !control {
        arm["decision"] = json!({"action": "wait", "because": [], "gate": gate});
    }
    arm
}

fn site(name: &str, decides: bool, arms: &[Json]) -> Json {
    json!({"site": name, "epoch": 2, "calls": 9, "decides": decides, "arms": arms,
        "all_epochs": arms, "changes": []})
}

fn experiment(sites: &[Json]) -> ExperimentView {
    serde_json::from_value(json!({
        "schema": "armspan/experiment/v1", "name": "bot", "configured": true, "declared": true,
        "control": "A", "control_assumed": false, "state": "live", "unit": "user.id", "calls": 9,
        "arms": ["A", "B", "C"], "crossover_units": 0, "conflicting_traces": 0, "sites": sites,
    }))
    .expect("an experiment")
}

/// B with these metrics at the one site.
fn with(metrics: &[Json]) -> ExperimentView {
    let arms = [arm("A", &[], ""), arm("B", metrics, "pass")];
    ExperimentView {
        arms: vec!["A".into(), "B".into()],
        ..experiment(&[site("answer", true, &arms)])
    }
}

fn asked(view: &ExperimentView) -> GateDocument {
    document(view, &Asked::default()).expect("a document")
}

#[test]
fn every_state_has_the_exit_of_the_table() {
    for (role, state, exit, told) in [
        ("quality", "better", 0, ""),
        ("guardrail", "healthy", 0, ""),
        ("quality", "inconclusive", 0, "m is inconclusive."),
        ("quality", "regressed", 10, "m is regressed."),
        ("guardrail", "regressed", 0, ""),
        ("guardrail", "breached", 10, "m is breached."),
        ("quality", "invalid", 12, "m is invalid."),
        ("quality", "insufficient", 12, "m is insufficient."),
        ("quality", "of_a_later_version", 12, "m is of_a_later_version."),
    ] {
        let found = asked(&with(&[line("m", role, state)]));
        let reasons = found.reasons.first().map_or("", String::as_str);
        assert_eq!((found.exit_code, reasons), (exit, told), "{role} {state}");
        assert_eq!(found.warnings.len(), usize::from(role == "guardrail" && state == "regressed"));
        assert_eq!(found.is_open(), !matches!(found.result, Gate::Pass | Gate::Fail));
    }
    let open = with(&[line("m", "quality", "inconclusive")]);
    let strict = Asked { fail_on_inconclusive: true, ..Asked::default() };
    let found = document(&open, &strict).expect("a document");
    assert_eq!((found.exit_code, found.result), (11, Gate::Inconclusive));
}

#[test]
fn the_worst_decides_and_is_named() {
    let metrics = ["insufficient", "inconclusive", "breached", "healthy"];
    let metrics = metrics.map(|state| line(state, "guardrail", state));
    let found = asked(&with(&metrics));
    assert_eq!((found.exit_code, found.sentence.as_str()), (10, "bot fails: breached in B."));
    assert_eq!(found.reasons, ["breached is breached."]);
    let rows: Vec<&str> = found.rows().map(|row| row.2.name.as_str()).collect();
    assert_eq!(rows, ["insufficient", "inconclusive", "breached", "healthy"]);
    let site = &found.arms[0].sites[0];
    assert_eq!((site.runs[0].as_str(), site.epoch), ("B1", 2));
    let metric = &site.metrics[2];
    assert_eq!((metric.lower, metric.confidence), (Some(0.01), Some(0.96)));
    let many: Vec<Json> =
        (0..6).map(|n| line(&format!("m{n}"), "quality", "inconclusive")).collect();
    let told = asked(&with(&many)).sentence;
    assert_eq!(told, "bot is not decided yet: m0 in B, m1 in B, m2 in B, m3 in B and 2 more.");
}

#[test]
fn a_breach_of_an_earlier_epoch_still_fails() {
    let mut healthy = line("m", "guardrail", "healthy");
    healthy["verdict"]["breach"] = json!({"epoch": 1, "at": "2026-11-24T07:59:00Z",
        "reason": "interval above margin", "estimate": 0.1});
    let found = asked(&with(&[healthy]));
    assert_eq!(found.exit_code, 10);
    let told = &found.reasons[0];
    assert!(told.starts_with("m in B was breached in epoch 1 (2026-11-24 07:59)"), "{told}");
    assert!(told.ends_with("concluded. m is healthy."), "{told}");
}

#[test]
fn what_does_not_decide_is_not_judged() {
    let mut explored = line("x", "quality", "regressed");
    explored["verdict"]["decides"] = json!(false);
    let arms = [arm("A", &[], ""), arm("B", &[line("m", "quality", "better"), explored], "pass")];
    let bad = [arm("A", &[], ""), arm("B", &[line("m", "quality", "regressed")], "pass")];
    let sites = [site("answer", true, &arms), site("plan", false, &bad)];
    let view = ExperimentView { arms: vec!["A".into(), "B".into()], ..experiment(&sites) };
    let found = asked(&view);
    assert_eq!((found.exit_code, found.rows().count()), (0, 1));
    assert_eq!(found.sites_not_judged, ["plan"]);
    let assumed = asked(&ExperimentView { control_assumed: true, ..view });
    assert_eq!(assumed.warnings, ["A was taken for the control; name it in the config."]);
}

#[test]
fn nothing_to_judge_is_no_pass() {
    let told = |view: &ExperimentView| {
        let found = asked(view);
        assert_eq!((found.result, found.exit_code), (Gate::Invalid, 12));
        found.reasons[0].clone()
    };
    let good = [line("m", "quality", "better")];
    let undeclared = ExperimentView { declared: false, ..with(&good) };
    assert!(told(&undeclared).starts_with("Nothing to judge: bot declares no metrics"));
    assert!(told(&with(&[])).starts_with("Nothing to judge"));
    let no_control = ExperimentView { control: None, ..with(&good) };
    assert!(told(&no_control).contains("no control"));
    let gone = ExperimentView { control: Some("Z".into()), ..with(&good) };
    assert_eq!(told(&gone), "The control Z has no calls at answer in this epoch.");
    assert!(told(&experiment(&[])).contains("no call site of bot that decides has calls"));
    let alone = ExperimentView { arms: vec!["A".into()], ..experiment(&[]) };
    assert!(told(&alone).contains("no arm but its control"));
}

#[test]
fn an_arm_that_is_over_fails_nobody_and_a_planned_one_that_is_missing_does() {
    let good = [line("m", "quality", "better")];
    let now = [arm("A", &[], ""), arm("B", &good, "pass")];
    let mut one = site("answer", true, &now);
    one["all_epochs"] =
        json!([arm("A", &[], ""), arm("B", &good, "pass"), arm("C", &good, "pass")]);
    let mut view = experiment(&[one]);
    let found = asked(&view);
    assert_eq!((found.exit_code, found.arms.len()), (0, 1));
    assert_eq!(found.warnings, ["C has no calls in this epoch and is not judged."]);
    let named = document(&view, &Asked { arm: Some("C"), ..Asked::default() }).expect("there");
    assert_eq!(named.exit_code, 12);
    assert_eq!(
        named.sentence,
        "C of bot cannot be judged: C has no calls at answer in this epoch."
    );
    view.sample_ratio = serde_json::from_value(
        json!({"state": "ok", "expected": {"A": 0.4, "B": 0.3, "C": 0.3}, "units": {}}),
    )
    .expect("a ratio");
    assert_eq!(asked(&view).exit_code, 12);
}

#[test]
fn arms_are_named_when_one_is_not_there() {
    let view = experiment(&[]);
    let error = |arm| document(&view, &Asked { arm: Some(arm), ..Asked::default() });
    let told = error("D").expect_err("not there").to_string();
    assert_eq!(told, "there is no arm \"D\" in bot; its arms are A, B, C");
    let told = error("A").expect_err("control").to_string();
    assert!(told.starts_with("A is the control of bot") && told.ends_with("one of B, C"), "{told}");
}
