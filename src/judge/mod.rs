//! Verdicts from estimates: the table of `design.md`, gates and rules over a family, and what a
//! difference can be attributed to. Pure: everything it looks at is in its arguments.

pub mod attribution;
pub mod family;
pub mod gate;
pub mod sentence;
pub mod trust;

use crate::model::metric::{Direction, Role};
use crate::model::verdict::{Action, Gate, Reason, State};
use crate::stats::Interval;
use family::Part;

/// All that a verdict on one metric of one arm rests on.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Case {
    /// What the metric decides.
    pub role: Role,
    /// Which way is better.
    pub direction: Direction,
    /// The part of the family that it is in; none is exploratory.
    pub part: Option<Part>,
    /// Why the data cannot be trusted.
    pub invalid: Vec<Reason>,
    /// Gates that are not met.
    pub unmet: Vec<Reason>,
    /// Arm minus control, in the metric's unit.
    pub difference: Option<Interval>,
    /// The harm minus the margin; positive is beyond it. None without a margin.
    pub excess: Option<Interval>,
    /// The level minus the ceiling. None without one.
    pub over_ceiling: Option<Interval>,
    /// It was breached before, in this epoch.
    pub latched: bool,
    /// Traffic moves without logged probabilities: nothing can be claimed.
    pub adaptive: bool,
}

/// A verdict and why.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ruling {
    /// What can be said.
    pub state: State,
    /// Why, the deciding reason first.
    pub reasons: Vec<Reason>,
}

/// What to do with an arm, and because of which metrics (by their place).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rule {
    /// What to do.
    pub action: Action,
    /// Places of the metrics that say so.
    pub because: Vec<usize>,
}

// === impl Case ===

impl Case {
    /// The interval of the harm: positive is worse than control. None when no direction is known.
    pub fn harm(&self) -> Option<Interval> {
        let difference = self.difference?;
        match self.direction {
            Direction::Decrease => Some(difference),
            Direction::Increase => Some(difference.scaled(-1.0)),
            Direction::Unknown => None,
        }
    }
}

/// The state of a metric: the first row of the table in `design.md` that holds.
pub fn judge(case: &Case) -> Ruling {
    if !case.invalid.is_empty() {
        return ruling(State::Invalid, case.invalid.clone());
    }
    if case.part.is_none() {
        return exploratory(case);
    }
    if case.latched {
        return ruling(State::Breached, breach(case).unwrap_or_else(|| vec![Reason::Latched]));
    }
    if !case.unmet.is_empty() {
        return ruling(State::Insufficient, case.unmet.clone());
    }
    if case.adaptive {
        return ruling(State::Inconclusive, vec![Reason::AdaptiveAllocation]);
    }
    if let Some(reasons) = breach(case) {
        return ruling(State::Breached, reasons);
    }
    compared(case)
}

/// What is in no family is never more than a discovery.
fn exploratory(case: &Case) -> Ruling {
    let mut reasons = vec![Reason::Exploratory];
    reasons.extend(&case.unmet);
    ruling(State::Inconclusive, reasons)
}

/// Why a guardrail is breached, if it is.
fn breach(case: &Case) -> Option<Vec<Reason>> {
    let guards = case.role == Role::Guardrail;
    let above = |found: Option<Interval>| guards && found.is_some_and(|i| i.lower > 0.0);
    let mut reasons = Vec::new();
    if above(case.excess) {
        reasons.push(Reason::AboveMargin);
    }
    if above(case.over_ceiling) {
        reasons.push(Reason::AboveCeiling);
    }
    (!reasons.is_empty()).then_some(reasons)
}

/// The rows that compare with control.
fn compared(case: &Case) -> Ruling {
    let Some(harm) = case.harm() else {
        let known = case.difference.is_some();
        let reason = if known { Reason::NoDirection } else { Reason::NoControl };
        return ruling(State::Inconclusive, vec![reason]);
    };
    let within = case.excess.is_some_and(|excess| excess.upper < 0.0);
    if harm.lower > 0.0 {
        let mut reasons = vec![Reason::ExcludesZero];
        reasons.extend(within.then_some(Reason::WithinMargin));
        return ruling(State::Regressed, reasons);
    }
    match case.role {
        Role::Guardrail if within => ruling(State::Healthy, vec![Reason::WithinMargin]),
        Role::Quality if harm.upper < 0.0 => ruling(State::Better, vec![Reason::ExcludesZero]),
        Role::Guardrail if case.excess.is_some() => {
            ruling(State::Inconclusive, vec![Reason::IncludesMargin])
        }
        _ if harm.upper < 0.0 => ruling(State::Inconclusive, vec![Reason::ExcludesZero]),
        _ => ruling(State::Inconclusive, vec![Reason::IncludesZero]),
    }
}

