//! Traces by a time of theirs, earliest first. What a trace says now is the truth: a row that it
//! no longer agrees with is skipped when its turn comes, so nothing is ever searched for. Not part
//! of the state: it is made again from the traces.

use crate::model::{Nanos, SECOND, TraceId};
use std::collections::BTreeMap;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Agenda {
    /// By second.
    slots: BTreeMap<u64, Slot>,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    /// Latest first, once it is sorted.
    rows: Vec<(Nanos, TraceId)>,
    sorted: bool,
}

// === impl Agenda ===

impl Agenda {
    /// Adds a trace.
    pub fn push(&mut self, at: Nanos, id: TraceId) {
        let slot = self.slots.entry(at / SECOND).or_default();
        slot.rows.push((at, id));
        slot.sorted = false;
    }

    /// Some of those whose turn comes next, whether they hold or not.
    pub fn upcoming(&self, count: usize) -> impl Iterator<Item = TraceId> {
        let rows = self.slots.values().next().filter(|slot| slot.sorted).map(|slot| &slot.rows);
        rows.into_iter().flat_map(move |rows| rows.iter().rev().take(count)).map(|row| row.1)
    }

    /// Takes out the earliest row that holds, when it is no later than `until`.
    pub fn pop(
        &mut self,
        until: Nanos,
        holds: impl Fn(Nanos, TraceId) -> bool,
    ) -> Option<(Nanos, TraceId)> {
        loop {
            let mut first = self.slots.first_entry()?;
            if *first.key() > until / SECOND {
                return None;
            }
            let slot = first.get_mut();
            if !slot.sorted {
                slot.rows.sort_unstable_by(|a, b| b.cmp(a));
                slot.rows.dedup();
                slot.sorted = true;
            }
            match slot.rows.last() {
                None => drop(first.remove()),
                Some(&(at, id)) if holds(at, id) => {
                    return if at <= until { slot.rows.pop() } else { None };
                }
                Some(_) => drop(slot.rows.pop()),
            }
        }
    }

    /// The earliest time that holds.
    pub fn first(&self, holds: impl Fn(Nanos, TraceId) -> bool) -> Option<Nanos> {
        let live = |slot: &Slot| {
            let rows = slot.rows.iter().filter(|row| holds(row.0, row.1));
            rows.map(|row| row.0).min()
        };
        self.slots.values().find_map(live)
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
