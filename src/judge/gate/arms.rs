//! What the gate makes of each arm: its sites that decide, and their metrics that do.

use super::words;
use super::{GateArm, GateMetric, GateSite};
use crate::judge;
use crate::model::record::{Difference, MetricLine};
use crate::model::verdict::{Gate, State};
use crate::model::view::{ArmView, ExperimentView, SiteView};

/// Every arm but control.
pub(super) fn treated(experiment: &ExperimentView) -> impl Iterator<Item = &str> {
    let control = experiment.control.as_deref();
    experiment.arms.iter().map(String::as_str).filter(move |arm| control != Some(arm))
}

/// The arms that are judged when none is asked for: one that had calls, has none in the epoch that
/// is judged and is in no plan is over, and must not fail the others for ever.
pub(super) fn present<'a>(
    experiment: &'a ExperimentView,
    warnings: &mut Vec<String>,
) -> impl Iterator<Item = &'a str> {
    let over = |arm: &&str| {
        let planned = experiment.sample_ratio.as_ref().and_then(|ratio| ratio.expected.get(*arm));
        let mut sites = experiment.sites.iter().filter(|site| site.decides);
        planned.is_none_or(|share| *share <= 0.0)
            && sites.clone().any(|site| of(&site.all_epochs, arm).is_some())
            && sites.all(|site| of(&site.arms, arm).is_none())
    };
    let (gone, here): (Vec<&str>, Vec<&str>) = treated(experiment).partition(over);
    let told = |arm| format!("{arm} has no calls in this epoch and is not judged.");
    warnings.extend(gone.into_iter().map(told));
    here.into_iter()
}

fn of<'a>(arms: &'a [ArmView], name: &str) -> Option<&'a ArmView> {
    arms.iter().find(|arm| arm.arm == name)
}

/// An arm at every site that decides.
pub(super) fn of_arm(experiment: &ExperimentView, arm: &str) -> GateArm {
    let deciding = experiment.sites.iter().filter(|site| site.decides);
    let sites: Vec<GateSite> = deciding.map(|site| of_site(experiment, site, arm)).collect();
    let start = if sites.is_empty() { Gate::Invalid } else { Gate::Pass };
    let result = sites.iter().map(|site| site.result).fold(start, Gate::worse);
    GateArm { arm: arm.to_owned(), result, sites }
}

fn of_site(experiment: &ExperimentView, site: &SiteView, name: &str) -> GateSite {
    let arm = of(&site.arms, name);
    let lines = arm.into_iter().flat_map(|arm| &arm.metrics);
    let metrics: Vec<GateMetric> = lines.filter_map(|line| of_line(line, name)).collect();
    let nothing = nothing(experiment, site, name, &metrics);
    let start = if nothing.is_none() { Gate::Pass } else { Gate::Invalid };
    GateSite {
        site: site.site.clone(),
        epoch: site.epoch,
        result: metrics.iter().map(|metric| metric.result).fold(start, Gate::worse),
        runs: arm.map(|arm| arm.runs.clone()).unwrap_or_default(),
        nothing,
        metrics,
    }
}

/// Why there is nothing to judge of an arm at a site, if there is not.
fn nothing(
    experiment: &ExperimentView,
    site: &SiteView,
    arm: &str,
    metrics: &[GateMetric],
) -> Option<String> {
    let place = &site.site;
    let control = experiment.control.as_deref();
    if of(&site.arms, arm).is_none() {
        return Some(format!("{arm} has no calls at {place} in this epoch."));
    }
    match control {
        None => return Some(format!("There is no control to compare {arm} with.")),
        Some(control) if of(&site.arms, control).is_none() => {
            return Some(format!("The control {control} has no calls at {place} in this epoch."));
        }
        _ => {}
    }
    (!experiment.declared || metrics.is_empty()).then(|| words::undeclared(experiment))
}

/// A line whose verdict decides.
fn of_line(line: &MetricLine, arm: &str) -> Option<GateMetric> {
    let verdict = line.verdict.as_ref().filter(|verdict| verdict.decides)?;
    let state = State::ALL.into_iter().find(|state| state.name() == verdict.state);
    // A state of a later version says nothing that can be relied on.
    let own = state.map_or(Gate::Invalid, |state| judge::gate(line.role, state));
    let result = if verdict.breach.is_some() { Gate::Fail } else { own };
    let figure = |part: fn(&Difference) -> Option<f64>| line.difference.as_ref().and_then(part);
    Some(GateMetric {
        name: line.name.clone(),
        role: line.role,
        unit: line.unit.clone(),
        state: verdict.state.clone(),
        result,
        reasons: verdict.reasons.clone(),
        sentence: words::told(line, verdict, state, arm),
        warning: state == Some(State::Regressed) && result == Gate::Pass,
        estimate: figure(|found| Some(found.estimate)),
        lower: figure(|found| found.lower),
        upper: figure(|found| found.upper),
        confidence: figure(|found| found.confidence),
        since: verdict.since.clone(),
        breach: verdict.breach.clone(),
    })
}
