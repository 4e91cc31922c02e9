//! The unit register: which units were given which arm, and in which runs they were seen.
//! Counts distinct units exactly and finds those with two arms; taking a call back undoes it.
//! Units that were not seen lately leave memory and are asked for when they come again; the
//! counts rest on none of them.

use super::buckets::{Buckets, bucket_of};
use super::place::{Place, Places, Sighting, Told, add, recount};
use super::summary::{Summary, runs_of, summary};
use crate::engine::fact::{ArmKey, Draw, RunKey};
use crate::engine::shards::Shards;
use crate::model::metric::Origin;
use crate::model::shelf::{Batch, Family, Part, Record, Value};
use crate::model::{Sym, UnitHash};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::collections::btree_map::{BTreeMap, Entry};
use std::hash::Hash;

/// Estimated bytes of a unit, with which the default limit leaves the parts of their map below the
/// size at which they would double, and of each of its places.
const UNIT_BYTES: u64 = 96;
const PLACE_BYTES: u64 = 64;
/// Events of calls, as what they are noted: below every hash of a name.
pub(super) const EVENTS: [(Origin, Sym); 3] =
    [(Origin::Error, Sym(1)), (Origin::Refusal, Sym(2)), (Origin::Truncation, Sym(3))];
/// From here on, what is noted is a score.
pub const SCORES_FROM: u64 = 16;

/// Units by experiment.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Register {
    #[serde(skip)]
    units: Units,
    /// Goes on with every note: says how long ago a unit was seen.
    turn: u64,
    /// The part in which units were sealed last.
    last: Part,
    runs: Vec<RunKey>,
    #[serde(with = "crate::engine::sorted")]
    index: HashMap<RunKey, u32>,
    /// Units by experiment, arm of first exposure, and how they were drawn then.
    pub exposed: BTreeMap<(Sym, Sym, Draw), i64>,
    /// Units with two arms, by experiment and arm; [`Sym::NONE`] holds each unit once.
    pub crossovers: BTreeMap<(Sym, Sym), i64>,
    /// Distinct units of an arm, by what was counted: calls, events, or scores.
    pub of_arm: BTreeMap<(ArmKey, Sym), i64>,
    /// Of the units with an event, how many were drawn how at first.
    pub events: BTreeMap<(ArmKey, Sym, Draw), i64>,
    /// Covariates of an arm's units by bucket: their sum in millionths, and how many units.
    pub covariates: BTreeMap<ArmKey, Buckets>,
    /// Units by what was counted of them and the runs, in order, in which it was.
    spread: BTreeMap<(Sym, Vec<u32>), i64>,
    bytes: u64,
}

/// Units in memory, by experiment.
pub type Units = Shards<(Sym, UnitHash), Unit>;

/// What is known of one unit.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Unit {
    places: Places,
    seen: u64,
}

/// As what the events of a rate are noted; `None` for what is no rate of rare events.
pub fn event_of(origin: Origin) -> Option<Sym> {
    EVENTS.iter().find(|pair| pair.0 == origin).map(|pair| pair.1)
}

// === impl Register ===

