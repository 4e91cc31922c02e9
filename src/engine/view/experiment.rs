//! The experiment document: arms × sites × metrics, in the current epoch and over all of them.

use super::super::Engine;
use super::super::dictionary::OVERFLOW;
use super::super::tally::run::Run;
use super::super::watch;
use super::metrics::confidence;
use super::ratio::sample_ratio;
use super::record::{changes, run_id, unit_name};
use super::{Group, Picture, Place, Shown, evidence, metrics, time_text};
use crate::engine::estimate::{Pool, Undeclared};
use crate::judge::family::{ALPHA, Family};
use crate::model::record::MetricLine;
use crate::model::view::{ArmDecision, ArmView, EXPERIMENT_SCHEMA, ExperimentView, SiteView};
use crate::model::{Field, MINUTE, Sym};
use std::collections::BTreeSet;

/// Quiet after an hour without calls.
const QUIET_MINUTES: u64 = 60;

/// One experiment.
pub(super) fn experiment(picture: &Picture<'_>, experiment: Sym) -> ExperimentView {
    let engine = picture.engine;
    let state = engine.context().experiments.get(&experiment);
    let control = state.and_then(|state| state.control);
    let arms = arm_order(engine, experiment, control);
    let text = |sym: Sym| engine.dictionary().text(sym).to_owned();
    let runs = || engine.tally().runs_of(experiment);
    let last = runs().filter_map(|pair| pair.1.seen).map(|seen| seen.1).max();
    let live = last.is_some_and(|at| at + QUIET_MINUTES * MINUTE >= engine.log_time());
    let declared = engine.settings().experiments.get(&engine.experiment_name(experiment));
    let crossovers = engine.tally().crossovers(experiment).find(|pair| pair.0.is_none());
    ExperimentView {
        schema: EXPERIMENT_SCHEMA.to_owned(),
        name: engine.experiment_name(experiment),
        configured: state.is_some_and(|state| state.configured),
        declared: Family::of(declared).declared,
        control: control.map(text),
        control_assumed: state.is_some_and(|state| state.control_assumed),
        state: if live { "live" } else { "quiet" }.to_owned(),
        unit: unit_name(engine, experiment),
        confidence: Some(confidence(declared.and_then(|e| e.alpha).unwrap_or(ALPHA))),
        calls: runs().map(|pair| pair.1.calls).sum(),
        last_seen: last.map(time_text),
        arms: arms.iter().map(|arm| text(*arm)).collect(),
        sites: sites(picture, experiment, &arms),
        sample_ratio: Some(sample_ratio(picture, experiment)),
        crossover_units: crossovers.map_or(0, |pair| pair.1),
        conflicting_traces: engine.join.census.conflicts.get(&experiment).unwrap_or(0),
        demoted: state
            .map(|state| state.demoted.iter().map(|f| f.path().to_owned()).collect())
            .unwrap_or_default(),
    }
}

/// Control first, then by name.
fn arm_order(engine: &Engine, experiment: Sym, control: Option<Sym>) -> Vec<Sym> {
    let mut arms: BTreeSet<Sym> = watch::arms(experiment, engine.tally()).into_keys().collect();
    arms.extend(engine.tally().exposed(experiment).into_keys());
    let mut arms: Vec<Sym> = arms.into_iter().collect();
    arms.sort_by_key(|arm| (control != Some(*arm), engine.dictionary().text(*arm).to_owned()));
    arms
}

/// The busiest first.
fn sites(picture: &Picture<'_>, experiment: Sym, arms: &[Sym]) -> Vec<SiteView> {
    let mut sites: Vec<SiteView> = watch::sites(experiment, picture.engine.tally())
        .into_iter()
        .map(|site| site_view(picture, experiment, site, arms))
        .collect();
    sites.sort_by_key(|site| {
        (-site.all_epochs.iter().map(|a| a.calls).sum::<i64>(), site.site.clone())
    });
    sites
}

fn site_view(picture: &Picture<'_>, experiment: Sym, site: Sym, arms: &[Sym]) -> SiteView {
    let engine = picture.engine;
    let current = engine.context().current_epoch(experiment, site);
    // An epoch that has been decided but has no calls yet is not shown: the last one is.
    let with_calls: BTreeSet<u32> = engine
        .tally()
        .runs_of(experiment)
        .filter(|pair| pair.0.site == site)
        .map(|pair| pair.0.epoch)
        .collect();
    let epoch = with_calls.last().copied().unwrap_or(1);
    let arms_in = |epochs: &BTreeSet<u32>| -> Vec<ArmView> {
        let view = |arm: &Sym| arm_view(picture, experiment, site, *arm, epochs);
        arms.iter().filter_map(view).collect()
    };
    let now = arms_in(&BTreeSet::from([epoch]));
    let began =
        current.filter(|e| e.epoch == epoch).map(|e| time_text(u64::from(e.minute) * MINUTE));
    SiteView {
        site: engine.dictionary().text(site).to_owned(),
        epoch,
        epoch_began: began,
        calls: now.iter().map(|arm| arm.calls).sum(),
        decides: picture
            .assessment(experiment)
            .is_some_and(|found| found.sites.iter().any(|one| one.site == site && one.decides)),
        arms: now,
        all_epochs: arms_in(&with_calls),
        changes: changes(engine, experiment, site, None),
    }
}

