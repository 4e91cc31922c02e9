//! What makes data worthless, and how it is said.

use crate::world::{Does, Knobs, USUAL, World, settings};
use armspan::model::verdict::Gate;

#[test]
fn units_that_do_not_come_as_planned_make_everything_invalid() {
    let mut world = World::new(settings(), 11);
    // It is better and breaches a guardrail; none of it can be believed.
    let b = Does { quality: 0.95, latency_ms: 2_000.0, ..USUAL };
    world.run(60, &Knobs { b, share: 0.3, ..Knobs::default() });
    let seen = world.seen();
    let ratio = seen.experiment().sample_ratio.clone().expect("tested");
    assert_eq!(ratio.state, "mismatch");
    assert!(ratio.p.expect("p") < 0.001 && ratio.log_e.expect("log e") > 6.9);
    for metric in ["answer_ok", "error_rate", "latency_p95"] {
        assert_eq!(seen.state(metric), "invalid", "{metric}");
        assert_eq!(seen.reasons(metric)[0], "sample ratio mismatch");
    }
    assert_eq!(seen.action(), "wait", "invalid never rolls back");
    assert_eq!(seen.arm("B").decision.as_ref().expect("rule").gate, Gate::Invalid);
}

#[test]
fn units_in_two_arms_make_everything_invalid() {
    let mut world = World::new(settings(), 12);
    world.run(60, &Knobs { crossing: 0.08, ..Knobs::default() });
    let seen = world.seen();
    assert!(
        seen.reasons("answer_ok").contains(&"units in two arms"),
        "{:?}",
        seen.reasons("answer_ok")
    );
}

#[test]
fn scores_that_are_missing_more_often_in_one_arm_are_said() {
    let mut world = World::new(settings(), 13);
    world.run(60, &Knobs { b: Does { judged: 0.6, ..USUAL }, ..Knobs::default() });
    let seen = world.seen();
    assert_eq!(seen.reasons("answer_ok"), ["missing scores differ by arm"]);
    assert_ne!(seen.state("error_rate"), "invalid", "what calls tell is not concerned");
}

#[test]
fn scores_that_say_how_they_were_picked_are_not_missing() {
    let mut world = World::new(settings(), 13);
    let b = Does { judged: 0.6, quality: 0.86, ..USUAL };
    world.run(90, &Knobs { b, logged: true, ..Knobs::default() });
    let seen = world.seen();
    assert_eq!(seen.state("answer_ok"), "better", "{:?}", seen.reasons("answer_ok"));
}

#[test]
fn scores_that_come_later_than_they_mature_hold_the_test() {
    let mut world = World::new(settings(), 14);
    world.run(60, &Knobs { delay: 5, ..Knobs::default() });
    let seen = world.seen();
    let reasons = seen.reasons("answer_ok");
    assert!(reasons.contains(&"test of missing scores held"), "{reasons:?}");
    assert_ne!(seen.state("answer_ok"), "invalid");
}

#[test]
fn a_new_judge_is_waited_for_and_then_believed() {
    let mut world = World::new(settings(), 15);
    let with = |judge, quality| {
        let arm = |quality| Does { judge, quality, ..USUAL };
        Knobs { a: arm(quality), b: arm(quality + 0.14), ..Knobs::default() }
    };
    world.run(90, &with("1", 0.7));
    assert_eq!(world.seen().state("answer_ok"), "better");
    // The new one is harsher; its scores are not mixed with the old one's.
    world.minute += 18;
    world.run(1, &with("2", 0.4));
    let seen = world.seen();
    assert_eq!(seen.reasons("answer_ok"), ["grader changed"]);
    assert_eq!(seen.state("answer_ok"), "invalid");
    world.minute += 5;
    world.run(90, &with("2", 0.4));
    let seen = world.seen();
    let line = seen.line("answer_ok");
    assert_eq!(line.grader.as_ref().expect("grader").version.as_deref(), Some("2"));
    assert_eq!(seen.state("answer_ok"), "better", "{:?}", line.difference);
    assert!(line.level.as_ref().expect("level").estimate < 0.6, "scores of one judge only");
}

#[test]
fn arms_that_different_judges_judged_are_not_compared() {
    let mut world = World::new(settings(), 16);
    world.run(60, &Knobs { b: Does { judge: "2", quality: 0.9, ..USUAL }, ..Knobs::default() });
    let seen = world.seen();
    assert_eq!(
        (seen.state("answer_ok"), seen.reasons("answer_ok")[0]),
        ("invalid", "graders differ by arm")
    );
}

#[test]
fn a_declared_metric_that_nobody_reports_is_invalid() {
    let mut world = World::new(settings(), 17);
    let silent = Does { judged: 0.0, ..USUAL };
    world.run(60, &Knobs { a: silent.clone(), b: silent, ..Knobs::default() });
    assert_eq!(world.seen().reasons("answer_ok")[0], "not reported");
}

#[test]
fn too_few_units_decide_nothing() {
    let mut world = World::new(settings(), 18);
    world.run(20, &Knobs { users: 60, b: Does { quality: 0.99, ..USUAL }, ..Knobs::default() });
    let seen = world.seen();
    assert_eq!(
        (seen.state("answer_ok"), seen.reasons("answer_ok")[0]),
        ("insufficient", "too few units")
    );
}

#[test]
fn calls_without_a_unit_decide_nothing_about_quality() {
    let mut world = World::new(settings(), 19);
    world.run(60, &Knobs { named: false, b: Does { quality: 0.99, ..USUAL }, ..Knobs::default() });
    let seen = world.seen();
    let reasons = seen.reasons("answer_ok");
    assert!(reasons.contains(&"unit kind not what was randomised"), "{reasons:?}");
    assert_eq!(seen.state("answer_ok"), "insufficient");
}

#[test]
fn probabilities_that_are_logged_replace_the_plan() {
    // 30 % instead of the planned 50 %, and every call says so.
    let knobs = |told: bool| {
        let say = |ppm: u32| told.then_some(ppm);
        Knobs {
            a: Does { chance: say(700_000), ..USUAL },
            b: Does { chance: Some(300_000), ..USUAL },
            share: 0.3,
            ..Knobs::default()
        }
    };
    let mut world = World::new(settings(), 20);
    world.run(60, &knobs(true));
    let seen = world.seen();
    assert_eq!(seen.experiment().sample_ratio.as_ref().expect("tested").state, "ok");
    assert_ne!(seen.state("answer_ok"), "invalid");
    // Only some say it: then nothing can be claimed, and the units of A are too many for the plan.
    let mut world = World::new(settings(), 20);
    world.run(10, &knobs(false));
    let seen = world.seen();
    let reasons = seen.reasons("error_rate");
    let said =
        ["adaptive allocation without probabilities", "sample ratio mismatch", "too few units"];
    assert!(said.contains(&reasons[0]), "{reasons:?}");
}
