//! Whether what is shown of an experiment can be trusted: what makes its verdicts invalid, and
//! what else a reader has to know before the figures. Pages, reports and the terminal say the
//! same, in the same order.

use crate::model::human::count;
use crate::model::record::SampleRatio;
use crate::model::reject::Reject;
use crate::model::verdict::Reason;
use crate::model::view::{Counts, ExperimentView, SiteView};
use std::collections::BTreeSet;

/// What a notice does to the verdicts below it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// They are invalid.
    Invalid,
    /// They hold, for what was counted.
    Warning,
}

/// One thing to know before the figures.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    /// What it does to the verdicts.
    pub severity: Severity,
    /// What is the matter, in two or three words.
    pub title: String,
    /// What was seen.
    pub text: String,
    /// What to do about it.
    pub advice: &'static str,
}

/// All there is to know of an experiment, what makes it invalid first. `rejected` is what the
/// doors refused, by reason: it is of the whole process, as nobody knows where it belonged.
pub fn notices(
    experiment: &ExperimentView,
    counts: &Counts,
    rejected: &[(Reject, u64)],
) -> Vec<Notice> {
    let mut out: Vec<Notice> = experiment.sample_ratio.iter().filter_map(ratio).collect();
    out.extend(INVALID.iter().filter_map(|reason| invalid(*reason, experiment)));
    out.extend(adaptive(experiment));
    out.extend(dropped(rejected));
    out.extend(uncounted(experiment, counts));
    out
}

/// Whether verdicts are invalid.
pub fn is_invalid(notices: &[Notice]) -> bool {
    notices.iter().any(|notice| notice.severity == Severity::Invalid)
}

/// Reasons of invalid verdicts that are told here; that of the sample ratio has its own figures.
const INVALID: [Reason; 5] = [
    Reason::Crossovers,
    Reason::MissingScores,
    Reason::GraderChanged,
    Reason::GradersDiffer,
    Reason::NotReported,
];

fn ratio(ratio: &SampleRatio) -> Option<Notice> {
    if ratio.state != "mismatch" {
        return None;
    }
    let all: i64 = ratio.units.values().sum();
    let share = |part: f64| format!("{:.1} %", part * 100.0);
    let arms = ratio.units.iter().map(|(arm, units)| {
        let planned = ratio.expected.get(arm).map_or("nothing".to_owned(), |part| share(*part));
        format!("{arm} {} of {planned}", share(*units as f64 / all.max(1) as f64))
    });
    let p = ratio.p.map_or(String::new(), |p| format!(" (p = {p:.1e})"));
    let arms: Vec<String> = arms.collect();
    Some(Notice {
        severity: Severity::Invalid,
        title: "Sample ratio mismatch".to_owned(),
        text: format!("Units did not come in the planned shares: {}{p}.", arms.join(", ")),
        advice: "Find what loses or moves units: redirects, retries, bots, a flag evaluated after \
                 the call, or a split that the config does not know.",
    })
}

/// A reason for which verdicts that decide are invalid, with the places where it holds.
fn invalid(reason: Reason, experiment: &ExperimentView) -> Option<Notice> {
    let places = places(experiment, reason);
    if places.is_empty() {
        return None;
    }
    let list: Vec<&str> = places.iter().map(String::as_str).collect();
    let list = list.join(", ");
    let (title, text, advice) = match reason {
        Reason::Crossovers => (
            "Units in two arms",
            format!("{} units were seen in more than one arm.", count(experiment.crossover_units)),
            "Randomise by what stays: the same user must get the same arm on every device and \
             after every deployment.",
        ),
        Reason::MissingScores => (
            "Scores are missing",
            format!("Scores are missing more often in one arm than in the other: {list}."),
            "See which calls the grader skips or fails on; judge the same share in every arm.",
        ),
        Reason::GraderChanged => (
            "Grader changed",
            format!("A new grader has not judged enough in both arms yet: {list}."),
            "Wait until it has, or go back to the grader that judged before.",
        ),
        Reason::GradersDiffer => (
            "Graders differ",
            format!("The arms were judged by different graders: {list}."),
            "Judge every arm with the same grader, model and version.",
        ),
        _ => (
            "Declared, but not reported",
            format!("The calls do not report {list}."),
            "Switch it on in the SDK, or take the metric out of the config.",
        ),
    };
    let title = title.to_owned();
    Some(Notice { severity: Severity::Invalid, title, text, advice })
}

/// `metric in arm` of each verdict that decides and has a reason.
fn places(experiment: &ExperimentView, reason: Reason) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for (arm, line) in experiment.sites.iter().flat_map(lines) {
        let verdict = line.verdict.as_ref().filter(|v| v.decides);
        if verdict.is_some_and(|v| v.reasons.iter().any(|r| r == reason.words())) {
            out.insert(format!("{} in {arm}", line.name));
        }
    }
    out
}

fn lines(site: &SiteView) -> impl Iterator<Item = (&str, &crate::model::record::MetricLine)> {
    site.arms.iter().flat_map(|arm| arm.metrics.iter().map(|line| (arm.arm.as_str(), line)))
}

