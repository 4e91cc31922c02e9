//! Traces by a time of theirs, earliest first. What a trace says now is the truth: a row that it
//! no longer agrees with is skipped when its turn comes, so nothing is ever searched for. Not part
//! of the state: it is made again from the traces.

use crate::model::{Nanos, SECOND, TraceId};
use std::collections::BTreeMap;

/// See the module.
#[derive(Debug, Default)]
pub struct Agenda {
    /// By sixteenths of a second: each is sorted at once when its turn comes.
    slots: BTreeMap<u64, Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    /// Latest first, once it is sorted.
    rows: Vec<Row>,
    sorted: bool,
}

/// What one slot covers.
const SLOT: Nanos = SECOND / 16;

/// A time within its slot and a trace, in the 20 bytes that they have.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Row {
    nanos: u32,
    /// Its four parts, the highest first.
    trace: [u32; 4],
}

// === impl Row ===

impl Row {
    fn of(at: Nanos, id: TraceId) -> Self {
        let part = |shift: u32| (id.0 >> shift) as u32;
        Row { nanos: (at % SLOT) as u32, trace: [part(96), part(64), part(32), part(0)] }
    }

    fn at(&self, slot: u64) -> Nanos {
        slot * SLOT + u64::from(self.nanos)
    }

    fn id(&self) -> TraceId {
        TraceId(self.trace.iter().fold(0, |id, part| id << 32 | u128::from(*part)))
    }
}

// === impl Agenda ===

impl Agenda {
    /// Adds a trace.
    pub fn push(&mut self, at: Nanos, id: TraceId) {
        let slot = self.slots.entry(at / SLOT).or_default();
        slot.rows.push(Row::of(at, id));
        slot.sorted = false;
    }

    /// Some of those whose turn comes next, whether they hold or not.
    pub fn upcoming(&self, count: usize) -> impl Iterator<Item = TraceId> {
        let rows = self.slots.values().next().filter(|slot| slot.sorted).map(|slot| &slot.rows);
        rows.into_iter().flat_map(move |rows| rows.iter().rev().take(count)).map(Row::id)
    }

    /// Takes out the earliest row that holds, when it is no later than `until`.
    pub fn pop(
        &mut self,
        until: Nanos,
        holds: impl Fn(Nanos, TraceId) -> bool,
    ) -> Option<(Nanos, TraceId)> {
        loop {
            let mut first = self.slots.first_entry()?;
            let number = *first.key();
            if number > until / SLOT {
                return None;
            }
            let slot = first.get_mut();
            if !slot.sorted {
                slot.rows.sort_unstable_by(|a, b| b.cmp(a));
                slot.rows.dedup();
                slot.sorted = true;
            }
            let Some(last) = slot.rows.last() else {
                first.remove();
                continue;
            };
            let (at, id) = (last.at(number), last.id());
            let holds = holds(at, id);
            if holds && at > until {
                return None;
            }
            slot.rows.pop();
            if holds {
                return Some((at, id));
            }
        }
    }

    /// The earliest time that holds.
    pub fn first(&self, holds: impl Fn(Nanos, TraceId) -> bool) -> Option<Nanos> {
        let live = |(number, slot): (&u64, &Slot)| {
            let rows = slot.rows.iter().map(|row| (row.at(*number), row.id()));
            rows.filter(|row| holds(row.0, row.1)).map(|row| row.0).min()
        };
        self.slots.iter().find_map(live)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_in_order_and_only_while_they_hold() {
        let mut agenda = Agenda::default();
        let id = |n: u128| TraceId(n);
        for (at, n) in [(3 * SECOND, 1), (SECOND + 5, 2), (SECOND, 3), (SECOND + 5, 2)] {
            agenda.push(at, id(n));
        }
        let holds = |_, n: TraceId| n != id(3);
        assert_eq!(agenda.first(holds), Some(SECOND + 5));
        assert_eq!(agenda.pop(SECOND + 4, holds), None);
        assert_eq!(agenda.pop(SECOND + 5, holds), Some((SECOND + 5, id(2))));
        assert_eq!(agenda.pop(2 * SECOND, holds), None, "the same row twice is one");
        assert_eq!(agenda.pop(Nanos::MAX, holds), Some((3 * SECOND, id(1))));
        assert_eq!(agenda.pop(Nanos::MAX, holds), None);
    }
}
