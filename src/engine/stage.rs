//! One entry on its way through the folds. What is not in memory is asked for in between; nobody
//! sees the state until the entry is done, and a snapshot is never taken of it.

use super::changes::Changes;
use super::join::Key;
use super::join::shelf::Sweep;
use super::{Engine, Output};
use crate::model::codec::Reader;
use crate::model::shelf::{Batch, Cursor, Family, Page, Part, Record};
use crate::model::{Body, Entry, Nanos, Observation};
use std::collections::VecDeque;
use std::ops::Range;

/// What has to be read before an entry can go on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Need {
    /// The newest records of these keys, of parts from `oldest` on.
    Keys {
        /// In order.
        keys: Vec<Key>,
        /// For traces and response ids; units have no oldest part.
        oldest: Part,
    },
    /// The next sealed traces of these parts.
    Page {
        /// Which parts.
        parts: Range<Part>,
        /// Where the last page ended.
        from: Cursor,
    },
}

/// What was read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Answers {
    /// Of the keys that were asked for; a key without a record is nowhere.
    pub records: Vec<(Family, Record)>,
    /// The page that was asked for.
    pub page: Option<Page>,
}

/// What goes out of memory with an entry.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sealing {
    /// To be kept before the next entry.
    pub batches: Vec<Batch>,
    /// Traces and response ids of parts before this one are not needed any more.
    pub oldest: Part,
}

/// How far an entry got.
#[derive(Clone, Debug, Default)]
pub(super) struct Stage {
    begun: bool,
    observations: Option<Vec<Observation>>,
    /// Where the next observations go.
    room: Vec<Observation>,
    /// For its observations, in order, while there may be more to ask for.
    asked: Vec<Key>,
    /// All that its observations need was asked for.
    asked_traces: bool,
    /// All that its changes need was asked for.
    asked_units: bool,
    changes: Changes,
    sweeps: VecDeque<Sweep>,
    forgotten: bool,
    sealed: Vec<Batch>,
    pub(super) output: Output,
}

impl Stage {
    /// What the next entry begins with: nothing but the room that this one took.
    pub(super) fn room(mut self) -> Stage {
        self.room.clear();
        self.room.shrink_to(ROOM_MAX);
        self.changes.clear(ROOM_MAX);
        Stage { room: self.room, changes: self.changes, ..Stage::default() }
    }
}

/// Observations and facts whose room is kept.
const ROOM_MAX: usize = 4_096;

impl Engine {
    /// Goes on with an entry as far as what is in memory allows. `None` when all folds are done.
    pub(super) fn advance(
        &mut self,
        stage: &mut Stage,
        entry: &Entry,
        now: Nanos,
        answers: Answers,
    ) -> Option<Need> {
        if !stage.begun {
            stage.begun = true;
            self.begin(stage, entry, now);
        }
        self.absorb(stage, answers, now);
        loop {
            if let Some(need) = self.join_observations(stage, now) {
                return Some(need);
            }
            if let Some(need) = self.add_up(stage) {
                return Some(need);
            }
            if let Some(sweep) = stage.sweeps.front() {
                return Some(Need::Page { parts: sweep.parts.clone(), from: sweep.from });
            }
            if stage.forgotten {
                return None;
            }
            stage.forgotten = true;
            let Engine { context, dictionary, join, .. } = self;
            stage.sealed = join.forget(now, context, dictionary, &mut stage.changes);
        }
    }

    fn begin(&mut self, stage: &mut Stage, entry: &Entry, now: Nanos) {
        match &entry.body {
            Body::Batch(bytes) => {
                let mut observations = std::mem::take(&mut stage.room);
                self.unreadable += decode(bytes, &mut observations);
                stage.observations = Some(observations);
            }
            Body::Tick => self.tick(stage, now),
            Body::Config(json) => {
                stage.output.looked = true;
                self.configure(stage, json, now);
            }
            Body::Decision(decision) => {
                stage.output.looked = true;
                self.decide(stage, decision);
            }
            Body::Cut => {
                stage.output.cut = Some(crate::model::delivery::Why::Drain);
                self.tick(stage, now);
            }
        }
    }

