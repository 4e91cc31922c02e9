//! Which trace in memory holds the call of a response id. Nothing is kept until a score is told by
//! response id: then all packed traces are looked through once, and from there on what comes is
//! added. Rows are short hashes of both ids, four bytes each, and what they lead to is looked at;
//! those of traces that went are skipped, and fall away when all are looked through again.
//! No state: what is found follows from the traces alone.

use super::held::Held;
use super::packed::responses;
use crate::engine::shards::{Shards, spread};
use crate::model::{TraceId, UnitHash};
use hashbrown::hash_table::Entry;
use hashbrown::{HashMap, HashTable};
use std::collections::BTreeSet;

/// So many rows of traces that went are kept at the least.
const GONE_MIN: usize = 1 << 16;
/// Pairs of an entry whose room is kept.
const NOTED_KEPT_MAX: usize = 4_096;

/// See the module.
#[derive(Debug, Default)]
pub struct Responses {
    /// How many rows there were when all traces were looked through; none before that.
    built: Option<usize>,
    rows: HashTable<Row>,
    /// What found its row taken: several traces with one response id, or ids that look alike.
    more: BTreeSet<(UnitHash, TraceId)>,
    /// Of the entry that is under way: its traces are not among those in memory.
    noted: Vec<(UnitHash, TraceId)>,
    /// The first `looked_at` of these, each with its least trace.
    index: HashMap<UnitHash, TraceId>,
    looked_at: usize,
}

/// Short hashes of a response id and of its trace.
#[derive(Clone, Copy, Debug)]
struct Row {
    response: u32,
    trace: u32,
}

// === impl Responses ===

impl Responses {
    /// Notes a call of the entry that is under way.
    pub fn note(&mut self, response: UnitHash, trace: TraceId) {
        self.noted.push((response, trace));
    }

    /// The least trace with a call of this response id, in the entry that is under way or in
    /// memory.
    pub fn find(&mut self, response: UnitHash, traces: &Shards<TraceId, Held>) -> Option<TraceId> {
        if self.built.is_none() {
            self.build(traces);
        }
        let holds = |id: &TraceId| traces.get(id).is_some_and(|held| held.has(response));
        let hash = spread(response.0 as u32);
        let row = self.rows.find(hash, |row| row.response == response.0 as u32);
        let near = row.and_then(|row| {
            let alike = traces.with_short(row.trace);
            alike.filter(|(_, held)| held.has(response)).map(|(id, _)| *id).min()
        });
        let more = self.least_of_more(response, holds);
        [self.find_noted(response), near, more].into_iter().flatten().min()
    }

    fn find_noted(&mut self, response: UnitHash) -> Option<TraceId> {
        for (response, trace) in &self.noted[self.looked_at..] {
            let known = self.index.entry(*response).or_insert(*trace);
            *known = (*known).min(*trace);
        }
        self.looked_at = self.noted.len();
        self.index.get(&response).copied()
    }

    /// Whatever went is dropped on the way: it costs once.
    fn least_of_more(
        &mut self,
        response: UnitHash,
        holds: impl Fn(&TraceId) -> bool,
    ) -> Option<TraceId> {
        let all = (response, TraceId(0))..=(response, TraceId(u128::MAX));
        while let Some(pair) = self.more.range(all.clone()).next().copied() {
            if holds(&pair.1) {
                return Some(pair.1);
            }
            self.more.remove(&pair);
        }
        None
    }

    /// Ends an entry: its traces are in memory now.
    pub fn end_entry(&mut self, traces: &Shards<TraceId, Held>) {
        if let Some(built) = self.built {
            for at in 0..self.noted.len() {
                let (response, trace) = self.noted[at];
                self.add(response, trace, traces);
            }
            if self.len() > 2 * built + GONE_MIN {
                (self.built, self.rows, self.more) = Default::default();
            }
        }
        self.noted.clear();
        self.noted.shrink_to(NOTED_KEPT_MAX);
        self.index.clear();
        self.index.shrink_to(NOTED_KEPT_MAX);
        self.looked_at = 0;
    }

