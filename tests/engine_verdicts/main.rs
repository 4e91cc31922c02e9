//! Verdicts through the engine: worlds of a few thousand calls in which something is true, seen
//! through the published view. What must be found is found, and what makes data worthless is said.

mod trust;
mod world;

use armspan::engine::Engine;
use armspan::model::verdict::Gate;
use armspan::model::{Body, SECOND};
use proptest::prelude::*;
use world::{Does, Knobs, USUAL, World, settings};

#[test]
fn equal_arms_are_not_told_apart() {
    let mut world = World::new(settings(), 1);
    world.run(60, &Knobs::default());
    let seen = world.seen();
    assert_eq!(seen.experiment().sample_ratio.as_ref().expect("tested").state, "ok");
    assert_eq!(seen.state("answer_ok"), "inconclusive");
    assert!(["inconclusive", "healthy"].contains(&seen.state("error_rate")));
    assert_eq!(seen.action(), "wait");
    let told = &seen.line("answer_ok").verdict.as_ref().expect("verdict").sentence;
    assert!(told.starts_with("answer_ok in B is not decided"), "{told}");
}

#[test]
fn a_better_arm_ships_when_its_guardrails_hold() {
    let mut world = World::new(settings(), 2);
    world.run(120, &Knobs { b: Does { quality: 0.84, ..USUAL }, ..Knobs::default() });
    let seen = world.seen();
    let line = seen.line("answer_ok");
    assert_eq!(seen.state("answer_ok"), "better", "{:?}", line.difference);
    assert_eq!(seen.reasons("answer_ok"), ["interval excludes 0"]);
    let (level, difference) =
        (line.level.as_ref().expect("level"), line.difference.as_ref().expect("difference"));
    // α = 0.05, of which the first epoch has 0.8, for one treatment and one primary metric.
    assert_eq!((level.confidence, difference.confidence), (Some(0.96), Some(0.96)));
    assert!(difference.lower < Some(0.14) && difference.upper > Some(0.14));
    assert_eq!((seen.state("error_rate"), seen.state("latency_p95")), ("healthy", "healthy"));
    assert_eq!(seen.action(), "ship");
    let decision = seen.arm("B").decision.as_ref().expect("decision");
    assert_eq!(
        (decision.gate, decision.because.as_slice()),
        (Gate::Pass, &["answer_ok".to_owned()][..])
    );
    assert!(seen.arm("A").decision.is_none(), "nothing is decided of control");
}

#[test]
fn a_breach_stays_until_traffic_is_moved() {
    let mut world = World::new(settings(), 3);
    let slow = Knobs { b: Does { latency_ms: 1_200.0, ..USUAL }, ..Knobs::default() };
    world.run(60, &slow);
    let seen = world.seen();
    assert_eq!(seen.state("latency_p95"), "breached");
    assert_eq!(
        (seen.action(), seen.reasons("latency_p95")),
        ("roll back", vec!["interval above margin"])
    );
    // A new configuration of B opens an epoch: it is healthy now, and the breach still counts.
    let cured = Knobs { b: Does { revision: "r2", ..USUAL }, ..Knobs::default() };
    world.minute += 10;
    world.run(120, &cured);
    let seen = world.seen();
    assert_eq!(seen.experiment().sites[0].epoch, 2);
    let verdict = seen.line("latency_p95").verdict.as_ref().expect("verdict");
    assert_eq!(verdict.breach.as_ref().expect("still told").epoch, 1);
    assert_ne!(verdict.state, "breached");
    assert_eq!(
        (seen.action(), seen.arm("B").decision.as_ref().expect("rule").gate),
        ("roll back", Gate::Fail)
    );
    // The operator moves traffic: what was before no longer counts.
    let mut ramped = settings();
    ramped.experiments.get_mut("e").expect("e").split =
        [("A".into(), 0.6), ("B".into(), 0.4)].into();
    world.configure(&ramped);
    world.minute += 2;
    world.run(60, &Knobs { share: 0.4, ..cured });
    let seen = world.seen();
    assert!(seen.line("latency_p95").verdict.as_ref().expect("verdict").breach.is_none());
    assert_ne!(seen.action(), "roll back");
}

