//! The gate's words: reasons, warnings and the one sentence. Names stand in them as they are; who
//! shows them escapes them.

use super::arms::treated;
use super::{GateDocument, GateMetric};
use crate::model::human;
use crate::model::record::{MetricLine, Verdict};
use crate::model::verdict::{Gate, Reason, State};
use crate::model::view::ExperimentView;
use std::collections::BTreeSet;

/// Names in the sentence at most.
const NAMED_MAX: usize = 4;

/// Sentences of all that is as bad as the whole.
pub(super) fn reasons(document: &GateDocument, experiment: &ExperimentView) -> Vec<String> {
    if document.result == Gate::Pass {
        return Vec::new();
    }
    let mut out = Vec::new();
    for site in document.arms.iter().flat_map(|arm| &arm.sites) {
        let worst = site.metrics.iter().filter(|metric| metric.result == document.result);
        let nothing = site.nothing.clone().filter(|_| document.result == Gate::Invalid);
        out.extend(nothing.into_iter().chain(worst.map(|metric| metric.sentence.clone())));
    }
    let mut seen = BTreeSet::new();
    out.retain(|told| seen.insert(told.clone()));
    if out.is_empty() {
        out.push(empty(experiment));
    }
    out
}

/// Why no arm at no site was judged.
fn empty(experiment: &ExperimentView) -> String {
    let name = &experiment.name;
    if treated(experiment).next().is_none() {
        return format!("Nothing to judge: {name} has no arm but its control yet.");
    }
    format!("Nothing to judge: no call site of {name} that decides has calls.")
}

/// The answer in one sentence.
pub(super) fn sentence(document: &GateDocument) -> String {
    let whose = match &document.arm {
        Some(arm) => format!("{} of {}", arm, document.experiment),
        None => document.experiment.clone(),
    };
    let first = || document.reasons.first().map_or("nothing to judge.", String::as_str);
    match document.result {
        Gate::Pass => format!("{whose} passes: nothing that was declared speaks against it."),
        Gate::Fail => format!("{whose} fails: {}.", named(document)),
        Gate::Inconclusive => format!("{whose} is not decided yet: {}.", named(document)),
        Gate::Invalid => format!("{whose} cannot be judged: {}", uncapitalised(first())),
    }
}

/// `error_rate in C, latency_p95 in C and 2 more`: what is as bad as the whole.
fn named(document: &GateDocument) -> String {
    let worst = document.rows().filter(|row| row.2.result == document.result);
    let names: Vec<String> =
        worst.map(|(arm, _, metric)| format!("{} in {}", metric.name, arm.arm)).collect();
    let more = names.len().saturating_sub(NAMED_MAX);
    let shown = names.into_iter().take(NAMED_MAX).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// A sentence of ours as part of another; names keep their letters.
fn uncapitalised(sentence: &str) -> String {
    for ours in ["Nothing ", "There ", "The "] {
        if let Some(rest) = sentence.strip_prefix(ours) {
            return format!("{}{rest}", ours.to_lowercase());
        }
    }
    sentence.to_owned()
}

/// The verdict's sentence; before it the breach that counts though the state is another by now.
pub(super) fn told(
    line: &MetricLine,
    verdict: &Verdict,
    state: Option<State>,
    arm: &str,
) -> String {
    match &verdict.breach {
        Some(breach) if state != Some(State::Breached) => format!(
            "{} in {arm} was breached in epoch {} ({}), which counts until the experiment is \
             ramped, restarted or concluded. {}",
            line.name,
            breach.epoch,
            human::minute(&breach.at),
            verdict.sentence
        ),
        _ => verdict.sentence.clone(),
    }
}

/// What a regressed guardrail is told as.
pub(super) fn tolerated(metric: &GateMetric) -> String {
    let within = metric.reasons.iter().any(|r| r == Reason::WithinMargin.words());
    let why = match within {
        true => "It is within its margin, so it does not fail.",
        false => "It was not shown to be beyond what is allowed, so it does not fail.",
    };
    format!("{} {why}", metric.sentence)
}

/// Nobody said which arm is the control.
pub(super) fn assumed(experiment: &ExperimentView) -> Option<String> {
    let control = experiment.control.as_ref().filter(|_| experiment.control_assumed)?;
    Some(format!("{control} was taken for the control; name it in the config."))
}

/// No metric was declared.
pub(super) fn undeclared(experiment: &ExperimentView) -> String {
    let name = &experiment.name;
    format!("Nothing to judge: {name} declares no metrics; name them in its family in the config.")
}
