//! Which keys were put since the process began: filters in memory that each cover many tables, so
//! that a key which is nowhere costs a line per generation, however many tables there are. Merges
//! change nothing here.
//!
//! A generation is of the parts that were put while it filled up. The oldest go when memory is
//! short, or their parts are too old; tables with parts before [`Recent::since`] have to be asked
//! by their own filters, as those that were there when the process began.

use super::filter::{self, Filter, Probe};
use crate::model::shelf::{Batch, Part};

/// Keys of the first generation, and of later ones.
const FIRST_KEYS: u64 = if cfg!(test) { 256 } else { 1 << 20 };
const NEXT_KEYS: u64 = 2 * FIRST_KEYS;
/// No part is as late.
pub const NEVER: Part = Part::MAX;
/// One of so many keys is expected to come again.
const AGAIN: u64 = 16;

/// See the module.
pub struct Recent {
    generations: Vec<Generation>,
    since: Part,
}

struct Generation {
    parts: (Part, Part),
    keys: u64,
    room: u64,
    seen: Filter,
    /// Keys that had been put before they were put here.
    again: Filter,
}

/// The first and the last part of all.
pub fn span(parts: impl Iterator<Item = (Part, Part)>) -> Option<(Part, Part)> {
    parts.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
}

// === impl Recent ===

impl Recent {
    /// Of what is put from a part on; from [`NEVER`] on is nothing.
    pub fn new(since: Part) -> Self {
        Recent { generations: Vec::new(), since }
    }

    /// The keys of all parts from this one on are here.
    pub fn since(&self) -> Part {
        self.since
    }

    /// Adds the keys of a batch; whether that took more memory.
    pub fn add(&mut self, batch: &Batch) -> bool {
        if batch.part < self.since {
            return false;
        }
        let count = batch.records.len() as u64;
        let full = self.generations.last().is_none_or(|last| last.keys + count > last.room);
        if full {
            let keys = if self.generations.is_empty() { FIRST_KEYS } else { NEXT_KEYS };
            self.generations.push(Generation::new(batch.part, keys.max(count)));
        }
        let Some((last, older)) = self.generations.split_last_mut() else { return full };
        last.parts = (last.parts.0.min(batch.part), last.parts.1.max(batch.part));
        last.keys += count;
        let probes: Vec<Probe> = batch.records.iter().map(|record| Probe::new(record.0)).collect();
        for probe in filter::grouped(&probes) {
            if last.seen.add(probe) | older.iter().any(|older| older.seen.has(probe)) {
                last.again.add(probe);
            }
        }
        full
    }

    /// The parts in which a key may be, of those from `since` on.
    pub fn parts_of(&self, probe: Probe) -> Option<(Part, Part)> {
        let having = self.generations.iter().filter(|one| one.seen.has(probe));
        span(having.map(|one| one.parts))
    }

    /// Whether a key may be in more than one of those parts.
    pub fn came_again(&self, probe: Probe) -> bool {
        self.generations.iter().any(|one| one.again.has(probe))
    }

    /// Bytes of the filters.
    pub fn bytes(&self) -> u64 {
        self.generations.iter().map(|one| one.seen.bytes() + one.again.bytes()).sum()
    }

    /// Lets go of the oldest generation.
    pub fn forget_oldest(&mut self) {
        if !self.generations.is_empty() {
            self.since = self.since.max(self.generations.remove(0).parts.1 + 1);
        }
    }

    /// Nobody asks for older parts any more.
    pub fn drop_before(&mut self, oldest: Part) {
        self.generations.retain(|one| one.parts.1 >= oldest);
    }
}

impl Generation {
    fn new(part: Part, room: u64) -> Self {
        // Each key is asked for in all generations: a wrong yes has to be rarer than one of a table.
        let (seen, again) = (Filter::new(room + room / 3), Filter::new(room / AGAIN));
        Generation { parts: (part, part), keys: 0, room, seen, again }
    }
}
