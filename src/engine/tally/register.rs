//! The unit register: which units were given which arm, and in which runs they were seen.
//! Counts distinct units exactly and finds those with two arms; taking a call back undoes it.

use crate::engine::fact::RunKey;
use crate::model::{Nanos, Sym, UnitHash};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// Estimated bytes of a unit and of each of its places.
const UNIT_BYTES: u64 = 64;
const PLACE_BYTES: u64 = 40;

/// Units by experiment.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Register {
    #[serde(with = "crate::engine::sorted")]
    units: HashMap<(Sym, UnitHash), Vec<Place>>,
    runs: Vec<RunKey>,
    #[serde(with = "crate::engine::sorted")]
    index: HashMap<RunKey, u32>,
    /// Units by experiment and arm of first exposure.
    pub exposed: BTreeMap<(Sym, Sym), i64>,
    /// Units with two arms, by experiment and arm; [`Sym::NONE`] holds each unit once.
    pub crossovers: BTreeMap<(Sym, Sym), i64>,
    bytes: u64,
    refused: u64,
}

/// Where a unit was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Place {
    run: u32,
    /// [`Sym::NONE`] for calls, else the measure of a score.
    what: Sym,
    /// Facts that say so; an exposure without a call counts as one that is never taken back.
    count: u32,
    first: Nanos,
    exposed: bool,
}

// === impl Register ===

impl Register {
    /// Notes (`sign` 1) or takes back a fact of a unit. Returns by how much the number of
    /// distinct units of this run and measure changed.
    pub fn note(
        &mut self,
        run: RunKey,
        what: Sym,
        unit: UnitHash,
        at: Nanos,
        sign: i64,
        bytes_max: u64,
    ) -> i64 {
        let run_index = self.run_index(run);
        let full = self.bytes >= bytes_max;
        let places = match self.units.get_mut(&(run.experiment, unit)) {
            Some(places) => places,
            None if full || sign < 0 => {
                self.refused += u64::from(full && sign > 0);
                return 0;
            }
            None => {
                self.bytes += UNIT_BYTES;
                self.units.entry((run.experiment, unit)).or_default()
            }
        };
        let before = summary(places, &self.runs);
        let found =
            places.iter().position(|p| (p.run, p.what, p.exposed) == (run_index, what, false));
        let change = match (found, sign > 0) {
            (Some(place), true) => {
                places[place].count += 1;
                places[place].first = places[place].first.min(at);
                0
            }
            (Some(place), false) => {
                places[place].count -= 1;
                let gone = places[place].count == 0;
                if gone {
                    places.remove(place);
                    self.bytes -= PLACE_BYTES;
                }
                -i64::from(gone)
            }
            (None, true) => {
                self.bytes += PLACE_BYTES;
                places.push(Place { run: run_index, what, count: 1, first: at, exposed: false });
                1
            }
            (None, false) => 0,
        };
        let after = summary(places, &self.runs);
        if places.is_empty() {
            self.units.remove(&(run.experiment, unit));
            self.bytes -= UNIT_BYTES;
        }
        self.recount(run.experiment, before, after);
        change
    }

    /// Notes that a unit was given an arm, without a call; a repeat changes nothing.
    pub fn expose(&mut self, run: RunKey, unit: UnitHash, at: Nanos, bytes_max: u64) {
        if self.bytes >= bytes_max {
            self.refused += 1;
            return;
        }
        let run_index = self.run_index(run);
        let places = self.units.entry((run.experiment, unit)).or_default();
        let before = summary(places, &self.runs);
        match places.iter_mut().find(|place| place.run == run_index && place.exposed) {
            Some(place) => place.first = place.first.min(at),
            None => {
                self.bytes += PLACE_BYTES + if places.is_empty() { UNIT_BYTES } else { 0 };
                let what = Sym::NONE;
                places.push(Place { run: run_index, what, count: 1, first: at, exposed: true });
            }
        }
        let after = summary(places, &self.runs);
        self.recount(run.experiment, before, after);
    }

