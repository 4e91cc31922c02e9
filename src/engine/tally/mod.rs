//! `tally`: facts by unit. Integer sums per run and measure that merge by addition and can be
//! taken back exactly; the unit register; and the limits on how many runs there may be.

mod batch;
pub mod buckets;
pub mod cells;
pub mod exemplars;
mod groups;
pub mod histogram;
pub mod measures;
mod place;
pub mod register;
pub mod run;
mod runs;
mod summary;
pub mod windows;

use super::changes::Changes;
use super::dictionary::OVERFLOW;
use super::fact::{ArmKey, Draw, Exposure, Fact, FactBody, RunKey};
use super::join::Key;
use super::spare::Spare;
use crate::model::Finish;
use crate::model::metric::Origin;
use crate::model::observation::Grader;
use crate::model::settings::Limits;
use crate::model::shelf::{Batch, Record};
use crate::model::{Sym, UnitKind};
use buckets::Buckets;
use groups::Groups;
use place::Sighting;
use register::{Register, SCORES_FROM, Units, event_of};
use run::Run;
use runs::Runs;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// All sums.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    runs: Runs,
    register: Register,
    admitted: Admitted,
    bytes: u64,
    /// Facts since the size was last measured.
    unweighed: u32,
    #[serde(skip)]
    groups: Spare<Groups>,
}

/// What the surplus of experiments and arms is called.
const OTHER: &str = "other";
/// Facts after which the size is measured anew.
const WEIGH_EVERY: u32 = 16_384;

/// Names that found room. A name, once admitted, stays: what was added under `other` must be
/// taken back under `other`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
struct Admitted {
    experiments: BTreeSet<Sym>,
    arms: BTreeSet<(Sym, Sym)>,
    arm_counts: BTreeMap<Sym, u32>,
    sets: BTreeMap<(Sym, Sym, Sym, u32), u32>,
    refused: BTreeMap<String, u64>,
    /// Memory ran out once: no new runs from then on.
    closed: bool,
}

// === impl Tally ===

impl Tally {
    /// Applies the changes of an entry.
    pub fn apply_all(&mut self, changes: &Changes, limits: &Limits) {
        let mut groups = std::mem::take(&mut *self.groups);
        groups.last = None;
        self.glance(changes);
        changes.exposures.iter().for_each(|exposure| self.expose(exposure));
        let mut noted = 0;
        for (at, (fact, sign)) in changes.facts().enumerate() {
            let (key, index) = self.add(fact, sign, limits, at, &mut groups);
            if fact.kind == UnitKind::Trace {
                continue;
            }
            let to = To { key, index, sign };
            if at >= noted {
                noted = at + alike(changes, at);
                self.note(fact, &to, (noted - at) as u32);
            }
            self.note_events(fact, &to);
        }
        for group in groups.drain() {
            batch::add_calls(self.runs.entry(group.run, group.index), changes, &group.places);
        }
        for (key, index) in groups.touched.drain(..) {
            let empty = |run: &Run| run.calls == 0 && run.measures.is_empty();
            if self.runs.get(index).is_some_and(empty) {
                self.runs.remove(&key, index);
            }
        }
        *self.groups = groups;
    }

    /// Adds a fact to the sums of its run, which it gives.
    fn add(
        &mut self,
        fact: &Fact,
        sign: i64,
        limits: &Limits,
        at: usize,
        groups: &mut Groups,
    ) -> (RunKey, u32) {
        // Facts of one run mostly come one after the other.
        let (key, index) = match groups.last {
            Some((run, place)) if run == fact.run => place,
            _ => self.place(fact.run, limits),
        };
        groups.last = Some((fact.run, (key, index)));
        self.unweighed += 1;
        if self.unweighed > WEIGH_EVERY {
            self.weigh(limits);
        }
        match &fact.body {
            FactBody::Call(_) => groups.put(key, index, fact.end, at as u32),
            _ => self.runs.entry(key, index).add(fact, sign),
        }
        groups.touch(key, index, sign);
        (key, index)
    }

