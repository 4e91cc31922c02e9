//! The short version of `tests/examples/false_alarms`: a few kinds of streams through the engine
//! with fixed seeds. Counts are held against exact binomial bounds.

#[path = "examples/false_alarms/feed.rs"]
mod feed;
#[path = "examples/false_alarms/kinds.rs"]
mod kinds;
#[path = "examples/false_alarms/peers.rs"]
mod peers;
#[path = "examples/false_alarms/random.rs"]
mod random;
#[path = "examples/false_alarms/spread.rs"]
mod spread;
#[path = "examples/false_alarms/streams.rs"]
mod streams;
#[allow(dead_code)]
#[path = "examples/false_alarms/table.rs"]
mod table;

use feed::{Outcome, Size};
use spread::spread;
use streams::{Kind, Shape, Visits};

const SEED: u64 = 7;
const SIZE: Size = Size { calls: 2_400, looks: 48 };
const LONGER: Size = Size { calls: 4_800, looks: 48 };
/// A count above its bound has a chance of less than this.
const SURE: f64 = 0.001;

fn kind(name: &str) -> Kind {
    kinds::all().into_iter().find(|kind| kind.name == name).expect(name)
}

fn outcomes(kind: Kind, size: Size, streams: usize) -> Vec<Outcome> {
    spread(2, streams, |number| feed::run(kind, size, SEED, number as u64))
}

fn claimed(outcomes: &[Outcome]) -> usize {
    outcomes.iter().filter(|one| one.claimed.is_some()).count()
}

fn assert_at_most_alpha(kind: Kind, size: Size, streams: usize) {
    let found = claimed(&outcomes(kind, size, streams));
    let bound = table::most(streams, 0.05, SURE);
    assert!(found <= bound, "{}: {found} of {streams} false, at most {bound}", kind.name);
}

#[test]
fn two_arms_alike_are_rarely_told_apart() {
    assert_at_most_alpha(kind("pass/fail .5, 50/50"), SIZE, 30);
}

#[test]
fn calls_of_one_user_are_no_independent_evidence() {
    let kind = Kind { visits: Visits::Sessions(0.9), ..kind("sessions, ICC 0.5") };
    let found = outcomes(kind, SIZE, 40);
    let bound = table::most(40, 0.05, SURE);
    assert!(claimed(&found) <= bound, "{} of 40 false", claimed(&found));
    let per_call = found.iter().filter(|one| one.peers[3].is_some()).count();
    assert!(per_call > bound, "the streams are hard: {per_call} of 40 by calls");
}

#[test]
fn rare_events_in_a_small_arm_are_no_evidence() {
    assert_at_most_alpha(kind("errors 1 %, 90/10"), SIZE, 60);
}

#[test]
fn a_ramp_spends_alpha_once() {
    // Events are compared at the shares under which their units came, in every epoch.
    let ramp = kind("ramp 10→50 %, errors 1 %");
    assert_at_most_alpha(Kind { shape: Shape::Coin(0.04), ..ramp }, LONGER, 10);
}

#[test]
fn a_slow_judge_under_a_ramp_is_no_mismatch() {
    assert_at_most_alpha(kind("ramp 1→50 %, judge 20 min late: invalid"), LONGER, 10);
}

#[test]
fn differences_are_found() {
    for (name, effect) in [
        ("pass/fail .5 +0.03", 0.2),
        ("sessions, ICC 0.2, −0.02", -0.12),
        ("errors 1 → 1.6 %, 50/50", 0.06),
    ] {
        let found = claimed(&outcomes(Kind { effect, ..kind(name) }, SIZE, 8));
        assert!(found >= 7, "{name}: found in {found} of 8 streams");
    }
}