    fn build(&mut self, traces: &Shards<TraceId, Held>) {
        for (id, held) in traces.iter() {
            responses(&held.bytes.0).for_each(|response| self.add(response, *id, traces));
        }
        self.built = Some(self.len());
    }

    fn len(&self) -> usize {
        self.rows.len() + self.more.len()
    }

    fn add(&mut self, response: UnitHash, id: TraceId, traces: &Shards<TraceId, Held>) {
        let row = Row { response: response.0 as u32, trace: traces.short(&id) };
        let alike = |other: &Row| other.response == row.response;
        match self.rows.entry(spread(row.response), alike, |row| spread(row.response)) {
            Entry::Vacant(free) => drop(free.insert(row)),
            Entry::Occupied(taken) if taken.get().trace == row.trace => {}
            Entry::Occupied(_) => drop(self.more.insert((response, id))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::join::packed::Packed;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// A trace that has these response ids and nothing else.
    fn held(responses: &BTreeSet<UnitHash>) -> Held {
        let mut bytes = vec![responses.len() as u8];
        responses.iter().for_each(|response| bytes.extend(response.0.to_le_bytes()));
        Held { answers: u8::MAX, bytes: Packed(bytes.into()), ..Held::default() }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Add(u8, u8),
        Drop(u8),
        Ask(u8),
        End,
        Forget,
    }

    /// Few ids, so that they meet; of two pairs of response ids the lower halves are the same.
    fn response(number: u8) -> UnitHash {
        UnitHash(u64::from(number % 5) | u64::from(number % 7) << 40)
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0u8..12, 0u8..14).prop_map(|(trace, response)| Step::Add(trace, response)),
            2 => (0u8..12).prop_map(Step::Drop),
            4 => (0u8..14).prop_map(Step::Ask),
            2 => Just(Step::End),
            1 => Just(Step::Forget),
        ]
    }

    proptest! {
        #[test]
        fn the_least_trace_in_memory_is_found_whatever_was_asked_before(
            steps in prop::collection::vec(step(), 1..120),
        ) {
            let (mut traces, mut index) = (Shards::default(), Responses::default());
            let mut plain: BTreeMap<TraceId, BTreeSet<UnitHash>> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Add(trace, number) => {
                        let (id, response) = (TraceId(trace.into()), response(number));
                        // As a touched trace it is not in memory until the entry ends.
                        traces.remove(&id);
                        let known = plain.entry(id).or_default();
                        known.insert(response);
                        known.iter().for_each(|response| index.note(*response, id));
                    }
                    Step::Drop(trace) if index.noted.is_empty() => {
                        plain.remove(&TraceId(trace.into()));
                        traces.remove(&TraceId(trace.into()));
                    }
                    Step::Drop(_) => {}
                    Step::Ask(number) => {
                        let asked = response(number);
                        let least = plain.iter().find(|row| row.1.contains(&asked));
                        let found = index.find(asked, &traces);
                        prop_assert_eq!(found, least.map(|row| *row.0));
                    }
                    Step::End | Step::Forget => {
                        plain.iter().for_each(|(id, all)| traces.insert(*id, held(all)));
                        index.end_entry(&traces);
                        if matches!(step, Step::Forget) {
                            index = Responses::default();
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn rows_of_traces_that_went_fall_away() {
        let (mut traces, mut index) = (Shards::default(), Responses::default());
        assert_eq!(index.find(UnitHash(1), &traces), None);
        for number in 0..3 * GONE_MIN as u64 {
            let (id, response) = (TraceId(number.into()), UnitHash(number << 8));
            traces.insert(id, held(&BTreeSet::from([response])));
            index.note(response, id);
            index.end_entry(&traces);
            assert_eq!(index.find(response, &traces), Some(id));
            traces.remove(&id);
            assert!(index.rows.len() <= GONE_MIN + 3);
        }
    }
}