fn ruling(state: State, reasons: Vec<Reason>) -> Ruling {
    Ruling { state, reasons }
}

/// What one metric of a family means for a gate. A guardrail that is worse than control but was
/// not shown to be beyond its margin is a warning.
pub fn gate(role: Role, state: State) -> Gate {
    match state {
        State::Breached => Gate::Fail,
        State::Regressed if role == Role::Quality => Gate::Fail,
        State::Invalid | State::Insufficient => Gate::Invalid,
        State::Inconclusive => Gate::Inconclusive,
        State::Regressed | State::Healthy | State::Better => Gate::Pass,
    }
}

/// The rule over the family of an arm. Ship: a primary metric is better, none regressed, and no
/// guardrail is worse (intersection-union: no split of α is needed for it, `statistics.md` §6).
/// Roll back: any guardrail is breached or any primary metric regressed (union-intersection: α is
/// split). `latched` metrics stay breached until the experiment is ramped or concluded.
pub fn rule(family: &[(Part, Role, &Ruling, bool)]) -> Rule {
    let places = |wanted: &dyn Fn(Part, Role, &Ruling, bool) -> bool| -> Vec<usize> {
        let row = |at: &usize| {
            let (part, role, ruling, latched) = family[*at];
            wanted(part, role, ruling, latched)
        };
        (0..family.len()).filter(row).collect()
    };
    let failed = places(&|_, role, ruling, latched| {
        let trusted = ruling.state != State::Invalid;
        trusted && (latched || gate(role, ruling.state) == Gate::Fail)
    });
    if !failed.is_empty() {
        return Rule { action: Action::RollBack, because: failed };
    }
    let better =
        places(&|part, _, ruling, _| part == Part::Primary && ruling.state == State::Better);
    let open = places(&|part, _, ruling, _| match part {
        Part::Primary => matches!(ruling.state, State::Invalid | State::Insufficient),
        Part::Rollback => !holds(ruling),
    });
    match open.is_empty() && !better.is_empty() {
        true => Rule { action: Action::Ship, because: better },
        false => Rule { action: Action::Wait, because: open },
    }
}