    fn tick(&mut self, stage: &mut Stage, now: Nanos) {
        let Engine { context, dictionary, join, .. } = self;
        join.tick(now, context, dictionary, &mut stage.changes);
        stage.sweeps.extend(join.walks(now, context));
    }

    /// Visits sealed traces as well when settings or decisions changed what traces give.
    pub(super) fn reconsider(
        &mut self,
        stage: &mut Stage,
        old: &super::Context,
        of: Option<super::Sym>,
    ) {
        let Engine { context, dictionary, join, .. } = self;
        join.reconsider(of, old, context, dictionary, &mut stage.changes);
        stage.sweeps.extend(join.reconsider_sealed(old, of));
    }

    fn join_observations(&mut self, stage: &mut Stage, now: Nanos) -> Option<Need> {
        let observations = stage.observations.take()?;
        if !stage.asked_traces {
            let keys = self.join.needed(&observations, &stage.asked);
            // Only a response id may lead to something else to ask for.
            stage.asked_traces = !keys.iter().any(|key| matches!(key, Key::Response(_)));
            if !stage.asked_traces {
                stage.asked.extend(&keys);
                stage.asked.sort_unstable();
            }
            if !keys.is_empty() {
                stage.observations = Some(observations);
                return Some(self.ask(keys));
            }
        }
        let Engine { context, dictionary, join, .. } = self;
        join.take_all(&observations, now, context, dictionary, &mut stage.changes);
        stage.room = observations;
        self.forward(&mut stage.changes, now);
        stage.sweeps.extend(self.join.walks(now, &self.context));
        None
    }

    fn add_up(&mut self, stage: &mut Stage) -> Option<Need> {
        if !stage.asked_units {
            let keys = self.tally.needed(&stage.changes, &self.context.settings.limits);
            stage.asked_units = true;
            if !keys.is_empty() {
                return Some(self.ask(keys));
            }
        }
        let Engine { context, tally, .. } = self;
        let limits = &context.settings.limits;
        tally.apply_all(&stage.changes, limits);
        stage.changes.clear(ROOM_MAX);
        stage.asked_units = false;
        None
    }

    fn ask(&self, keys: Vec<Key>) -> Need {
        Need::Keys { keys, oldest: self.join.parts().oldest() }
    }

    fn absorb(&mut self, stage: &mut Stage, answers: Answers, now: Nanos) {
        self.join.admit(&answers.records, &self.context);
        let units = answers.records.iter().filter(|record| record.0 == Family::Units);
        units.for_each(|(_, record)| self.tally.admit_unit(record));
        let Some(page) = answers.page else { return };
        let Some(sweep) = stage.sweeps.front_mut() else { return };
        let Engine { context, dictionary, join, .. } = self;
        let changes = &mut stage.changes;
        join.visit(&sweep.walk, &page.records, now, context, dictionary, changes);
        match page.next {
            Some(next) => sweep.from = next,
            None => {
                join.visited(sweep, now);
                stage.sweeps.pop_front();
            }
        }
    }

    /// Ends an entry: what leaves memory.
    pub(super) fn seal(&mut self, stage: &mut Stage) -> Sealing {
        self.join.end_entry();
        let mut batches = std::mem::take(&mut stage.sealed);
        batches.extend(self.tally.seal(&self.context.settings.limits));
        Sealing { batches, oldest: self.join.parts().oldest() }
    }
}

/// Adds the observations of a batch; what cannot be read is counted and ends the batch.
fn decode(bytes: &[u8], out: &mut Vec<Observation>) -> u64 {
    u64::from(Reader::new(bytes).read_all(out).is_err())
}