impl Register {
    /// Notes (`sign` 1) or takes back a fact of a unit; `count` of them, the others no earlier, when
    /// they are noted. Returns by how much the number of distinct units of this run and measure
    /// changed.
    pub fn note(&mut self, seen: &Sighting, sign: i64, count: u32) -> i64 {
        let run = seen.index;
        let key = (seen.run.experiment, seen.unit);
        if sign < 0 && !self.units.contains_key(&key) {
            return 0;
        }
        self.turn += 1;
        let (unit, made) = self.units.entry(key, Unit::default);
        self.bytes += if made { UNIT_BYTES } else { 0 };
        unit.seen = self.turn;
        let places = &mut unit.places;
        let found =
            places.iter().position(|p| (p.run, p.what, p.exposed) == (run, seen.what, false));
        if let (Some(at), true) = (found, sign > 0)
            && places[at].first <= seen.at
        {
            // Most facts: nothing but the count changes.
            places[at].count += count;
            return 0;
        }
        let before = (summary(places, &self.runs), runs_of(places, seen.what));
        let change = match found {
            Some(at) => recount(&mut places[at], seen, sign, count),
            None if sign > 0 => {
                let Sighting { what, at: first, draw, .. } = *seen;
                let (covariate, exposed) = (Told::of(seen.covariate), false);
                add(places, Place { run, what, count, first, draw, covariate, exposed });
                1
            }
            None => 0,
        };
        if change < 0 {
            places.retain(|place| place.count > 0);
        }
        let after = (summary(places, &self.runs), runs_of(places, seen.what));
        let alone = !places.iter().any(|p| {
            self.runs[p.run as usize].arm_key() == seen.run.arm_key()
                && p.what == seen.what
                && p.run != run
                && !p.exposed
        });
        // With units on the shelf an empty one stays, and is sealed as such: an older record of it
        // must not come back.
        if places.is_empty() && self.last == 0 {
            self.units.remove(&key);
            self.bytes -= UNIT_BYTES;
        }
        self.bytes = self.bytes.saturating_add_signed(change * PLACE_BYTES as i64);
        if alone && change != 0 {
            bump(&mut self.of_arm, (seen.run.arm_key(), seen.what), change);
        }
        self.respread(seen.what, before.1, after.1);
        self.recount(seen, &before.0, &after.0);
        change
    }

    /// Reads something of some units, see [`Shards::glance`].
    #[inline]
    pub fn glance(&self, units: impl Iterator<Item = (Sym, UnitHash)>) {
        self.units.glance(units, |unit| unit.places.first().map_or(0, |place| place.count.into()));
    }

    fn respread(&mut self, what: Sym, before: Vec<u32>, after: Vec<u32>) {
        if before == after {
            return;
        }
        for (runs, sign) in [(before, -1), (after, 1)] {
            if !runs.is_empty() {
                bump(&mut self.spread, (what, runs), sign);
            }
        }
    }

    /// Notes that a unit was given an arm, without a call; a repeat changes nothing.
    pub fn expose(&mut self, seen: &Sighting) {
        let run = seen.index;
        self.turn += 1;
        let (unit, _) = self.units.entry((seen.run.experiment, seen.unit), Unit::default);
        unit.seen = self.turn;
        let places = &mut unit.places;
        let before = summary(places, &self.runs);
        let (first, draw) = (seen.at, seen.draw);
        match places.iter_mut().find(|place| place.run == run && place.exposed) {
            Some(place) if place.first <= first => {}
            Some(place) => (place.first, place.draw) = (first, draw),
            None => {
                self.bytes += PLACE_BYTES + if places.is_empty() { UNIT_BYTES } else { 0 };
                let what = Sym::NONE;
                let (covariate, exposed) = (Told::of(None), true);
                add(places, Place { run, what, count: 1, first, draw, covariate, exposed });
            }
        }
        let after = summary(places, &self.runs);
        self.recount(seen, &before, &after);
    }

    /// Takes the units out, which are written for themselves.
    pub fn take_units(&mut self) -> Units {
        std::mem::take(&mut self.units)
    }

    /// Puts them back.
    pub fn put_units(&mut self, units: Units) {
        self.units = units;
    }

    /// Whether no unit ever left memory.
    pub fn holds_all(&self) -> bool {
        self.last == 0
    }

    /// Whether a unit is in memory, or cannot be anywhere else.
    pub fn knows(&self, experiment: Sym, unit: UnitHash) -> bool {
        self.last == 0 || self.units.contains_key(&(experiment, unit))
    }

    /// Takes a unit back into memory.
    pub fn admit(&mut self, record: &Record) {
        let key = (Sym((record.key >> 64) as u64), UnitHash(record.key as u64));
        if self.units.contains_key(&key) {
            return;
        }
        let Ok(places) = postcard::from_bytes::<Places>(&record.bytes) else { return };
        self.bytes += UNIT_BYTES + places.len() as u64 * PLACE_BYTES;
        self.units.insert(key, Unit { places, seen: self.turn });
    }

