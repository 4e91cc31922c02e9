//! JUnit XML of the sample and of an experiment with every outcome.

use super::*;
use crate::judge::gate::{Asked, document};
use crate::model::view::ExperimentView;
use crate::sink::sample;

fn experiment() -> ExperimentView {
    sample::cut().experiments.swap_remove(0)
}

fn of(experiment: &ExperimentView, fail_on_inconclusive: bool) -> String {
    let asked = Asked { arm: None, fail_on_inconclusive };
    let mut found = document(experiment, &asked).expect("a document");
    found.as_of = Some("2026-11-24T18:00:00.25Z".to_owned());
    junit(&found)
}

/// The sample, in which B's metrics are in these states.
fn with(states: [&str; 3]) -> ExperimentView {
    let mut view = experiment();
    let verdicts = view.sites[0].arms[1].metrics.iter_mut().filter_map(|m| m.verdict.as_mut());
    for (verdict, state) in verdicts.filter(|v| v.decides).zip(states) {
        verdict.state = state.to_owned();
    }
    view
}

#[test]
fn the_sample_is_a_suite_an_arm_and_a_case_a_metric() {
    insta::assert_snapshot!(of(&experiment(), false));
}

#[test]
fn outcomes_are_told_apart() {
    let text = of(&with(["insufficient", "invalid", "inconclusive"]), false);
    for part in [
        "<skipped message=",
        "<error type=\"invalid\"",
        "tests=\"3\" failures=\"0\" errors=\"1\" skipped=\"2\"",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let strict = of(&with(["insufficient", "invalid", "inconclusive"]), true);
    assert!(strict.contains("<failure type=\"inconclusive\""), "{strict}");
}

#[test]
fn nothing_to_judge_does_not_look_well() {
    let mut none = experiment();
    none.sites.clear();
    let text = of(&none, false);
    assert!(text.contains("tests=\"1\" failures=\"0\" errors=\"1\""), "{text}");
    assert!(text.contains("<error type=\"nothing to judge\""), "{text}");
    let undeclared = ExperimentView { declared: false, ..experiment() };
    assert!(of(&undeclared, false).contains("declares no metrics"));
}

#[test]
fn names_are_no_markup() {
    let mut view = experiment();
    view.name = "a\"><b>&\u{1b}\u{0}\n]]>".to_owned();
    let text = of(&view, false);
    assert!(text.contains("name=\"armspan gate: a&quot;&gt;&lt;b&gt;&amp;   ]]&gt;\""), "{text}");
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'));
}
