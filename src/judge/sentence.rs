//! One sentence for people about a verdict.

use super::Ruling;
use crate::model::human;
use crate::model::verdict::{Reason, State};

/// What a sentence tells.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// The metric.
    pub metric: &'a str,
    /// UCUM unit of the metric.
    pub unit: &'a str,
    /// The arm.
    pub arm: &'a str,
    /// The arm it is compared with.
    pub control: &'a str,
    /// Arm minus control with its bounds.
    pub difference: Option<(f64, Option<f64>, Option<f64>)>,
    /// The margin, as the config writes it.
    pub margin: Option<&'a str>,
    /// How many seconds more it takes to decide at the present rate.
    pub seconds_to_decide: Option<f64>,
    /// The exploration found something.
    pub discovery: bool,
}

/// The sentence.
pub fn sentence(ruling: &Ruling, told: &Told<'_>) -> String {
    let Told { metric, arm, control, .. } = told;
    let by = told.difference.map_or(String::new(), |(estimate, lower, upper)| {
        let size = human::difference(estimate, told.unit);
        format!(" ({size}; {})", human::interval(lower, upper, told.unit))
    });
    match ruling.state {
        State::Invalid | State::Insufficient => {
            let why = ruling.reasons.first().map_or("for an unknown reason", |r| because(*r));
            format!("Nothing can be said of {metric} in {arm}: {why}.")
        }
        State::Breached if ruling.reasons.first() == Some(&Reason::AboveCeiling) => {
            format!("{metric} in {arm} is above its ceiling{by}.")
        }
        State::Breached if ruling.reasons.first() == Some(&Reason::Latched) => {
            format!("{metric} in {arm} was beyond what is allowed earlier in this epoch{by}.")
        }
        State::Breached => {
            let margin = told.margin.unwrap_or("its margin");
            format!("{metric} in {arm} is worse than in {control} by more than {margin}{by}.")
        }
        State::Regressed => format!("{metric} is worse in {arm} than in {control}{by}."),
        State::Better => format!("{metric} is better in {arm} than in {control}{by}."),
        State::Healthy => {
            let margin = told.margin.unwrap_or("its margin");
            format!("{metric} in {arm} is not worse than in {control} by more than {margin}{by}.")
        }
        State::Inconclusive => undecided(ruling, told, &by),
    }
}

fn undecided(ruling: &Ruling, told: &Told<'_>, by: &str) -> String {
    let Told { metric, arm, control, .. } = told;
    if ruling.reasons.contains(&Reason::Exploratory) {
        return match told.discovery {
            true => format!("Exploration: {metric} differs between {arm} and {control}{by}."),
            false => format!("{metric} is not part of the decision{by}."),
        };
    }
    if let Some(reason @ (Reason::NoDirection | Reason::AdaptiveAllocation | Reason::NoControl)) =
        ruling.reasons.first()
    {
        return format!("{metric} in {arm} decides nothing: {}{by}.", because(*reason));
    }
    let more = told.seconds_to_decide.map_or(String::new(), |seconds| {
        format!(" At this rate it takes {} more to decide.", human::duration(seconds))
    });
    format!("{metric} in {arm} is not decided{by}.{more}")
}

/// A reason as the end of a sentence.
fn because(reason: Reason) -> &'static str {
    match reason {
        Reason::SampleRatio => "units did not come in the planned shares",
        Reason::Crossovers => "more than 1 % of the units were seen in two arms",
        Reason::MissingScores => "scores are missing more often in one arm than in the other",
        Reason::GraderChanged => "the grader changed, and the new one has not judged enough yet",
        Reason::GradersDiffer => "the arms were judged by different graders",
        Reason::NotReported => "it is declared, but its calls do not report it",
        Reason::Units => "there are too few units in one of the arms",
        Reason::Events => "there are too few events to compare",
        Reason::Scores => "no call is old enough and scored",
        Reason::EffectiveSample => "the weights leave too small an effective sample",
        Reason::OneUnit => "one group of units makes most of the spread",
        Reason::NoSpread => "all values are the same",
        Reason::UnitKind => "its calls do not name what was randomised",
        Reason::NoControl => "there is nothing to compare it with",
        Reason::NoDirection => "nobody said which way is better",
        Reason::AdaptiveAllocation => {
            "its traffic moves, and the probabilities are not logged on every call"
        }
        other => other.words(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: Told<'_> = Told {
        metric: "answer_ok",
        unit: "1",
        arm: "B",
        control: "A",
        difference: Some((0.049, Some(0.019), Some(0.079))),
        margin: None,
        seconds_to_decide: None,
        discovery: false,
    };

    fn said(state: State, reason: Reason) -> String {
        sentence(&Ruling { state, reasons: vec![reason] }, &TOLD)
    }

    #[test]
    fn sentences_name_the_arms_and_the_size() {
        assert_eq!(
            said(State::Better, Reason::ExcludesZero),
            "answer_ok is better in B than in A (+4.90 pp; +1.90 to +7.90 pp)."
        );
        assert_eq!(
            said(State::Invalid, Reason::SampleRatio),
            "Nothing can be said of answer_ok in B: units did not come in the planned shares."
        );
        let told = Told { seconds_to_decide: Some(7_200.0 * 24.0), ..TOLD };
        let open = Ruling { state: State::Inconclusive, reasons: vec![Reason::IncludesZero] };
        assert!(sentence(&open, &told).ends_with("At this rate it takes 2 days more to decide."));
    }
}
