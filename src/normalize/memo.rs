//! What the log already knows: names and facet sets that need no definition any more. Both maps
//! are bounded; when one is full it is emptied, because a repeated definition does no harm.

use crate::model::{Batch, SetId, Sym};
use dashmap::DashMap;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use xxhash_rust::xxh3::Xxh3;

/// Entries of each map.
pub const ENTRIES_MAX: usize = 65_536;

/// Shared by all receiving tasks.
pub struct Memo {
    names: DashMap<Sym, ()>,
    sets: DashMap<u128, SetId>,
    /// Of this process, so that nobody can prepare collisions. The outcome does not depend on it.
    seed: u64,
}

/// What one request defined; not known to others until it is durable.
#[derive(Default)]
pub struct Fresh {
    /// Names.
    pub names: HashMap<Sym, ()>,
    /// Sets by their raw hash.
    pub sets: HashMap<u128, SetId>,
    /// Sets whose definition is in the batch.
    pub defined: HashMap<SetId, ()>,
}

/// Hashes what identifies as it passes: nothing of it is kept.
pub struct Feed(Xxh3);

impl Memo {
    /// Empty.
    pub fn new() -> Self {
        Memo {
            names: DashMap::new(),
            sets: DashMap::new(),
            seed: RandomState::new().hash_one("armspan"),
        }
    }

    /// To be fed with what identifies.
    pub fn feed(&self) -> Feed {
        Feed(Xxh3::with_seed(self.seed))
    }

    /// The set of a raw hash, if the log knows it.
    pub fn set(&self, raw: u128) -> Option<SetId> {
        self.sets.get(&raw).map(|id| *id)
    }

    /// Whether the log knows a name.
    pub fn knows(&self, name: Sym) -> bool {
        self.names.contains_key(&name)
    }

    /// A batch is in the log.
    pub fn durable(&self, batch: &Batch) {
        if self.names.len() + batch.new_names.len() > ENTRIES_MAX {
            self.names.clear();
        }
        if self.sets.len() + batch.new_sets.len() > ENTRIES_MAX {
            self.sets.clear();
        }
        for name in batch.new_names.iter().take(ENTRIES_MAX) {
            self.names.insert(*name, ());
        }
        for (raw, id) in batch.new_sets.iter().take(ENTRIES_MAX) {
            self.sets.insert(*raw, *id);
        }
    }
}

// === impl Feed ===

impl Feed {
    /// More of it.
    pub fn put(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all.
    pub fn hash(self) -> u128 {
        self.0.digest128()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_bounded() {
        let memo = Memo::new();
        let mut batch = Batch::default();
        for round in 0..3u64 {
            batch.new_names = (0..40_000).map(|at| Sym(round * 40_000 + at)).collect();
            memo.durable(&batch);
            assert!(memo.names.len() <= ENTRIES_MAX);
            assert!(memo.knows(Sym(round * 40_000 + 7)));
        }
    }
}