    fn run_index(&mut self, run: RunKey) -> u32 {
        *self.index.entry(run).or_insert_with(|| {
            self.runs.push(run);
            self.runs.len() as u32 - 1
        })
    }

    fn recount(&mut self, experiment: Sym, before: Summary, after: Summary) {
        if before == after {
            return;
        }
        for (summary, sign) in [(before, -1), (after, 1)] {
            let Some(first) = summary.first else { continue };
            bump(&mut self.exposed, (experiment, first), sign);
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
    pub fn distinct<G: Ord + Copy>(
        &self,
        groups: impl Fn(&RunKey) -> Vec<G>,
    ) -> BTreeMap<(G, Sym), i64> {
        let of_run: Vec<Vec<G>> = self.runs.iter().map(groups).collect();
        let mut counts = BTreeMap::new();
        let mut seen: Vec<(G, Sym)> = Vec::new();
        for places in self.units.values() {
            seen.clear();
            for place in places.iter().filter(|place| !place.exposed) {
                let groups = &of_run[place.run as usize];
                seen.extend(groups.iter().map(|group| (*group, place.what)));
            }
            seen.sort_unstable();
            seen.dedup();
            seen.iter().for_each(|key| *counts.entry(*key).or_default() += 1);
        }
        counts
    }

    /// Units that found no room.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Estimated bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// What the counts need to know of a unit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Summary {
    first: Option<Sym>,
    arms: Vec<Sym>,
}

fn summary(places: &[Place], runs: &[RunKey]) -> Summary {
    let calls = || places.iter().filter(|place| place.what.is_none());
    let arm_of = |place: &Place| runs[place.run as usize].arm;
    let first = calls().map(|place| (place.first, arm_of(place))).min().map(|pair| pair.1);
    let mut arms: Vec<Sym> = calls().map(arm_of).collect();
    arms.sort_unstable();
    arms.dedup();
    Summary { first, arms }
}

fn bump<K: Ord + Copy>(map: &mut BTreeMap<K, i64>, key: K, count: i64) {
    let sum = map.entry(key).or_default();
    *sum += count;
    if *sum == 0 {
        map.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u64 = 1 << 20;

    fn run(arm: &str) -> RunKey {
        RunKey { experiment: Sym::of("e"), arm: Sym::of(arm), ..RunKey::default() }
    }

    fn exposed(register: &Register, arm: &str) -> i64 {
        register.exposed.get(&(Sym::of("e"), Sym::of(arm))).copied().unwrap_or(0)
    }

    #[test]
    fn a_unit_counts_for_the_arm_it_saw_first() {
        let mut register = Register::default();
        let unit = UnitHash(7);
        assert_eq!(register.note(run("a"), Sym::NONE, unit, 20, 1, MAX), 1);
        assert_eq!(register.note(run("a"), Sym::NONE, unit, 30, 1, MAX), 0);
        assert_eq!(register.note(run("b"), Sym::NONE, unit, 10, 1, MAX), 1);
        assert_eq!((exposed(&register, "a"), exposed(&register, "b")), (0, 1));
        assert_eq!(register.crossovers[&(Sym::of("e"), Sym::NONE)], 1);
        assert_eq!(register.note(run("b"), Sym::NONE, unit, 10, -1, MAX), -1);
        assert_eq!((exposed(&register, "a"), exposed(&register, "b")), (1, 0));
        assert!(register.crossovers.is_empty());
    }

    #[test]
    fn exposures_without_calls_are_counted_once() {
        let mut register = Register::default();
        register.expose(run("a"), UnitHash(1), 5, MAX);
        register.expose(run("a"), UnitHash(1), 6, MAX);
        assert_eq!(exposed(&register, "a"), 1);
    }

    #[test]
    fn a_full_register_says_so() {
        let mut register = Register::default();
        assert_eq!(register.note(run("a"), Sym::NONE, UnitHash(1), 5, 1, 0), 0);
        assert_eq!(register.refused(), 1);
        assert_eq!(register.bytes(), 0);
    }
}