fn adaptive(experiment: &ExperimentView) -> Option<Notice> {
    let places = places(experiment, Reason::AdaptiveAllocation);
    (!places.is_empty()).then(|| {
        warning(
            "Traffic moves",
            "The split moves and calls do not log the probability of their assignment: no verdict \
             rests on them."
                .to_owned(),
            "Log armspan.assignment.probability with each assignment, or keep the split fixed.",
        )
    })
}

/// What the doors refused: a sender's clock first, it spoils most.
fn dropped(rejected: &[(Reject, u64)]) -> Vec<Notice> {
    let told = rejected.iter().filter(|pair| pair.1 > 0);
    let mut out: Vec<Notice> = told
        .map(|(reason, number)| {
            let title = match reason {
                Reject::FromTheFuture => "Clock skew",
                Reject::TooOld => "Too old to count",
                _ => "Data refused",
            };
            let spans = count(i64::try_from(*number).unwrap_or(i64::MAX));
            let text = format!("{spans} refused as {}.", reason.name().replace('_', " "));
            warning(title, text, reason.advice())
        })
        .collect();
    out.sort_by_key(|notice| notice.title != "Clock skew");
    out
}

/// What came and was not counted.
fn uncounted(experiment: &ExperimentView, counts: &Counts) -> Vec<Notice> {
    let mut out = Vec::new();
    let shown = |number: u64| count(i64::try_from(number).unwrap_or(i64::MAX));
    if counts.late > 0 {
        out.push(warning(
            "Late data",
            format!(
                "{} observations came after the horizon and are not counted.",
                shown(counts.late)
            ),
            "Send spans within the horizon, or set a longer one in the config.",
        ));
    }
    for (limit, hits) in &counts.limits {
        out.push(warning(
            "A limit was hit",
            format!("{limit}: {} times.", shown(*hits)),
            "See the pipeline page for what it bounds; what is beyond it is counted under `other`.",
        ));
    }
    if experiment.conflicting_traces > 0 {
        out.push(warning(
            "Traces with two arms",
            format!(
                "{} traces name two arms and are left out.",
                count(experiment.conflicting_traces)
            ),
            "Evaluate the flag once for a request and pass the result on.",
        ));
    }
    if !experiment.demoted.is_empty() {
        out.push(warning(
            "Too many values",
            format!("{} no longer tell runs apart.", experiment.demoted.join(", ")),
            "Take what changes with each call, such as a date, out of it.",
        ));
    }
    out
}

fn warning(title: &str, text: String, advice: &'static str) -> Notice {
    Notice { severity: Severity::Warning, title: title.to_owned(), text, advice }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn experiment(reasons: &[&str], ratio: &str) -> ExperimentView {
        let verdict = json!({"state": "invalid", "reasons": reasons, "decides": true});
        let line = json!({"name": "answer_ok", "role": "quality", "direction": "increase",
            "unit": "1", "definition": "sha256:00", "calls": 10, "verdict": verdict});
        let arm = json!({"arm": "B", "control": false, "calls": 10, "units": 5, "runs": [],
            "evidence": "A", "metrics": [line]});
        serde_json::from_value(json!({
            "schema": "armspan/experiment/v1", "name": "e", "configured": true,
            "control_assumed": false, "state": "live", "unit": "user.id", "calls": 10,
            "arms": ["A", "B"], "crossover_units": 3, "conflicting_traces": 0,
            "sites": [{"site": "answer", "epoch": 1, "calls": 10, "arms": [arm],
                       "all_epochs": [], "changes": []}],
            "sample_ratio": {"state": ratio, "p": 1e-9, "expected": {"A": 0.5, "B": 0.5},
                             "units": {"A": 80, "B": 20}},
        }))
        .expect("an experiment")
    }

    #[test]
    fn what_makes_verdicts_invalid_comes_first_and_names_its_places() {
        let missing = Reason::MissingScores.words();
        let found = notices(
            &experiment(&[missing], "mismatch"),
            &Counts { late: 1_234, ..Counts::default() },
            &[(Reject::EmptySpanId, 2), (Reject::FromTheFuture, 7), (Reject::TooOld, 0)],
        );
        let titles: Vec<&str> = found.iter().map(|notice| notice.title.as_str()).collect();
        let expected = [
            "Sample ratio mismatch",
            "Scores are missing",
            "Clock skew",
            "Data refused",
            "Late data",
        ];
        assert_eq!(titles, expected);
        assert!(is_invalid(&found) && found[0].text.contains("A 80.0 % of 50.0 %"));
        assert!(found[1].text.contains("answer_ok in B") && found[4].text.contains("1,234"));
        assert!(found.is_sorted_by_key(|notice| notice.severity));
    }

    #[test]
    fn nothing_is_said_of_data_that_can_be_trusted() {
        assert_eq!(notices(&experiment(&[], "ok"), &Counts::default(), &[]), []);
    }
}