#[test]
fn a_ceiling_holds_whatever_control_does() {
    let mut settings = settings();
    let errors = settings.metrics.get_mut("error_rate").expect("declared");
    (errors.margin, errors.ceiling) = (None, Some(0.05));
    let mut world = World::new(settings, 4);
    let bad = Does { errors: 0.12, ..USUAL };
    world.run(40, &Knobs { a: bad.clone(), b: bad, ..Knobs::default() });
    let seen = world.seen();
    assert_eq!(seen.reasons("error_rate"), ["level above ceiling"]);
}

#[test]
fn what_nobody_declared_is_a_discovery_at_most() {
    let mut settings = settings();
    settings.experiments.get_mut("e").expect("e").family.primary.clear();
    let mut world = World::new(settings, 5);
    world.run(120, &Knobs { b: Does { quality: 0.9, ..USUAL }, ..Knobs::default() });
    let seen = world.seen();
    let line = seen.arm("B").metrics.iter().find(|line| line.name == "answer_ok").expect("line");
    let verdict = line.verdict.as_ref().expect("verdict");
    assert_eq!(
        (verdict.state.as_str(), verdict.discovery, verdict.decides),
        ("inconclusive", true, false)
    );
    assert_ne!(seen.action(), "ship");
}

#[test]
fn a_covariate_from_before_narrows_the_interval() {
    let width = |covariate: f64, told: bool| {
        let mut world = World::new(settings(), 6);
        let knobs = Knobs { covariate, users: 400, ..Knobs::default() };
        world.run(60, &knobs);
        let seen = world.seen();
        let line = seen.line("answer_ok").difference.clone().expect("difference");
        assert_eq!(line.method.ends_with("with covariate"), told, "{}", line.method);
        line.upper.expect("bound") - line.lower.expect("bound")
    };
    // Users differ by 0.6 in how often they are pleased, and the covariate says by how much.
    let with = width(0.6, true);
    assert!(with < 0.8 * spread_without(), "{with}");
}

/// The same world, its covariate not told.
fn spread_without() -> f64 {
    let mut world = World::new(settings(), 6);
    let knobs = Knobs { covariate: 0.6, users: 400, ..Knobs::default() };
    world.silent_covariate = true;
    world.run(60, &knobs);
    let line = world.seen().line("answer_ok").difference.clone().expect("difference");
    line.upper.expect("bound") - line.lower.expect("bound")
}

#[test]
fn a_drift_inside_an_arm_is_found_and_dated() {
    let mut world = World::new(settings(), 7);
    world.run(300, &Knobs::default());
    let began = world.minute;
    world.run(120, &Knobs { b: Does { quality: 0.45, ..USUAL }, ..Knobs::default() });
    let seen = world.seen();
    let changes = &seen.experiment().sites[0].changes;
    let drifts: Vec<_> = changes.iter().filter(|c| c.field == "drift.answer_ok").collect();
    assert_eq!(drifts.len(), 1, "{changes:?}");
    let start = armspan::model::MINUTE * 29_916_000 + began * armspan::model::MINUTE;
    let at: jiff::Timestamp = drifts[0].at.parse().expect("time");
    let off = (at.as_second() - (start / SECOND) as i64).abs();
    assert!(off <= 600, "dated {off} s from the change");
    assert_eq!(drifts[0].arm, "B");
}

