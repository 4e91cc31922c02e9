//! The calls of an entry by run and minute, as places among its changes. The room is used again.

use crate::engine::fact::RunKey;
use crate::model::{Nanos, minute_of};

/// Groups whose room is kept.
const KEPT_MAX: usize = 64;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    list: Vec<Group>,
    used: usize,
    /// Runs from which something was taken back: they may be empty now.
    pub touched: Vec<(RunKey, u32)>,
    /// The run of the last fact, and where it is summed.
    pub last: Option<(RunKey, (RunKey, u32))>,
}

/// Calls of one run that ended in one minute.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// The run.
    pub run: RunKey,
    /// Its number.
    pub index: u32,
    /// Places among the changes.
    pub places: Vec<u32>,
    minute: u32,
}

// === impl Groups ===

impl Groups {
    /// Adds a call.
    pub fn put(&mut self, run: RunKey, index: u32, end: Nanos, at: u32) {
        let minute = minute_of(end);
        let fits = |group: &&mut Group| (group.index, group.minute) == (index, minute);
        // The last ones are the likeliest; with many of them a new one does no harm.
        if let Some(group) = self.list[..self.used].iter_mut().rev().take(KEPT_MAX).find(fits) {
            return group.places.push(at);
        }
        if self.used == self.list.len() {
            self.list.push(Group::default());
        }
        let group = &mut self.list[self.used];
        self.used += 1;
        (group.run, group.index, group.minute) = (run, index, minute);
        group.places.clear();
        group.places.push(at);
    }

    /// Notes that something was taken back from a run.
    pub fn touch(&mut self, run: RunKey, index: u32, sign: i64) {
        if sign < 0 && self.touched.last().is_none_or(|last| last.1 != index) {
            self.touched.push((run, index));
        }
    }

    /// All groups, once.
    pub fn drain(&mut self) -> impl Iterator<Item = &Group> {
        let used = std::mem::take(&mut self.used);
        self.list.truncate(used.max(KEPT_MAX));
        self.list[..used].iter()
    }
}
