//! What is known of sealed traces: which parts there are, when they have to be visited, and when
//! they go.

use super::packed::Atoms;
use crate::model::shelf::Part;
use crate::model::{MINUTE, Nanos};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};

/// What is known of sealed parts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Parts {
    /// By their sealing, oldest first.
    pub(super) groups: VecDeque<Group>,
    pub(super) last: Part,
    pub(super) atoms: Atoms,
    pub(super) bytes: u64,
}

/// The parts that were sealed in one minute of log time, or a share of them when that is much: they
/// mature and go together.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Group {
    pub(super) minute: u32,
    pub(super) first: Part,
    pub(super) last: Part,
    pub(super) newest: Nanos,
    pub(super) bytes: u64,
    /// Minutes at whose end something in them matures.
    pub(super) dues: BTreeSet<u32>,
    /// Log time of the last visit: what had matured by then is counted.
    pub(super) visited: Nanos,
    /// Some score in them had no call when it was sealed.
    pub(super) lost: bool,
}

// === impl Parts ===

impl Parts {
    /// The oldest part that is kept.
    pub fn oldest(&self) -> Part {
        self.groups.front().map_or(self.last + 1, |group| group.first)
    }

    /// Numbers of names and sets in packed traces.
    pub(super) fn atoms(&self) -> &Atoms {
        &self.atoms
    }

    pub(super) fn atoms_mut(&mut self) -> &mut Atoms {
        &mut self.atoms
    }

    /// Bytes on disk, about.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// When the oldest parts were sealed, as a minute.
    pub fn since(&self) -> Option<u32> {
        self.groups.front().map(|group| group.minute)
    }

    pub(super) fn group(&mut self, part: Part) -> Option<&mut Group> {
        let at = self.groups.partition_point(|group| group.last < part);
        self.groups.get_mut(at).filter(|group| group.first <= part)
    }

    /// The group of this minute, with a new part. One of more than `bytes_max` takes no more.
    pub(super) fn open(&mut self, minute: u32, bytes_max: u64) -> &mut Group {
        self.last += 1;
        let part = self.last;
        let takes = |group: &Group| group.minute == minute && group.bytes < bytes_max;
        if !self.groups.back().is_some_and(takes) {
            let (newest, bytes, dues, visited, lost) = Default::default();
            let (first, last) = (part, part);
            self.groups.push_back(Group {
                minute,
                first,
                last,
                newest,
                bytes,
                dues,
                visited,
                lost,
            });
        }
        let at = self.groups.len() - 1;
        self.groups[at].last = part;
        &mut self.groups[at]
    }

    pub(super) fn drop_oldest(&mut self) -> Nanos {
        let Some(group) = self.groups.pop_front() else { return 0 };
        self.bytes -= group.bytes;
        group.newest
    }

    /// When the next part has to be visited.
    pub(super) fn next_due(&self) -> Option<Nanos> {
        let first = |group: &Group| group.dues.first().map(|minute| ripe(*minute));
        self.groups.iter().filter_map(first).min()
    }
}

/// A minute later, so that what matures close to it is done in the same visit.
pub(super) fn ripe(minute: u32) -> Nanos {
    u64::from(minute + 1) * MINUTE
}
