//! Views: what `watch` publishes. Everything outside reads these documents and nothing else;
//! each is a function of the state, so equal logs give equal documents.

mod bands;
mod cut;
mod distribution;
mod evidence;
mod experiment;
mod links;
mod metrics;
mod observed;
mod ratio;
mod record;
mod series;

pub use series::Query;

use super::Engine;
use super::estimate::Pool;
use super::fact::{ArmKey, RunKey};
use super::join::per_key::PerKey;
use super::tally::run::Run;
use super::watch::assess::{ArmAssessment, Assessment, SiteAssessment};
use crate::identify;
use crate::model::canonical::{jcs, sha256_text};
use crate::model::view::Counts;
use crate::model::{Nanos, SECOND, SetId, Sym, View};
use std::collections::BTreeMap;

/// Runs that are shown as one: the set under which they are shown, and all that was folded in.
pub(super) struct Shown<'a> {
    /// The identifying set.
    pub set: SetId,
    /// All sums but buckets and windows.
    pub run: Run,
    /// The runs as they are.
    pub pool: Pool<'a>,
    /// Contained in several others.
    pub partial: bool,
    /// The exact sets that were folded in.
    members: Vec<SetId>,
}

/// An arm at a site in an epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Place {
    pub experiment: Sym,
    pub site: Sym,
    pub arm: Sym,
    pub epoch: u32,
}

/// Runs within which a unit counts once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Group {
    /// A run as it is shown.
    Run(Place, SetId),
    /// An arm at a site in an epoch.
    Arm(Place),
    /// The same over all epochs; its epoch is 0.
    AllEpochs(Place),
}

/// What the documents of one view share.
pub(super) struct Picture<'a> {
    pub engine: &'a Engine,
    /// Hash of the settings in force.
    pub config: String,
    shown: BTreeMap<Place, Vec<Shown<'a>>>,
    units: BTreeMap<(Group, Sym), i64>,
    assessments: BTreeMap<Sym, Assessment<'a>>,
}

impl<'a> Picture<'a> {
    /// Of everything, or of one experiment.
    fn new(engine: &'a Engine, only: Option<Sym>) -> Self {
        let mut runs: BTreeMap<Place, Vec<(SetId, &'a Run)>> = BTreeMap::new();
        let wanted = |experiment: Sym| only.is_none_or(|only| only == experiment);
        let counted = |pair: &(&RunKey, &'a Run)| pair.1.calls > 0 && wanted(pair.0.experiment);
        for (key, run) in engine.tally.runs().filter(counted) {
            runs.entry(Place::of(key)).or_default().push((key.set, run));
        }
        let shown: BTreeMap<Place, Vec<Shown<'a>>> =
            runs.into_iter().map(|(place, runs)| (place, engine.shown(&runs))).collect();
        let units = distinct(engine, &shown);
        let scene = engine.scene();
        let known = engine.context.experiments.keys().filter(|e| wanted(**e));
        let assessments = known.map(|e| (*e, engine.watch.assess(*e, &scene))).collect();
        Picture { engine, config: engine.config_hash(), shown, units, assessments }
    }

    /// Estimates and verdicts of an experiment.
    pub fn assessment(&self, experiment: Sym) -> Option<&Assessment<'a>> {
        self.assessments.get(&experiment)
    }

    /// Estimates and verdicts of an arm.
    pub fn assessed(&self, place: Place) -> Option<(&SiteAssessment<'a>, &ArmAssessment<'a>)> {
        let sites = &self.assessment(place.experiment)?.sites;
        let site = sites.iter().find(|s| (s.site, s.epoch) == (place.site, place.epoch))?;
        Some((site, site.arms.iter().find(|arm| arm.arm == place.arm)?))
    }

    /// Seconds for which calls of a site and epoch have been seen.
    pub fn seconds(&self, place: Place) -> f64 {
        let same = |p: &&Place| {
            (p.experiment, p.site, p.epoch) == (place.experiment, place.site, place.epoch)
        };
        let seen = self.shown.keys().filter(same).flat_map(|p| self.shown(*p));
        let seen = seen.filter_map(|shown| shown.run.seen);
        let ends = seen.fold((Nanos::MAX, 0), |all, one| (all.0.min(one.0), all.1.max(one.1)));
        ends.1.saturating_sub(ends.0) as f64 / 1e9
    }

    /// Runs at a place as they are shown; the busiest first.
    pub fn shown(&self, place: Place) -> &[Shown<'a>] {
        self.shown.get(&place).map_or(&[], |list| list)
    }

    /// Places of an experiment, in the order of site, arm and epoch.
    pub fn places(&self, experiment: Sym) -> impl Iterator<Item = Place> {
        self.shown.keys().copied().filter(move |place| place.experiment == experiment)
    }

    /// Distinct units of a group: of its calls ([`Sym::NONE`]), or of scores.
    pub fn units(&self, group: Group, what: Sym) -> i64 {
        if let Group::Arm(Place { experiment, site, arm, epoch }) = group {
            return self.engine.tally.units_of(ArmKey { experiment, site, epoch, arm }, what);
        }
        self.units.get(&(group, what)).copied().unwrap_or(0)
    }
}

impl Place {
    fn of(key: &RunKey) -> Self {
        let RunKey { experiment, site, arm, epoch, .. } = *key;
        Place { experiment, site, arm, epoch }
    }