    /// Lets the half of the units go that was not seen for longest, when they take too much: each unit
    /// that is new is asked for in all that went, so it has to go in few pieces.
    pub fn seal(&mut self, bytes_max: u64) -> Option<Batch> {
        if self.bytes <= bytes_max {
            return None;
        }
        let mut turns: Vec<u64> = self.units.iter().map(|row| row.1.seen).collect();
        let middle = turns.len() / 2;
        let (_, limit, _) = turns.select_nth_unstable(middle);
        let limit = *limit;
        drop(turns);
        let gone = self.units.extract(|unit| unit.seen <= limit);
        let mut records: Vec<(u128, Value)> = Vec::with_capacity(middle);
        for ((experiment, hash), unit) in gone {
            self.bytes -= UNIT_BYTES + unit.places.len() as u64 * PLACE_BYTES;
            let key = u128::from(experiment.0) << 64 | u128::from(hash.0);
            records.push((key, postcard::to_stdvec(&unit.places).unwrap_or_default().into()));
        }
        records.sort_unstable();
        self.last += 1;
        Some(Batch { family: Family::Units, part: self.last, records })
    }

    /// The number of a run: they are given out in the order in which runs are first seen.
    pub fn run_index(&mut self, run: RunKey) -> u32 {
        *self.index.entry(run).or_insert_with(|| {
            self.runs.push(run);
            self.runs.len() as u32 - 1
        })
    }

    /// The number of a run, if it has one.
    pub fn known_run(&self, run: &RunKey) -> Option<u32> {
        self.index.get(run).copied()
    }

    fn recount(&mut self, seen: &Sighting, before: &Summary, after: &Summary) {
        if before == after {
            return;
        }
        let (experiment, bucket) = (seen.run.experiment, bucket_of(seen.unit));
        for (summary, sign) in [(before, -1), (after, 1)] {
            let Some((arm, draw)) = summary.first else { continue };
            bump(&mut self.exposed, (experiment, arm, draw), sign);
            for (arm, what) in &summary.events {
                bump(&mut self.events, (*arm, *what, draw), sign);
            }
            for arm in &summary.homes {
                let rows = self.covariates.entry(*arm).or_default();
                rows.add(bucket, sign * summary.covariate, sign);
            }
            if summary.arms.len() > 1 {
                bump(&mut self.crossovers, (experiment, Sym::NONE), sign);
                summary.arms.iter().for_each(|arm| {
                    bump(&mut self.crossovers, (experiment, *arm), sign);
                });
            }
        }
    }

    /// Distinct units by group and measure ([`Sym::NONE`] for calls). A unit counts once in each
    /// group, in however many runs of it it was seen; `groups` says to which a run belongs.
    pub fn distinct<G: Ord + Copy + Hash>(
        &self,
        groups: impl Fn(&RunKey) -> Vec<G>,
    ) -> BTreeMap<(G, Sym), i64> {
        let of_run: Vec<Vec<G>> = self.runs.iter().map(groups).collect();
        let mut counts: HashMap<(G, Sym), i64> = HashMap::new();
        let mut seen: Vec<G> = Vec::new();
        for ((what, runs), units) in &self.spread {
            seen.clear();
            seen.extend(runs.iter().flat_map(|run| &of_run[*run as usize]));
            seen.sort_unstable();
            seen.dedup();
            seen.iter().for_each(|group| *counts.entry((*group, *what)).or_default() += units);
        }
        counts.into_iter().collect()
    }

    /// Adds the counts of another partition, whose units are others.
    pub fn merge_counts(&mut self, other: &Register) {
        add_all(&mut self.exposed, &other.exposed);
        add_all(&mut self.crossovers, &other.crossovers);
        add_all(&mut self.of_arm, &other.of_arm);
        add_all(&mut self.events, &other.events);
        for (arm, rows) in &other.covariates {
            self.covariates.entry(*arm).or_default().merge(rows);
        }
    }

