//! `watch`: a look per closed minute, on the merged sums. It settles what has to be settled
//! once (flags taken for experiments, control, unit kind, epochs, demoted facets) by decisions
//! that the driver writes back into the log, and keeps the time line of changes.

pub mod assess;
mod changes;
mod desk;
mod drift;
mod epochs;
pub mod memory;

use super::context::Context;
use super::dictionary::Dictionary;
use super::join::facts::Census;
use super::tally::Tally;
use crate::model::verdict::{Reason, State};
use crate::model::{Decision, MINUTE, Nanos, SetId, Settled, Sym, UnitKind, minute_of};
use assess::{Assessed, Assessment, SiteAssessment, assess};
use memory::{ExperimentMemory, HISTORIES_MAX, Latch, LineMemory, Look};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Assigned calls after which the kind of unit is settled.
const CALLS_FOR_UNIT: i64 = 1_000;
/// Changes kept per site.
const CHANGES_MAX: usize = 256;

/// What looks remember.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    /// The last closed minute that was looked at.
    pub looked: u32,
    sites: BTreeMap<(Sym, Sym), SiteWatch>,
    verdicts: BTreeMap<Sym, ExperimentMemory>,
    /// What the looks of the entry that is being applied have to tell; empty between entries.
    #[serde(skip)]
    told: Vec<Told>,
}

/// Something that changed, to be told outside.
#[derive(Clone, PartialEq, Debug)]
pub struct Told {
    /// The experiment.
    pub experiment: Sym,
    /// The call site.
    pub site: Sym,
    /// The arm; [`Sym::NONE`] for what concerns all.
    pub arm: Sym,
    /// The look, or when the new value was first seen.
    pub at: Nanos,
    /// What it is.
    pub what: What,
}

/// What changed.
#[derive(Clone, PartialEq, Debug)]
pub enum What {
    /// The state of a verdict that decides.
    Verdict {
        /// The metric.
        metric: Sym,
        /// The grader of its scores.
        grader: Sym,
        /// The state before.
        was: Option<State>,
    },
    /// Something in the arm.
    Change(ChangeEvent),
}

/// What looks remember of a site.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct SiteWatch {
    arms: BTreeMap<Sym, ArmWatch>,
    /// What changed, oldest first.
    pub changes: Vec<ChangeEvent>,
    /// Of these, what was added by the entry that is being applied.
    #[serde(skip)]
    fresh: Vec<ChangeEvent>,
}

/// What looks remember of an arm at a site.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
struct ArmWatch {
    /// Facet sets that the arm is known to serve.
    established: BTreeSet<SetId>,
    /// Observed values by field, oldest first.
    observed: BTreeMap<crate::model::Field, Vec<String>>,
}

/// Something changed inside an arm.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ChangeEvent {
    /// When the new value was first seen.
    pub at: Nanos,
    /// The arm; [`Sym::NONE`] for what concerns all.
    pub arm: Sym,
    /// Path of the field, or `epoch`.
    pub field: String,
    /// What it was.
    pub from: Option<String>,
    /// What it is.
    pub to: Option<String>,
}

/// What a look rests on.
pub struct Scene<'a> {
    /// Settings and decisions.
    pub context: &'a Context,
    /// Names and sets.
    pub dictionary: &'a Dictionary,
    /// Sums.
    pub tally: &'a Tally,
    /// Counts over all traces.
    pub census: &'a Census,
    /// Log time.
    pub now: Nanos,
}

// === impl Watch ===

impl Watch {
    /// Looks at the sums when minute `closed` is over; says what has to be settled.
    pub fn look(&mut self, closed: u32, scene: &Scene<'_>) -> Vec<Decision> {
        self.looked = closed;
        let mut out = Vec::new();
        adopt_flags(scene, &mut out);
        let experiments: Vec<Sym> = scene.context.experiments.keys().copied().collect();
        for experiment in experiments {
            settle_control(experiment, scene, &mut out);
            settle_unit(experiment, scene, &mut out);
            for site in sites(experiment, scene.tally) {
                let watch = self.sites.entry((experiment, site)).or_default();
                changes::note_observed(watch, experiment, site, scene);
                epochs::look(watch, experiment, site, closed, scene, &mut out);
                demote(experiment, site, scene, &mut out);
            }
            self.remember(experiment, closed, scene);
        }
        number(scene.context, out)
    }