fn arm_view(
    picture: &Picture<'_>,
    experiment: Sym,
    site: Sym,
    arm: Sym,
    epochs: &BTreeSet<u32>,
) -> Option<ArmView> {
    let engine = picture.engine;
    let at = |epoch: u32| Place { experiment, site, arm, epoch };
    let shown: Vec<&Shown<'_>> = epochs.iter().rev().flat_map(|e| picture.shown(at(*e))).collect();
    let group = match epochs.len() {
        1 => Group::Arm(at(*epochs.first()?)),
        _ => Group::AllEpochs(at(0)),
    };
    let units = |what| picture.units(group, what);
    let mut pooled = Run::default();
    shown.iter().for_each(|s| pooled.pool(&s.run));
    if shown.is_empty() {
        return None;
    }
    let names = engine.experiment_name(experiment);
    let text = |sym: Sym| engine.dictionary().text(sym).to_owned();
    let mut runs: Vec<String> =
        shown.iter().map(|s| run_id(engine, &names, &text(arm), &text(site), s.set)).collect();
    let mut seen = BTreeSet::new();
    runs.retain(|id| seen.insert(id.clone()));
    let planned = engine.settings().experiments.get(&names).and_then(|e| e.split.get(&text(arm)));
    let control = engine.context().experiments.get(&experiment).and_then(|state| state.control);
    Some(ArmView {
        arm: text(arm),
        control: control == Some(arm),
        mixed: epochs.len() > 1,
        calls: pooled.calls,
        units: units(Sym::NONE),
        share: share(engine, experiment, arm),
        planned: planned.copied(),
        runs,
        model: model(engine, &shown),
        evidence: weakest(engine, &shown, pooled.calls),
        metrics: arm_metrics(picture, &shown, &units, epochs, at(epochs.first().copied()?)),
        decision: decision(picture, epochs, at(epochs.first().copied()?)),
    })
}

/// Metrics of an arm: as they were assessed in one epoch; levels only over several.
fn arm_metrics(
    picture: &Picture<'_>,
    shown: &[&Shown<'_>],
    units: &dyn Fn(Sym) -> i64,
    epochs: &BTreeSet<u32>,
    place: Place,
) -> Vec<MetricLine> {
    if let (1, Some((site, arm))) = (epochs.len(), picture.assessed(place)) {
        let (experiment, seconds) = (place.experiment, picture.seconds(place));
        return metrics::of_arm(picture.engine, &metrics::Place { site, arm, experiment, seconds });
    }
    let runs = shown.iter().flat_map(|s| s.pool.runs.iter().copied()).collect();
    let undeclared = picture.assessment(place.experiment).map(|found| &found.undeclared);
    let none = Undeclared::new();
    let sites = picture.assessment(place.experiment).map_or(&[][..], |found| &found.sites);
    let beyond = metrics::Beyond::of(sites.iter().filter(|site| site.site == place.site));
    metrics::mixed(picture.engine, &Pool { runs }, undeclared.unwrap_or(&none), units, &beyond)
}

fn decision(picture: &Picture<'_>, epochs: &BTreeSet<u32>, place: Place) -> Option<ArmDecision> {
    let (_, arm) = picture.assessed(place).filter(|_| epochs.len() == 1)?;
    let rule = arm.rule.as_ref()?;
    let name = |at: &usize| arm.lines.get(*at).map(|line| line.line.definition.name.clone());
    Some(ArmDecision {
        action: rule.action.name().to_owned(),
        because: rule.because.iter().filter_map(name).collect(),
        gate: arm.gate,
    })
}

/// Share of the experiment's units by first exposure.
fn share(engine: &Engine, experiment: Sym, arm: Sym) -> Option<f64> {
    let exposed = engine.tally().exposed(experiment);
    let all: i64 = exposed.values().sum();
    let own = exposed.get(&arm).copied().unwrap_or(0);
    (all > 0).then(|| (own as f64 / all as f64 * 1e4).round() / 1e4)
}

/// Model of the busiest run: its revision, else what was requested.
fn model(engine: &Engine, shown: &[&Shown<'_>]) -> Option<String> {
    let busiest = shown.iter().max_by_key(|s| s.run.calls)?;
    let set = engine.dictionary().set(busiest.set);
    let name = set.text(Field::ModelRevision).or_else(|| set.text(Field::ModelRequested));
    name.map(str::to_owned)
}

/// The weakest grade of runs with ≥ 5 % of the arm's calls.
fn weakest(engine: &Engine, shown: &[&Shown<'_>], calls: i64) -> String {
    let counts = |s: &&&Shown<'_>| s.run.calls * 20 >= calls;
    let grades = shown.iter().filter(counts).map(|s| match s.set {
        OVERFLOW => "D".to_owned(),
        _ => evidence::evidence(engine, &s.run).grade,
    });
    grades.max().unwrap_or_else(|| "D".to_owned())
}
