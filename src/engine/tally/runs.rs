//! Runs with their sums, found by their number in the register and walked in the order of their
//! keys. A run is shared with a clone until it is changed.

use super::run::Run;
use crate::engine::fact::RunKey;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// See the module.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Runs {
    order: BTreeMap<RunKey, u32>,
    /// By number.
    list: Vec<Option<Arc<Run>>>,
}

// === impl Runs ===

impl Runs {
    /// Whether a run of this number has sums.
    pub fn has(&self, index: u32) -> bool {
        self.list.get(index as usize).is_some_and(Option::is_some)
    }

    /// The sums of a run.
    pub fn get(&self, index: u32) -> Option<&Run> {
        self.list.get(index as usize)?.as_deref()
    }

    /// The sums of a run, made when there are none.
    pub fn entry(&mut self, key: RunKey, index: u32) -> &mut Run {
        let at = index as usize;
        if self.list.len() <= at {
            self.list.resize(at + 1, None);
        }
        let slot = &mut self.list[at];
        if slot.is_none() {
            self.order.insert(key, index);
        }
        Arc::make_mut(slot.get_or_insert_default())
    }

    /// Drops a run.
    pub fn remove(&mut self, key: &RunKey, index: u32) {
        self.order.remove(key);
        self.list[index as usize] = None;
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&RunKey, &Run)> {
        self.from(RunKey::default())
    }

    /// Those from a key on, in order.
    pub fn from(&self, key: RunKey) -> impl Iterator<Item = (&RunKey, &Run)> {
        let run = |index: u32| self.list.get(index as usize).and_then(Option::as_deref);
        self.order.range(key..).filter_map(move |row| Some((row.0, run(*row.1)?)))
    }
}