#[test]
fn verdicts_come_back_after_a_restart() {
    let knobs =
        Knobs { b: Does { quality: 0.84, latency_ms: 1_200.0, ..USUAL }, ..Knobs::default() };
    let mut straight = World::new(settings(), 8);
    straight.run(60, &knobs);
    let mut resumed = World::new(settings(), 8);
    resumed.run(30, &knobs);
    let bytes = resumed.fold.engine.state().expect("state");
    resumed.fold.engine = Engine::restore(&bytes).expect("restored").0;
    resumed.run(30, &knobs);
    let bytes = |world: &mut World| {
        world.fold.push(0, Body::Tick);
        world.fold.engine.state().expect("state")
    };
    assert!(bytes(&mut straight) == bytes(&mut resumed), "state differs after a restart");
    let seen = resumed.seen();
    assert_eq!(seen.state("latency_p95"), "breached");
    assert!(seen.line("latency_p95").verdict.as_ref().expect("verdict").since.is_some());
}

/// Knobs at and beyond what is sensible.
fn knobs() -> impl Strategy<Value = Knobs> {
    let does = || {
        let shares = prop_oneof![Just(0.0), Just(1.0), 0.0..1.0f64];
        (shares.clone(), shares.clone(), shares, prop_oneof![Just(0.0), 1.0..1e7f64]).prop_map(
            |(quality, errors, judged, latency_ms)| Does {
                quality,
                errors,
                judged,
                latency_ms,
                ..USUAL
            },
        )
    };
    (does(), does(), 0.0..1.0f64, 1u64..300, 1u64..40, any::<bool>()).prop_map(
        |(a, b, share, users, calls_per_minute, named)| Knobs {
            a,
            b,
            share,
            users,
            calls_per_minute,
            named,
            ..Knobs::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_world_gives_ordered_bounds_and_no_claim_without_data(
        knobs in knobs(), minutes in 0u64..12, seed in any::<u64>(),
    ) {
        let mut world = World::new(settings(), seed);
        world.run(minutes, &knobs);
        let view = world.seen().0;
        let text = serde_json::to_string(&(&view.runs, &view.experiments)).expect("json");
        prop_assert!(!text.contains("null"), "NaN or infinity");
        for arm in view.experiments.iter().flat_map(|e| &e.sites).flat_map(|s| &s.arms) {
            for line in &arm.metrics {
                if let Some(level) = &line.level {
                    prop_assert!(level.lower.is_none_or(|low| low <= level.estimate), "{line:?}");
                    prop_assert!(level.upper.is_none_or(|high| level.estimate <= high), "{line:?}");
                }
                if let Some(found) = &line.difference {
                    prop_assert!(found.lower.is_none_or(|low| low <= found.estimate), "{line:?}");
                    prop_assert!(found.upper.is_none_or(|high| found.estimate <= high), "{line:?}");
                }
                let claims = ["better", "regressed", "healthy", "breached"];
                if arm.units < 100 && knobs.named {
                    let verdict = line.verdict.as_ref().map_or("", |verdict| verdict.state.as_str());
                    prop_assert!(!claims.contains(&verdict), "{line:?}");
                }
            }
        }
    }
}

#[test]
fn rare_events_of_uneven_traffic_are_told_by_first_events() {
    let mut settings = settings();
    settings.experiments.get_mut("e").expect("e").split =
        [("A".into(), 0.9), ("B".into(), 0.1)].into();
    let run = |errors: f64| {
        let mut world = World::new(settings.clone(), 9);
        let a = Does { errors: 0.01, ..USUAL };
        let b = Does { errors, ..a.clone() };
        world.run(60, &Knobs { a, b, share: 0.1, users: 8_000, ..Knobs::default() });
        world.seen()
    };
    let (same, worse) = (run(0.01), run(0.1));
    for seen in [&same, &worse] {
        let method = &seen.line("error_rate").difference.as_ref().expect("difference").method;
        assert_eq!(method, "conditional-binomial");
    }
    assert_eq!(same.state("error_rate"), "healthy", "within its margin of 5 points");
    assert_eq!(worse.state("error_rate"), "regressed");
}