    /// Estimates and verdicts on the sums as they are.
    pub fn assess<'a>(&self, experiment: Sym, scene: &Scene<'a>) -> Assessment<'a> {
        assess(experiment, scene, self.verdicts.get(&experiment))
    }

    /// What looks remember of an experiment's verdicts.
    pub fn memory(&self, experiment: Sym) -> Option<&ExperimentMemory> {
        self.verdicts.get(&experiment)
    }

    /// Looks at an experiment: what was never as clear as now, what is breached from now on.
    fn remember(&mut self, experiment: Sym, closed: u32, scene: &Scene<'_>) {
        let found = self.assess(experiment, scene);
        let mut room = HISTORIES_MAX
            .saturating_sub(self.verdicts.values().map(ExperimentMemory::histories).sum());
        let memory = self.verdicts.entry(experiment).or_default();
        memory.ratio_log_e = found.ratio_log_e;
        for site in &found.sites {
            for arm in &site.arms {
                for line in arm.lines.iter().filter(|line| line.ruling.is_some()) {
                    let key = line.key(site, arm.arm);
                    let own = memory.lines.entry(key).or_default();
                    let before = (own.since > 0).then_some(own.state);
                    note(own, line, site, closed, &mut room);
                    if site.current && line.part.is_some() && is_news(before, own.state) {
                        let (metric, grader) = (key.metric, key.grader.name);
                        let what = What::Verdict { metric, grader, was: before };
                        let (site, arm, at) = (site.site, arm.arm, own.since);
                        self.told.push(Told { experiment, site, arm, at, what });
                    }
                }
            }
        }
        self.detect(experiment, &found, closed, scene);
        self.verdicts.entry(experiment).or_default().bound();
    }

    /// Feeds the detectors of what decides; a change that they find goes on the time line.
    fn detect(&mut self, experiment: Sym, found: &Assessment<'_>, closed: u32, scene: &Scene<'_>) {
        for site in found.sites.iter().filter(|site| site.current && site.decides) {
            for arm in &site.arms {
                for line in arm.lines.iter().filter(|line| line.part.is_some()) {
                    let until = closed.saturating_sub(lag(line, scene));
                    let memory = self.verdicts.entry(experiment).or_default();
                    let own = memory.lines.entry(line.key(site, arm.arm)).or_default();
                    let drift = own.drift.get_or_insert_default();
                    let Some(alarm) = drift.feed(&line.line, &arm.pool, until) else { continue };
                    let watch = self.sites.entry((experiment, site.site)).or_default();
                    watch.push(ChangeEvent {
                        at: u64::from(alarm.onset) * MINUTE,
                        arm: arm.arm,
                        field: format!("drift.{}", line.line.definition.name),
                        from: Some(alarm.before),
                        to: Some(alarm.after),
                    });
                }
            }
        }
    }

    /// Takes note of an applied decision.
    pub fn decided(&mut self, decision: &Decision, scene: &Scene<'_>) {
        if let Settled::Epoch { epoch, minute } = decision.what {
            let watch = self.sites.entry((decision.experiment, decision.site)).or_default();
            let (experiment, site) = (decision.experiment, decision.site);
            epochs::opened(watch, experiment, site, self.looked, epoch, minute, scene);
        }
    }

    /// What there is to tell since this was asked last.
    pub fn take_told(&mut self) -> Vec<Told> {
        let mut told = std::mem::take(&mut self.told);
        for ((experiment, site), watch) in &mut self.sites {
            told.extend(std::mem::take(&mut watch.fresh).into_iter().map(|change| Told {
                experiment: *experiment,
                site: *site,
                arm: change.arm,
                at: change.at,
                what: What::Change(change),
            }));
        }
        told
    }

    /// Changes of a site, oldest first.
    pub fn changes(&self, experiment: Sym, site: Sym) -> &[ChangeEvent] {
        self.sites.get(&(experiment, site)).map_or(&[], |watch| &watch.changes)
    }
}

