//! Verdicts: the states of `design.md`'s table, the reasons for them as words that programs can
//! rely on, and what a gate makes of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What can be said of a metric of an arm. The first row of the table that holds decides.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The data cannot be trusted.
    Invalid,
    /// There is too little of it.
    Insufficient,
    /// A guardrail is worse than its margin, or above its ceiling.
    Breached,
    /// Worse than control.
    Regressed,
    /// A guardrail is not worse than its margin.
    Healthy,
    /// Better than control.
    Better,
    /// None of these yet.
    #[default]
    Inconclusive,
}

/// Why a verdict is what it is.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Units did not come in the planned shares.
    SampleRatio,
    /// More than 1 % of the units were seen in two arms.
    Crossovers,
    /// The share of calls with a score differs between the arms.
    MissingScores,
    /// The grader changed and the new one has not judged enough in both arms.
    GraderChanged,
    /// The arms were judged by different graders.
    GradersDiffer,
    /// The config declares the metric but the arm's calls do not report it.
    NotReported,
    /// Too few units in an arm.
    Units,
    /// Too few events to expect.
    Events,
    /// No call is old enough and scored.
    Scores,
    /// The weights leave too small an effective sample.
    EffectiveSample,
    /// One bucket of units makes most of the spread.
    OneUnit,
    /// All values are the same: no spread was seen.
    NoSpread,
    /// The calls do not name what was randomised.
    UnitKind,
    /// Nothing to compare with.
    NoControl,
    /// The interval of the harm lies above the margin.
    AboveMargin,
    /// The interval of the level lies above the ceiling.
    AboveCeiling,
    /// It was breached before, in this epoch.
    Latched,
    /// The interval of the difference excludes 0.
    ExcludesZero,
    /// The interval of the harm lies below the margin.
    WithinMargin,
    /// The interval of the difference includes 0.
    IncludesZero,
    /// The interval of the harm includes the margin.
    IncludesMargin,
    /// Nobody said which way is better.
    NoDirection,
    /// The metric is in no declared family.
    Exploratory,
    /// Probabilities of assignment move and are not logged on every call.
    AdaptiveAllocation,
}

/// What a gate answers, worst first: `10 > 12 > 11 > 0`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// Nothing speaks against it.
    Pass,
    /// Not decided yet.
    Inconclusive,
    /// The evidence is insufficient or invalid.
    Invalid,
    /// A guardrail is breached or a quality metric regressed.
    Fail,
}

/// What the family of an arm says to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Better on a primary metric, and every guardrail holds.
    Ship,
    /// A guardrail is breached, or a primary metric regressed.
    RollBack,
    /// Go on.
    #[default]
    Wait,
}

// === impl State ===

impl State {
    /// All of them, in the order of the table.
    pub const ALL: [State; 7] = [
        State::Invalid,
        State::Insufficient,
        State::Breached,
        State::Regressed,
        State::Healthy,
        State::Better,
        State::Inconclusive,
    ];

    /// Its name in documents.
    pub fn name(self) -> &'static str {
        match self {
            State::Invalid => "invalid",
            State::Insufficient => "insufficient",
            State::Breached => "breached",
            State::Regressed => "regressed",
            State::Healthy => "healthy",
            State::Better => "better",
            State::Inconclusive => "inconclusive",
        }
    }
}

impl Reason {
    /// Its words in documents; they do not change within a version of the record.
    pub fn words(self) -> &'static str {
        match self {
            Reason::SampleRatio => "sample ratio mismatch",
            Reason::Crossovers => "units in two arms",
            Reason::MissingScores => "missing scores differ by arm",
            Reason::GraderChanged => "grader changed",
            Reason::GradersDiffer => "graders differ by arm",
            Reason::NotReported => "not reported",
            Reason::Units => "too few units",
            Reason::Events => "too few expected events",
            Reason::Scores => "no matured scores",
            Reason::EffectiveSample => "effective sample too small",
            Reason::OneUnit => "one unit bucket dominates",
            Reason::NoSpread => "no spread",
            Reason::UnitKind => "unit kind not what was randomised",
            Reason::NoControl => "no control",
            Reason::AboveMargin => "interval above margin",
            Reason::AboveCeiling => "level above ceiling",
            Reason::Latched => "latched",
            Reason::ExcludesZero => "interval excludes 0",
            Reason::WithinMargin => "interval within margin",
            Reason::IncludesZero => "interval includes 0",
            Reason::IncludesMargin => "interval includes margin",
            Reason::NoDirection => "no direction",
            Reason::Exploratory => "exploratory",
            Reason::AdaptiveAllocation => "adaptive allocation without probabilities",
        }
    }
}

impl Gate {
    /// Its name in documents.
    pub fn name(self) -> &'static str {
        match self {
            Gate::Pass => "pass",
            Gate::Inconclusive => "inconclusive",
            Gate::Invalid => "invalid",
            Gate::Fail => "fail",
        }
    }

    /// The exit code of the gate.
    pub fn exit(self) -> u8 {
        match self {
            Gate::Pass => 0,
            Gate::Inconclusive => 11,
            Gate::Invalid => 12,
            Gate::Fail => 10,
        }
    }

    /// The worse of two: a failed metric outweighs missing evidence.
    pub fn worse(self, other: Gate) -> Gate {
        if self as u8 >= other as u8 { self } else { other }
    }
}

impl Action {
    /// Its name in documents.
    pub fn name(self) -> &'static str {
        match self {
            Action::Ship => "ship",
            Action::RollBack => "roll back",
            Action::Wait => "wait",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_exit_is_failure_then_evidence_then_doubt() {
        let order = [Gate::Pass, Gate::Inconclusive, Gate::Invalid, Gate::Fail];
        for (at, low) in order.iter().enumerate() {
            for high in &order[at..] {
                assert_eq!((low.worse(*high), high.worse(*low)), (*high, *high));
            }
        }
        assert_eq!(order.map(Gate::exit), [0, 11, 12, 10]);
    }
}