    /// The same place over all epochs.
    pub fn all_epochs(self) -> Self {
        Place { epoch: 0, ..self }
    }
}

/// Distinct units by group. A group of one run has the units of that run; only groups of several
/// need a walk over all units, because a unit of two runs counts once.
fn distinct(
    engine: &Engine,
    shown: &BTreeMap<Place, Vec<Shown<'_>>>,
) -> BTreeMap<(Group, Sym), i64> {
    let mut members: BTreeMap<Group, Vec<(RunKey, &Run)>> = BTreeMap::new();
    for (key, run) in engine.tally.runs() {
        for group in groups(key, shown) {
            members.entry(group).or_default().push((*key, run));
        }
    }
    let mut out = BTreeMap::new();
    let mut of_run: BTreeMap<RunKey, Vec<Group>> = BTreeMap::new();
    for (group, runs) in members {
        if let [(_, run)] = runs.as_slice() {
            let units = run.units_by_measure();
            out.extend(units.into_iter().map(|(what, count)| ((group, what), count)));
            continue;
        }
        runs.iter().for_each(|(key, _)| of_run.entry(*key).or_default().push(group));
    }
    if !of_run.is_empty() {
        out.extend(engine.tally.distinct(|key| of_run.get(key).cloned().unwrap_or_default()));
    }
    out
}

/// The groups that need a count of their own; that of an arm is kept by the register.
fn groups(key: &RunKey, shown: &BTreeMap<Place, Vec<Shown<'_>>>) -> Vec<Group> {
    let place = Place::of(key);
    let own = |list: &&Shown<'_>| list.members.contains(&key.set);
    let run = shown.get(&place).and_then(|list| list.iter().find(own));
    let run = run.map(|run| Group::Run(place, run.set));
    std::iter::once(Group::AllEpochs(place.all_epochs())).chain(run).collect()
}

impl Engine {
    /// Everything there is to see at this position.
    pub fn view(&self) -> View {
        let picture = Picture::new(self, None);
        let experiments: Vec<Sym> = self.visible();
        let runs = experiments.iter().flat_map(|e| record::records(&picture, *e)).collect();
        View {
            position: self.position,
            log_time: self.log_time,
            config: picture.config.clone(),
            experiments: experiments.iter().map(|e| experiment::experiment(&picture, *e)).collect(),
            runs,
            bands: bands::bands(&picture),
            distributions: distribution::distributions(&picture, &experiments),
            counts: self.counts(),
        }
    }

    /// Hash of the settings in force.
    pub fn config_hash(&self) -> String {
        let json = serde_json::to_value(&self.context.settings).unwrap_or_default();
        sha256_text(jcs(&json).as_bytes())
    }

    /// Experiments with data or in the config, by name.
    fn visible(&self) -> Vec<Sym> {
        let mut list: Vec<Sym> = self.context.experiments.keys().copied().collect();
        let seen = self.tally.runs().map(|pair| pair.0.experiment);
        list.extend(seen);
        list.sort_by_key(|e| self.experiment_name(*e));
        list.dedup();
        list
    }

    pub(super) fn experiment_name(&self, experiment: Sym) -> String {
        let known = self.context.experiments.get(&experiment).map(|state| state.name.as_str());
        let known = known.filter(|name| !name.is_empty());
        known.unwrap_or_else(|| self.dictionary.text(experiment)).to_owned()
    }