/// Whether a guardrail speaks for shipping: healthy, or without a margin and not worse.
fn holds(ruling: &Ruling) -> bool {
    let undecided = ruling.state == State::Inconclusive;
    let no_margin = ruling
        .reasons
        .iter()
        .all(|reason| matches!(reason, Reason::IncludesZero | Reason::ExcludesZero));
    ruling.state == State::Healthy || (undecided && no_margin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn interval(lower: f64, upper: f64) -> Interval {
        Interval { lower, upper }
    }

    /// A guardrail, lower is better, margin 0.01.
    fn guardrail(lower: f64, upper: f64) -> Case {
        let difference = interval(lower, upper);
        Case {
            role: Role::Guardrail,
            direction: Direction::Decrease,
            part: Some(Part::Rollback),
            difference: Some(difference),
            excess: Some(difference.shifted(-0.01)),
            ..Case::default()
        }
    }

    fn quality(lower: f64, upper: f64) -> Case {
        Case {
            role: Role::Quality,
            direction: Direction::Increase,
            part: Some(Part::Primary),
            difference: Some(interval(lower, upper)),
            ..Case::default()
        }
    }

    fn state(case: &Case) -> State {
        judge(case).state
    }

    #[test]
    fn every_row_of_the_table() {
        assert_eq!(state(&guardrail(0.011, 0.03)), State::Breached);
        assert_eq!(state(&guardrail(0.001, 0.03)), State::Regressed);
        assert_eq!(
            state(&guardrail(0.001, 0.009)),
            State::Regressed,
            "within its margin: a warning"
        );
        assert_eq!(state(&guardrail(-0.02, 0.009)), State::Healthy);
        assert_eq!(state(&guardrail(-0.02, 0.02)), State::Inconclusive);
        assert_eq!(state(&quality(0.01, 0.02)), State::Better);
        assert_eq!(state(&quality(-0.02, -0.01)), State::Regressed);
        assert_eq!(state(&quality(-0.01, 0.01)), State::Inconclusive);
        let unmet = Case { unmet: vec![Reason::Units], ..guardrail(0.5, 0.6) };
        assert_eq!(state(&unmet), State::Insufficient);
        let latched = Case { latched: true, ..unmet.clone() };
        assert_eq!(state(&latched), State::Breached, "a lack of data unlatches nothing");
        let invalid = Case { invalid: vec![Reason::SampleRatio], ..latched };
        assert_eq!(state(&invalid), State::Invalid);
        let ceiling = Case { over_ceiling: Some(interval(0.01, 0.02)), ..guardrail(-0.5, 0.0) };
        assert_eq!(judge(&ceiling).reasons, [Reason::AboveCeiling]);
        let lost = Case { direction: Direction::Unknown, ..quality(0.01, 0.02) };
        assert_eq!(judge(&lost).reasons, [Reason::NoDirection]);
        let moved = Case { adaptive: true, ..quality(0.01, 0.02) };
        assert_eq!(state(&moved), State::Inconclusive);
        let free = Case { part: None, ..quality(0.01, 0.02) };
        assert_eq!(state(&free), State::Inconclusive, "never gating");
    }

    #[test]
    fn without_a_margin_there_is_only_regressed_and_inconclusive() {
        for (low, high) in [(0.5, 0.6), (-0.6, -0.5), (-0.1, 0.1)] {
            let case = Case { excess: None, ..guardrail(low, high) };
            assert!(matches!(state(&case), State::Regressed | State::Inconclusive));
        }
    }

    #[test]
    fn shipping_needs_a_winner_and_guardrails_that_hold() {
        let of = |case: &Case| judge(case);
        let (win, hold, open) =
            (of(&quality(0.01, 0.02)), of(&guardrail(-0.02, 0.0)), of(&guardrail(-0.02, 0.02)));
        let breached = of(&guardrail(0.02, 0.03));
        let action = |guard: &Ruling, latched| {
            rule(&[
                (Part::Primary, Role::Quality, &win, false),
                (Part::Rollback, Role::Guardrail, guard, latched),
            ])
        };
        assert_eq!(action(&hold, false), Rule { action: Action::Ship, because: vec![0] });
        assert_eq!(action(&open, false), Rule { action: Action::Wait, because: vec![1] });
        assert_eq!(action(&breached, false), Rule { action: Action::RollBack, because: vec![1] });
        assert_eq!(action(&hold, true).action, Action::RollBack, "a latch stays");
        let lost = Ruling { state: State::Invalid, reasons: vec![Reason::SampleRatio] };
        assert_eq!(action(&lost, false).action, Action::Wait, "invalid never rolls back");
        let few = Ruling { state: State::Insufficient, reasons: vec![Reason::Units] };
        assert_eq!(action(&few, false).action, Action::Wait);
    }

    fn harm() -> impl Strategy<Value = (f64, f64)> {
        (-1.0..1.0f64, 0.0..0.5f64).prop_map(|(lower, width)| (lower, lower + width))
    }

    /// How bad a guardrail's state is.
    fn badness(state: State) -> u8 {
        match state {
            State::Healthy | State::Better => 0,
            State::Inconclusive => 1,
            State::Regressed => 2,
            _ => 3,
        }
    }

    proptest! {
        #[test]
        fn more_harm_is_never_judged_milder((lower, upper) in harm(), more in 0.0..1.0f64) {
            let (mild, harsh) = (guardrail(lower, upper), guardrail(lower + more, upper + more));
            prop_assert!(badness(state(&harsh)) >= badness(state(&mild)));
            let (good, worse) = (quality(-upper, -lower), quality(-upper - more, -lower - more));
            prop_assert!(badness(state(&worse)) >= badness(state(&good)));
        }

        #[test]
        fn a_wider_interval_never_claims_more((lower, upper) in harm(), wider in 0.0..1.0f64) {
            let narrow = guardrail(lower, upper);
            let wide = guardrail(lower - wider, upper + wider);
            let claims = |s: State| matches!(s, State::Breached | State::Healthy);
            prop_assert!(!claims(state(&wide)) || state(&wide) == state(&narrow));
        }

        #[test]
        fn a_guardrail_within_its_margin_passes_the_gate((lower, upper) in harm()) {
            let ruling = judge(&guardrail(lower, upper));
            let exit = gate(Role::Guardrail, ruling.state);
            prop_assert_eq!(exit == Gate::Fail, lower > 0.01);
        }
    }
}