/// Whether a state is news: another one than before, or a first one that says something.
fn is_news(before: Option<State>, now: State) -> bool {
    match before {
        Some(before) => before != now,
        None => !matches!(now, State::Insufficient | State::Inconclusive),
    }
}

/// Minutes after which a minute of a metric is complete.
fn lag(line: &Assessed<'_>, scene: &Scene<'_>) -> u32 {
    if line.line.scored.is_none() {
        return 0;
    }
    let after =
        line.line.definition.metric.matures_after.unwrap_or(scene.context.settings.matures_after);
    minute_of(after.0) + 1
}

/// Notes a line at a look.
fn note(
    own: &mut LineMemory,
    line: &Assessed<'_>,
    site: &SiteAssessment<'_>,
    closed: u32,
    room: &mut usize,
) {
    let Some(ruling) = &line.ruling else { return };
    let at = u64::from(closed + 1) * MINUTE;
    own.note(ruling.state, line.compared.as_ref().and_then(|c| c.log_e), at);
    let Some(compared) = &line.compared else { return };
    let (lower, upper) = (compared.interval.lower, compared.interval.upper);
    let look = Look { minute: closed, estimate: compared.estimate, lower, upper };
    if ruling.state == State::Breached && own.latch.is_none() {
        let reason = ruling.reasons.first().copied().unwrap_or(Reason::AboveMargin);
        own.latch = Some(Latch { at, reason, look });
    }
    let drawn = line.part.is_some() || line.line.definition.declared;
    if !site.current || !drawn || (own.history.is_empty() && *room == 0) {
        return;
    }
    *room -= usize::from(own.history.is_empty());
    own.look(look);
}

impl SiteWatch {
    fn push(&mut self, event: ChangeEvent) {
        if self.changes.contains(&event) {
            return;
        }
        self.fresh.push(event.clone());
        self.changes.push(event);
        self.changes.sort_by_key(|event| event.at);
        if self.changes.len() > CHANGES_MAX {
            self.changes.remove(0);
        }
    }
}

/// Epochs for experiments whose planned split changed.
pub fn splits_changed(changed: impl Iterator<Item = Sym>, scene: &Scene<'_>) -> Vec<Decision> {
    number(scene.context, changed.flat_map(|e| epochs::split_changed(e, scene)).collect())
}

/// Sites of an experiment.
pub fn sites(experiment: Sym, tally: &Tally) -> BTreeSet<Sym> {
    tally.runs_of(experiment).map(|pair| pair.0.site).collect()
}

/// Arms of an experiment with the earliest end of a call.
pub fn arms(experiment: Sym, tally: &Tally) -> BTreeMap<Sym, Nanos> {
    let mut arms = BTreeMap::new();
    for (key, run) in tally.runs_of(experiment) {
        let first = run.seen.map_or(Nanos::MAX, |seen| seen.0);
        let known = arms.entry(key.arm).or_insert(first);
        *known = first.min(*known);
    }
    arms
}

/// A flag becomes an experiment when two of its variants were seen on traces with calls.
fn adopt_flags(scene: &Scene<'_>, out: &mut Vec<Decision>) {
    let settings = &scene.context.settings;
    if !settings.experiments_auto {
        return;
    }
    let mut variants: BTreeMap<Sym, u32> = BTreeMap::new();
    scene.census.flags.keys().for_each(|(flag, _)| *variants.entry(*flag).or_default() += 1);
    for (flag, count) in variants {
        let name = scene.dictionary.text(flag);
        let known = scene.dictionary.knows(flag);
        if count >= 2 && known && settings.flags.takes(name) {
            out.push(unnumbered(flag, Sym::NONE, Settled::Experiment));
        }
    }
}