    /// Estimated bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn bump<K: Ord + Clone>(map: &mut BTreeMap<K, i64>, key: K, count: i64) {
    match map.entry(key) {
        Entry::Vacant(free) => drop(free.insert(count)),
        Entry::Occupied(mut taken) => {
            *taken.get_mut() += count;
            if *taken.get() == 0 {
                taken.remove();
            }
        }
    }
}

fn add_all<K: Ord + Copy>(into: &mut BTreeMap<K, i64>, from: &BTreeMap<K, i64>) {
    from.iter().for_each(|(key, count)| bump(into, *key, *count));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Nanos;

    fn run(arm: &str) -> RunKey {
        RunKey { experiment: Sym::of("e"), arm: Sym::of(arm), ..RunKey::default() }
    }

    fn exposed(register: &Register, arm: &str) -> i64 {
        register.exposed.iter().filter(|row| row.0.1 == Sym::of(arm)).map(|row| row.1).sum()
    }

    fn seen(arm: &str, at: Nanos) -> Sighting {
        let draw = Draw { plan: u32::from(at >= 100), chance: 0 };
        let (what, unit, covariate) = (Sym::NONE, UnitHash(7), Some(at as i64));
        Sighting { run: run(arm), index: 0, what, unit, at, draw, covariate }
    }

    fn note(register: &mut Register, seen: &Sighting, sign: i64) -> i64 {
        let index = register.run_index(seen.run);
        register.note(&Sighting { index, ..*seen }, sign, 1)
    }

    fn expose(register: &mut Register, seen: &Sighting) {
        let index = register.run_index(seen.run);
        register.expose(&Sighting { index, ..*seen });
    }

    #[test]
    fn a_unit_counts_for_the_arm_it_saw_first() {
        let mut register = Register::default();
        assert_eq!(note(&mut register, &seen("a", 20), 1), 1);
        assert_eq!(note(&mut register, &seen("a", 30), 1), 0);
        assert_eq!(note(&mut register, &seen("b", 10), 1), 1);
        assert_eq!((exposed(&register, "a"), exposed(&register, "b")), (0, 1));
        assert_eq!(register.crossovers[&(Sym::of("e"), Sym::NONE)], 1);
        assert_eq!(note(&mut register, &seen("b", 10), -1), -1);
        assert_eq!((exposed(&register, "a"), exposed(&register, "b")), (1, 0));
        assert!(register.crossovers.is_empty());
    }

    #[test]
    fn a_unit_of_two_runs_of_an_arm_is_one_unit_of_the_arm() {
        let mut register = Register::default();
        let other = RunKey { set: crate::model::SetId(9), ..run("a") };
        let second = Sighting { run: other, ..seen("a", 20) };
        note(&mut register, &seen("a", 10), 1);
        note(&mut register, &second, 1);
        let key = (run("a").arm_key(), Sym::NONE);
        assert_eq!(register.of_arm[&key], 1);
        note(&mut register, &seen("a", 10), -1);
        assert_eq!(register.of_arm[&key], 1);
        note(&mut register, &second, -1);
        assert!(register.of_arm.is_empty() && register.exposed.is_empty());
        assert!(register.units.is_empty() && register.bytes() == 0);
    }

    #[test]
    fn an_event_counts_once_and_in_the_allocation_of_the_first_exposure() {
        let mut register = Register::default();
        let failed =
            |at| Sighting { what: event_of(Origin::Error).expect("rate"), ..seen("a", at) };
        let in_allocation = |register: &Register, allocation: u32| {
            let draw = Draw { plan: allocation, chance: 0 };
            register.events.get(&(run("a").arm_key(), Sym(1), draw)).copied().unwrap_or(0)
        };
        note(&mut register, &seen("a", 150), 1);
        note(&mut register, &failed(150), 1);
        note(&mut register, &failed(160), 1);
        assert_eq!((in_allocation(&register, 0), in_allocation(&register, 1)), (0, 1));
        // An earlier call comes late: the unit belongs to the earlier allocation.
        note(&mut register, &seen("a", 50), 1);
        assert_eq!((in_allocation(&register, 0), in_allocation(&register, 1)), (1, 0));
    }

    #[test]
    fn the_first_covariate_of_a_unit_counts_once_in_every_arm() {
        let mut register = Register::default();
        let rows = |register: &Register, arm: &str| {
            let found = register.covariates.get(&run(arm).arm_key());
            found.map_or((0, 0), |rows| {
                rows.iter().map(|row| (row.1, row.2)).next().unwrap_or((0, 0))
            })
        };
        note(&mut register, &seen("a", 20), 1);
        note(&mut register, &seen("a", 30), 1);
        assert_eq!(rows(&register, "a"), (20, 1));
        note(&mut register, &seen("b", 10), 1);
        assert_eq!((rows(&register, "a"), rows(&register, "b")), ((10, 1), (10, 1)));
        note(&mut register, &seen("b", 10), -1);
        assert_eq!((rows(&register, "a"), rows(&register, "b")), ((20, 1), (0, 0)));
    }

    #[test]
    fn exposures_without_calls_are_counted_once() {
        let mut register = Register::default();
        expose(&mut register, &seen("a", 5));
        expose(&mut register, &seen("a", 6));
        assert_eq!(exposed(&register, "a"), 1);
    }

    #[test]
    fn what_was_taken_back_of_a_unit_does_not_come_back_from_the_shelf() {
        let mut register = Register::default();
        note(&mut register, &seen("a", 20), 1);
        let key = (run("a").experiment, UnitHash(7));
        let sealed = |batch: Batch| {
            let part = batch.part;
            let record = |(key, bytes): (u128, Value)| Record { key, part, bytes: bytes.to_vec() };
            batch.records.into_iter().map(record).collect::<Vec<_>>()
        };
        let old = sealed(register.seal(0).expect("sealed"));
        register.admit(&old[0]);
        assert_eq!(note(&mut register, &seen("a", 20), -1), -1);
        assert!(register.knows(key.0, key.1), "the shelf is not asked for it");
        let new = sealed(register.seal(0).expect("sealed"));
        register.admit(&new[0]);
        assert_eq!(note(&mut register, &seen("a", 20), 1), 1);
    }

    #[test]
    fn units_that_leave_memory_come_back_as_they_were() {
        let of = |unit: u64, at| Sighting { unit: UnitHash(unit), ..seen("a", at) };
        let (mut small, mut large) = (Register::default(), Register::default());
        let mut shelf: BTreeMap<u128, Record> = BTreeMap::new();
        for turn in 0..400u64 {
            let now = of(turn * 7 % 40, turn % 60);
            let key = u128::from(now.run.experiment.0) << 64 | u128::from(now.unit.0);
            if let (false, Some(record)) =
                (small.knows(now.run.experiment, now.unit), shelf.get(&key))
            {
                small.admit(record);
            }
            let sign = if turn > 200 { -1 } else { 1 };
            assert_eq!(note(&mut small, &now, sign), note(&mut large, &now, sign), "turn {turn}");
            if let Some(Batch { part, records, .. }) = small.seal(1_000) {
                assert!(small.bytes() <= 1_000, "{}", small.bytes());
                let records = records.into_iter();
                shelf.extend(
                    records.map(|(key, bytes)| (key, Record { key, part, bytes: bytes.to_vec() })),
                );
            }
            assert_eq!((&small.exposed, &small.of_arm), (&large.exposed, &large.of_arm));
            assert_eq!((&small.covariates, &small.spread), (&large.covariates, &large.spread));
        }
        assert!(shelf.len() > 20, "{}", shelf.len());
    }
}