    /// Notes the unit of a fact, and of `count - 1` that follow it and are alike.
    fn note(&mut self, fact: &Fact, to: &To, count: u32) {
        let Some(what) = register_as(fact) else { return };
        let units = self.register.note(&to.sighting(fact, what), to.sign, count);
        if units != 0 {
            add_units(self.runs.entry(to.key, to.index), fact, units);
        }
    }

    fn note_events(&mut self, fact: &Fact, to: &To) {
        for what in events(fact) {
            self.register.note(&to.sighting(fact, what), to.sign, 1);
        }
    }

    /// Looks at all units once, one after the other with nothing in between: the waits for memory
    /// overlap, and adding finds them near.
    fn glance(&self, changes: &Changes) {
        let mut last = None;
        self.register.glance(changes.facts().filter_map(move |(fact, _)| {
            let unit = (fact.run.experiment, fact.unit);
            (last.replace(unit) != Some(unit)).then_some(unit)
        }));
    }

    /// Units that have to be read before these changes can be applied, or are nowhere.
    pub fn needed(&self, changes: &Changes, limits: &Limits) -> Vec<Key> {
        let (mut keys, mut last) = (Vec::new(), None);
        if self.register.holds_all() {
            return keys;
        }
        let exposed = changes.exposures.iter().map(|one| (None, (one.experiment, one.unit)));
        let facts = changes.facts().map(|row| row.0).filter(|fact| fact.kind != UnitKind::Trace);
        let counted = facts.map(|fact| (Some(&fact.run), (fact.run.experiment, fact.unit)));
        for (run, unit) in exposed.chain(counted) {
            // The calls of a trace have one unit, and come one after the other.
            if last.replace(unit) == Some(unit) {
                continue;
            }
            let experiment = run.map_or(unit.0, |run| self.summed_as(run, limits));
            let key = Key::Unit(experiment, unit.1);
            if !self.register.knows(experiment, unit.1) {
                keys.push(key);
            }
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Under which experiment a run is summed.
    fn summed_as(&self, run: &RunKey, limits: &Limits) -> Sym {
        let known = self.register.known_run(run).is_some_and(|index| self.runs.has(index));
        if known { run.experiment } else { self.admitted.experiment(run.experiment, limits) }
    }

    /// Takes the units out, which are written for themselves.
    pub fn take_units(&mut self) -> Units {
        self.register.take_units()
    }

    /// Puts them back.
    pub fn put_units(&mut self, units: Units) {
        self.register.put_units(units);
    }

    /// Takes a unit back into memory.
    pub fn admit_unit(&mut self, record: &Record) {
        self.register.admit(record);
    }

    /// Lets units go that were not seen lately, when the register takes too much.
    pub fn seal(&mut self, limits: &Limits) -> Option<Batch> {
        self.register.seal(limits.unit_cache_bytes)
    }

    /// Measures its size anew, which is too slow for every fact.
    fn weigh(&mut self, limits: &Limits) {
        self.unweighed = 0;
        self.bytes = self.runs.iter().map(|row| row.1.bytes()).sum();
        self.admitted.closed |= self.bytes > limits.tally_bytes_max;
    }

    fn expose(&mut self, exposure: &Exposure) {
        let run =
            RunKey { experiment: exposure.experiment, arm: exposure.arm, ..RunKey::default() };
        let Exposure { unit, at, draw, .. } = *exposure;
        let covariate = None;
        let index = self.register.run_index(run);
        let seen = Sighting { run, index, what: Sym::NONE, unit, at, draw, covariate };
        self.register.expose(&seen);
    }

    /// The run under which a fact is summed, and its number: its own, or what stands for the
    /// surplus.
    fn place(&mut self, run: RunKey, limits: &Limits) -> (RunKey, u32) {
        if let Some(index) = self.register.known_run(&run)
            && self.runs.has(index)
        {
            return (run, index);
        }
        let run = self.admitted.admit(run, limits);
        let index = self.register.run_index(run);
        self.runs.entry(run, index);
        (run, index)
    }

    /// Runs with their sums.
    pub fn runs(&self) -> impl Iterator<Item = (&RunKey, &Run)> {
        self.runs.iter()
    }

    /// Runs of one experiment.
    pub fn runs_of(&self, experiment: Sym) -> impl Iterator<Item = (&RunKey, &Run)> {
        let from = RunKey { experiment, ..RunKey::default() };
        self.runs.from(from).take_while(move |pair| pair.0.experiment == experiment)
    }

    /// Distinct units by group of runs and by what was counted: calls, or scores.
    pub fn distinct<G: Ord + Copy + std::hash::Hash>(
        &self,
        groups: impl Fn(&RunKey) -> Vec<G>,
    ) -> BTreeMap<(G, Sym), i64> {
        self.register.distinct(groups)
    }

    /// Units by experiment and arm of first exposure.
    pub fn exposed(&self, experiment: Sym) -> BTreeMap<Sym, i64> {
        let mut arms = BTreeMap::new();
        for (arm, _, count) in self.exposed_by_draw(experiment) {
            *arms.entry(arm).or_default() += count;
        }
        arms
    }

    /// Units by arm of first exposure and how they were drawn then.
    pub fn exposed_by_draw(&self, experiment: Sym) -> impl Iterator<Item = (Sym, Draw, i64)> {
        self.register
            .exposed
            .range((experiment, Sym::NONE, Draw::default())..)
            .take_while(move |row| row.0.0 == experiment)
            .map(|row| (row.0.1, row.0.2, *row.1))
    }

    /// Distinct units of an arm: of its calls ([`Sym::NONE`]), or of scores ([`scored_as`]).
    pub fn units_of(&self, arm: ArmKey, what: Sym) -> i64 {
        self.register.of_arm.get(&(arm, what)).copied().unwrap_or(0)
    }

    /// Covariates of an arm's units by bucket: their sum in millionths, and how many units.
    pub fn covariates_of(&self, arm: ArmKey) -> Option<&Buckets> {
        self.register.covariates.get(&arm)
    }

    /// Units of an arm with an event of a rate, by how they were drawn at first.
    pub fn events_of(&self, arm: ArmKey, origin: Origin) -> impl Iterator<Item = (Draw, i64)> {
        let what = event_of(origin).unwrap_or(Sym(u64::MAX));
        let rows = self.register.events.range(
            (arm, what, Draw::default())..=(arm, what, Draw { plan: u32::MAX, chance: u16::MAX }),
        );
        rows.map(|row| (row.0.2, *row.1))
    }

    /// Units with two arms, by arm; [`Sym::NONE`] holds each unit once.
    pub fn crossovers(&self, experiment: Sym) -> impl Iterator<Item = (Sym, i64)> {
        of_experiment(&self.register.crossovers, experiment)
    }

    /// Limits that were hit, by name.
    pub fn refused(&self) -> BTreeMap<String, u64> {
        self.admitted.refused.clone()
    }

    /// Estimated bytes of the tallies and of the register.
    pub fn bytes(&self) -> (u64, u64) {
        (self.bytes, self.register.bytes())
    }

    /// Adds all of another partition. Their units are disjoint, so counts of units add.
    pub fn merge(&mut self, other: &Tally) {
        for (key, run) in other.runs.iter() {
            let index = self.register.run_index(*key);
            self.runs.entry(*key, index).merge(run);
        }
        self.register.merge_counts(&other.register);
    }
}

/// As what a fact is noted in the unit register: calls, or scores of one grader.
fn register_as(fact: &Fact) -> Option<Sym> {
    match &fact.body {
        FactBody::Call(_) => Some(Sym::NONE),
        FactBody::Score { name, grader, value_micro: Some(_), .. } => {
            Some(scored_as(*name, grader))
        }
        FactBody::Score { .. } | FactBody::Coverage { .. } => None,
    }
}

/// Where a fact is summed.
struct To {
    key: RunKey,
    index: u32,
    sign: i64,
}

impl To {
    fn sighting(&self, fact: &Fact, what: Sym) -> Sighting {
        let Fact { unit, end: at, draw, covariate, .. } = *fact;
        Sighting { run: self.key, index: self.index, what, unit, at, draw, covariate }
    }
}

/// How many calls that are added one after the other, from this place on, the register notes alike:
/// of one unit in one run, none of them earlier than the first.
fn alike(changes: &Changes, from: usize) -> usize {
    let call = |at: usize| {
        let (fact, sign) = changes.get(at)?;
        (matches!(fact.body, FactBody::Call(_)) && sign > 0).then_some(fact)
    };
    let Some(first) = call(from) else { return 1 };
    let same = |fact: &Fact| {
        (fact.unit, fact.kind) == (first.unit, first.kind)
            && fact.run == first.run
            && fact.end >= first.end
    };
    1 + (from + 1..).take_while(|at| call(*at).is_some_and(same)).count()
}

/// The events of a call, as what they are noted.
fn events(fact: &Fact) -> impl Iterator<Item = Sym> {
    const NOTED: u8 = Finish::CONTENT_FILTER.0 | Finish::LENGTH.0;
    let call = match &fact.body {
        FactBody::Call(call) if call.operation.is_completion() => Some(call),
        _ => None,
    };
    let call = call.filter(|call| call.failed || call.finish & NOTED != 0);
    let had = move |origin: Origin| {
        call.is_some_and(|call| match origin {
            Origin::Error => call.failed,
            Origin::Refusal => call.finish().has(Finish::CONTENT_FILTER),
            _ => call.finish().has(Finish::LENGTH),
        })
    };
    let rates = [Origin::Error, Origin::Refusal, Origin::Truncation];
    rates.into_iter().filter(move |origin| had(*origin)).filter_map(event_of)
}

/// As what scores of an evaluation by a grader are noted in the unit register.
pub fn scored_as(name: Sym, grader: &Grader) -> Sym {
    // Any mix does that tells the measures of one unit apart.
    Sym((name.0.rotate_left(17) ^ grader.name.0.rotate_left(31) ^ grader.version.0)
        .max(SCORES_FROM))
}

fn add_units(run: &mut Run, fact: &Fact, units: i64) {
    match &fact.body {
        FactBody::Score { name, grader, .. } => {
            let measure = crate::model::Measure::Score(*name, *grader);
            let sums = run.measures.entry(measure);
            sums.units += units;
            if sums.units == 0 && sums.n == 0 {
                run.measures.remove(measure);
            }
        }
        _ => run.units += units,
    }
}

fn of_experiment(
    map: &BTreeMap<(Sym, Sym), i64>,
    experiment: Sym,
) -> impl Iterator<Item = (Sym, i64)> {
    map.range((experiment, Sym::NONE)..)
        .take_while(move |pair| pair.0.0 == experiment)
        .map(|pair| (pair.0.1, *pair.1))
}

// === impl Admitted ===

impl Admitted {
    fn admit(&mut self, mut run: RunKey, limits: &Limits) -> RunKey {
        let other = Sym::of(OTHER);
        if !self.experiments.contains(&run.experiment) {
            if self.experiments.len() < limits.experiments_max as usize {
                self.experiments.insert(run.experiment);
            } else {
                self.refuse("experiments_max");
                run.experiment = other;
            }
        }
        if !self.arms.contains(&(run.experiment, run.arm)) {
            let count = self.arm_counts.entry(run.experiment).or_default();
            if *count < limits.arms_max {
                *count += 1;
                self.arms.insert((run.experiment, run.arm));
            } else {
                self.refuse("arms_max");
                run.arm = other;
            }
        }
        let live = self.sets.entry((run.experiment, run.site, run.arm, run.epoch)).or_default();
        if *live >= limits.runs_max || self.closed {
            let limit = if self.closed { "tally_bytes_max" } else { "runs_max" };
            self.refuse(limit);
            run.set = OVERFLOW;
        } else {
            *live += 1;
        }
        run
    }

    /// Under which experiment a fact of this one is summed.
    fn experiment(&self, experiment: Sym, limits: &Limits) -> Sym {
        let room = self.experiments.len() < limits.experiments_max as usize;
        let fits = room || self.experiments.contains(&experiment);
        if fits { experiment } else { Sym::of(OTHER) }
    }

    fn refuse(&mut self, limit: &str) {
        *self.refused.entry(limit.to_owned()).or_default() += 1;
    }
}