/// The arm named like a control, else the one first seen; once two arms are known.
fn settle_control(experiment: Sym, scene: &Scene<'_>, out: &mut Vec<Decision>) {
    let arms = arms(experiment, scene.tally);
    let state = &scene.context.experiments[&experiment];
    if state.control.is_some() || arms.len() < 2 {
        return;
    }
    let named = ["control", "baseline", "off", "A"].map(Sym::of);
    let by_name = named.into_iter().find(|name| arms.contains_key(name));
    let first = || arms.iter().min_by_key(|(arm, at)| (**at, **arm)).map(|pair| *pair.0);
    if let Some(control) = by_name.or_else(first) {
        out.push(unnumbered(experiment, Sym::NONE, Settled::Control(control)));
    }
}

/// The kind of unit that most of the first calls have.
fn settle_unit(experiment: Sym, scene: &Scene<'_>, out: &mut Vec<Decision>) {
    if scene.context.experiments[&experiment].unit.is_some() {
        return;
    }
    let kinds = kinds(experiment, scene.tally);
    if kinds.values().sum::<i64>() < CALLS_FOR_UNIT {
        return;
    }
    if let Some((kind, _)) = kinds.into_iter().max_by_key(|pair| pair.1) {
        out.push(unnumbered(experiment, Sym::NONE, Settled::Unit(kind)));
    }
}

/// Calls of an experiment by kind of unit.
pub fn kinds(experiment: Sym, tally: &Tally) -> BTreeMap<UnitKind, i64> {
    let mut kinds = BTreeMap::new();
    for (_, run) in tally.runs_of(experiment) {
        run.kinds.iter().for_each(|(kind, n)| *kinds.entry(*kind).or_default() += n);
    }
    kinds
}

/// A facet with too many values in an arm no longer splits runs.
fn demote(experiment: Sym, site: Sym, scene: &Scene<'_>, out: &mut Vec<Decision>) {
    let max = scene.context.settings.limits.facet_values_max as usize;
    let identity = scene.context.identity(experiment);
    let mut values: BTreeMap<(Sym, crate::model::Field), BTreeSet<String>> = BTreeMap::new();
    let mut sets: BTreeMap<Sym, usize> = BTreeMap::new();
    let runs = || scene.tally.runs_of(experiment).filter(|pair| pair.0.site == site);
    runs().for_each(|(key, run)| *sets.entry(key.arm).or_default() += run.full.len());
    // Most arms have few sets: only crowded ones are looked at value by value.
    for (key, run) in runs().filter(|pair| sets[&pair.0.arm] > max) {
        for set in run.full.keys() {
            for (field, value) in scene.dictionary.set(*set).iter() {
                if identity.identifies(field) {
                    values.entry((key.arm, field)).or_default().insert(value.display());
                }
            }
        }
    }
    let crowded: BTreeSet<_> =
        values.iter().filter(|row| row.1.len() > max).map(|row| row.0.1).collect();
    for field in crowded {
        out.push(unnumbered(experiment, Sym::NONE, Settled::Demoted(field)));
    }
}

fn unnumbered(experiment: Sym, site: Sym, what: Settled) -> Decision {
    Decision { experiment, site, number: 0, what }
}

/// Numbers decisions densely per experiment and site, after the last applied one.
fn number(context: &Context, decisions: Vec<Decision>) -> Vec<Decision> {
    let mut next: BTreeMap<(Sym, Sym), u32> = BTreeMap::new();
    let mut out: Vec<Decision> = Vec::new();
    for mut decision in decisions {
        let same = |known: &Decision| {
            (known.experiment, known.site, &known.what)
                == (decision.experiment, decision.site, &decision.what)
        };
        if out.iter().any(same) {
            continue;
        }
        let state = context.experiments.get(&decision.experiment);
        let last = state.and_then(|state| state.decided.get(&decision.site)).copied();
        let count = next.entry((decision.experiment, decision.site)).or_default();
        *count += 1;
        decision.number = last.unwrap_or(0) + *count;
        out.push(decision);
    }
    out
}