    /// Partial runs of one place folded; the busiest first.
    fn shown<'a>(&self, runs: &[(SetId, &'a Run)]) -> Vec<Shown<'a>> {
        let facets: Vec<_> = runs.iter().map(|pair| self.dictionary.set(pair.0)).collect();
        let sets: Vec<_> =
            runs.iter().zip(&facets).map(|((id, run), set)| (*id, &**set, run.calls)).collect();
        let mut shown: BTreeMap<SetId, Shown<'a>> = BTreeMap::new();
        for (folded, (_, run)) in identify::fold(&sets).into_iter().zip(runs) {
            let members = Vec::new();
            let (set, run_of, pool) = (folded.into, Run::default(), Pool::default());
            let empty = || Shown { set, run: run_of, pool, partial: false, members };
            let into = shown.entry(folded.into).or_insert_with(empty);
            into.run.pool(run);
            into.partial |= folded.partial;
            into.members.push(folded.set);
            into.pool.runs.push(run);
        }
        let mut list: Vec<Shown<'a>> = shown.into_values().collect();
        list.sort_by_key(|shown| (-shown.run.calls, shown.set));
        list
    }

    /// The id of the run under which the facts of a key are shown, after folding.
    pub fn run_of(&self, key: &RunKey) -> Option<String> {
        let runs: Vec<(SetId, i64)> = self
            .tally
            .runs_of(key.experiment)
            .filter(|(k, _)| (k.site, k.arm, k.epoch) == (key.site, key.arm, key.epoch))
            .map(|(k, run)| (k.set, run.calls))
            .collect();
        let facets: Vec<_> = runs.iter().map(|pair| self.dictionary.set(pair.0)).collect();
        let sets: Vec<_> = runs.iter().zip(&facets).map(|(r, set)| (r.0, &**set, r.1)).collect();
        let folded = identify::fold(&sets).into_iter().find(|folded| folded.set == key.set)?;
        let (arm, site) = (self.dictionary.text(key.arm), self.dictionary.text(key.site));
        let experiment = self.experiment_name(key.experiment);
        Some(record::run_id(self, &experiment, arm, site, folded.into))
    }

    fn counts(&self) -> Counts {
        let (census, counts) = (&self.join.census, &self.join.counts);
        let gauge = |n: i64| u64::try_from(n).unwrap_or(0);
        let named = |map: &PerKey<Sym>| {
            map.iter().map(|(s, n)| (self.dictionary.text(*s).to_owned(), gauge(n))).collect()
        };
        let mut limits = counts.limits.clone();
        limits.extend(self.tally.refused());
        if self.dictionary.refused() > 0 {
            limits.insert("names_max".into(), self.dictionary.refused());
        }
        let (tallies, units) = self.tally.bytes();
        let sealed = self.join.parts().bytes();
        let bytes = [
            ("join", self.join.bytes()),
            ("sealed", sealed),
            ("tallies", tallies),
            ("units", units),
        ];
        let floor = self.log_time.saturating_sub(self.context.settings.horizon.0);
        let known = self.log_time.saturating_sub(floor.max(self.join.floor()));
        Counts {
            observations: counts.observations.iter().map(|row| (row.0.to_owned(), row.1)).collect(),
            calls: gauge(census.calls),
            with_arm: gauge(census.with_arm),
            with_score: gauge(census.with_score),
            unassigned: gauge(census.calls - census.with_arm),
            parked: gauge(census.parked),
            waiting_scores: self.join.waiting_scores(),
            orphaned: counts.orphaned.clone(),
            duplicates: counts.duplicates,
            conflicts: counts.conflicts,
            late: counts.late,
            wrappers: named(&census.wrappers),
            judge_calls: gauge(census.judges),
            conflicting_traces: census.conflicts.values().map(gauge).sum(),
            limits,
            bytes: bytes.map(|(name, n)| (name.to_owned(), n)).into_iter().collect(),
            horizon_s: known / SECOND,
        }
    }
}

/// RFC 3339 in UTC, with as many digits of a second as are needed.
pub(super) fn time_text(at: Nanos) -> String {
    let nanos = i64::try_from(at).unwrap_or(i64::MAX);
    jiff::Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or_default().to_string()
}
