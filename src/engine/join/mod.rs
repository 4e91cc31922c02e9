//! `join`: observations by trace. Dedupes by (trace id, span id), waits until a call is complete,
//! refuses wrappers, finds the call of a score, and says what changed: facts added or taken back.
//! What does not fit into memory is sealed (`shelf`) and asked for when more of it comes; what is
//! older than the horizon is reported as late.

mod agenda;
mod explain;
pub mod facts;
mod held;
mod intake;
mod kinds;
pub mod memo;
mod packed;
pub mod parts;
pub mod per_key;
pub mod resolve;
mod responses;
mod scores;
pub mod shelf;
mod touched;
pub mod trace;
mod waits;

pub use explain::Explained;

use super::changes::Changes;
use super::context::Context;
use super::dictionary::Dictionary;
use super::shards::Shards;
use super::spare::Spare;
use crate::model::{Nanos, Observation, Place, Score, Sym, TraceId, UnitHash};
use agenda::Agenda;
use facts::{Census, Resolution, Tools};
use held::Held;
use kinds::Kinds;
use memo::Memo;
use packed::{Packed, pack, unpack};
use parts::Parts;
use responses::Responses;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use touched::{Touch, Touched};
use trace::Trace;

/// Estimated bytes of a response id of another partition's trace.
const ALIAS_BYTES: u64 = 48;

/// All traces that may still change. A clone is for a snapshot: what is no state is not in it.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub struct Join {
    #[serde(skip)]
    traces: Shards<TraceId, Held>,
    /// Where the call of a response id is whose trace is in another partition.
    #[serde(skip)]
    aliases: Shards<UnitHash, TraceId>,
    /// Scores by response id that wait for their call, with the log time they came.
    waiting: BTreeMap<UnitHash, Vec<(Score, Nanos)>>,
    /// Whatever ended no later than this is no longer known.
    floor: Nanos,
    /// Traces that left memory.
    parts: Parts,
    bytes: u64,
    fruitless: BTreeMap<(Sym, u8), u32>,
    /// Counts over all traces.
    pub census: Census,
    /// Counts that only grow.
    pub counts: JoinCounts,
    /// By latest end: the oldest goes first.
    #[serde(skip)]
    by_end: Spare<Agenda>,
    /// By the time at which they have to be resolved again.
    #[serde(skip)]
    due: Spare<Agenda>,
    #[serde(skip)]
    memo: Spare<Memo>,
    /// Rooms that are used again and again.
    #[serde(skip)]
    touched: Spare<Touched>,
    /// Counts of the trace that was resolved last.
    #[serde(skip)]
    after: Spare<Census>,
    #[serde(skip)]
    packing: Spare<Vec<u8>>,
    /// Where calls of response ids are in memory.
    #[serde(skip)]
    responses: Spare<Responses>,
    /// Where calls of response ids are that this entry asked for.
    #[serde(skip)]
    found: BTreeMap<UnitHash, TraceId>,
}

/// The large maps: traces in memory, and response ids of others.
pub type Maps = (Shards<TraceId, Held>, Shards<UnitHash, TraceId>);

/// Counts that only grow.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct JoinCounts {
    /// Observations by kind.
    pub observations: Kinds,
    /// Spans that came again.
    pub duplicates: u64,
    /// Spans that came again with other content.
    pub conflicts: u64,
    /// Observations older than what is kept.
    pub late: u64,
    /// Scores given up, by reason.
    pub orphaned: BTreeMap<String, u64>,
    /// Limits that were hit.
    pub limits: BTreeMap<String, u64>,
}

/// Something that is not in memory and may be on the shelf.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Key {
    /// A trace.
    Trace(TraceId),
    /// Where the call of a response id is.
    Response(UnitHash),
    /// A unit of an experiment.
    Unit(Sym, UnitHash),
}

// === impl Join ===

impl Join {
    /// Takes the observations of an entry at log time `now`; what [`Join::needed`] named has to
    /// be admitted before.
    pub fn take_all(
        &mut self,
        observations: &[Observation],
        now: Nanos,
        context: &Context,
        dictionary: &mut Dictionary,
        changes: &mut Changes,
    ) {
        let mut touched = std::mem::take(&mut *self.touched);
        self.floor = self.floor.max(now.saturating_sub(context.settings.horizon.0));
        for observation in observations {
            self.take(observation, now, &mut touched, changes, context, dictionary);
        }
        self.settle(touched, now, now, context, dictionary, changes);
        self.tick(now, context, dictionary, changes);
    }

    /// Takes scores that another partition sent to their trace.
    pub fn deliver(
        &mut self,
        scores: &[(TraceId, Score)],
        now: Nanos,
        context: &Context,
        dictionary: &mut Dictionary,
        changes: &mut Changes,
    ) {
        let mut touched = std::mem::take(&mut *self.touched);
        for (id, score) in scores {
            self.put_score(*id, score, now, &mut touched, context, dictionary);
        }
        self.settle(touched, now, now, context, dictionary, changes);
    }

    /// Resolves what is due.
    pub fn tick(
        &mut self,
        now: Nanos,
        context: &Context,
        dictionary: &mut Dictionary,
        changes: &mut Changes,
    ) {
        let mut touched = std::mem::take(&mut *self.touched);
        let Join { due, traces, .. } = self;
        let holds = |at, id| traces.get(&id).is_some_and(|held: &Held| held.due == at);
        let mut ids = Vec::new();
        while let Some((_, id)) = due.pop(now, holds) {
            ids.push(id);
        }
        for id in ids {
            let at = self.touch(id, &mut touched, context, dictionary);
            touched.at(at).trace.due = 0;
        }
        self.settle(touched, now, now, context, dictionary, changes);
    }

    /// Resolves every trace anew after settings or decisions changed from `old` to `new`.
    pub fn reconsider(
        &mut self,
        concerns: Option<Sym>,
        old: &Context,
        new: &Context,
        dictionary: &mut Dictionary,
        changes: &mut Changes,
    ) {
        self.memo.forget_settings();
        let mut before = Memo::default();
        let mut ids: Vec<TraceId> = self.traces.iter().map(|row| *row.0).collect();
        ids.sort_unstable();
        let mut touch = Touch::default();
        for id in ids {
            let Some(held) = self.traces.get(&id) else { continue };
            touch.id = id;
            if !self.open(&held.clone(), &mut touch) {
                continue;
            }
            if concerns.is_some_and(|experiment| !touch.trace.names(experiment)) {
                continue;
            }
            let to = (old, new);
            self.reconsider_one(id, &touch.trace, to, &mut before, dictionary, changes);
            self.reschedule(&touch, new);
        }
    }

    fn reconsider_one(
        &mut self,
        id: TraceId,
        trace: &Trace,
        (old, new): (&Context, &Context),
        memo: &mut Memo,
        dictionary: &mut Dictionary,
        changes: &mut Changes,
    ) {
        let mut tools = Tools { context: old, dictionary, memo };
        let mut before = Resolution::of(id, trace, &mut tools);
        self.replace(id, trace, new, dictionary, &mut before, changes);
    }

    /// Notes when a trace that did not change has to be resolved again.
    fn reschedule(&mut self, touch: &Touch, context: &Context) {
        let due = waits::next_due(&touch.trace, context).unwrap_or(0);
        let Some(held) = self.traces.get_mut(&touch.id) else { return };
        if held.due != due {
            held.due = due;
            if due != 0 {
                self.due.push(due, touch.id);
            }
        }
    }

    /// Takes its large maps out, which are written for themselves.
    pub fn take_maps(&mut self) -> Maps {
        (std::mem::take(&mut self.traces), std::mem::take(&mut self.aliases))
    }

    /// Puts the large maps back, and computes what is not part of the state.
    pub fn put_maps(&mut self, maps: Maps) {
        (self.traces, self.aliases) = maps;
        (self.by_end, self.due) = Default::default();
        for (id, held) in self.traces.iter() {
            self.by_end.push(held.newest, *id);
            if held.due != 0 {
                self.due.push(held.due, *id);
            }
        }
    }

    /// When the next wait ends; `None` when nothing waits.
    pub fn next_due(&self) -> Option<Nanos> {
        let holds = |at, id| self.traces.get(&id).is_some_and(|held| held.due == at);
        self.due.first(holds).into_iter().chain(self.parts.next_due()).min()
    }

    /// Estimated bytes of its state.
    pub fn bytes(&self) -> u64 {
        self.bytes + (self.aliases.len() + self.waiting.len()) as u64 * ALIAS_BYTES
    }

    /// Scores that wait for a call, by response id or within a known trace.
    pub fn waiting_scores(&self) -> u64 {
        let held: usize = self.waiting.values().map(Vec::len).sum();
        held as u64 + self.census.lost_scores.max(0) as u64
    }

    /// Whatever ended no later than this is no longer known.
    pub fn floor(&self) -> Nanos {
        self.floor
    }

    /// A trace, as long as it is in memory.
    pub fn trace(&self, id: TraceId) -> Option<Trace> {
        let mut trace = Trace::default();
        let held = self.traces.get(&id)?;
        unpack(id, &held.bytes.0, self.parts.atoms(), &mut trace).ok()?;
        (trace.due, trace.part) = (held.due, held.part);
        Some(trace)
    }

    fn resolve(
        &mut self,
        id: TraceId,
        trace: &Trace,
        context: &Context,
        dictionary: &mut Dictionary,
        out: &mut Resolution,
    ) {
        out.fill(id, trace, &mut Tools { context, dictionary, memo: &mut self.memo });
    }

    /// Unpacks a trace; false, and counted, when that cannot be done.
    fn open(&mut self, held: &Held, touch: &mut Touch) -> bool {
        touch.trace.clear();
        if unpack(touch.id, &held.bytes.0, self.parts.atoms(), &mut touch.trace).is_err() {
            count(&mut self.counts.limits, "packed_unreadable");
            touch.trace.clear();
            return false;
        }
        (touch.trace.due, touch.trace.part) = (held.due, held.part);
        true
    }

    /// The place of a trace among those that the entry touches; what it gave before is noted.
    fn touch(
        &mut self,
        id: TraceId,
        touched: &mut Touched,
        context: &Context,
        dictionary: &mut Dictionary,
    ) -> usize {
        if let Some(at) = touched.find(id) {
            return at;
        }
        let at = touched.open(id);
        if let Some(held) = self.take_out(id) {
            packed::responses(&held.bytes.0).for_each(|own| self.responses.note(own, id));
            let touch = touched.at(at);
            touch.was = (held.newest, held.due);
            if self.open(&held, touch) {
                self.resolve(id, &touch.trace, context, dictionary, &mut touch.before);
            }
        }
        at
    }

    /// Takes a trace out of memory.
    fn take_out(&mut self, id: TraceId) -> Option<Held> {
        let held = self.traces.remove(&id)?;
        self.bytes -= held.bytes();
        Some(held)
    }

    /// Resolves touched traces again and says what changed; waits that end by `ready` are over.
    fn settle(
        &mut self,
        mut touched: Touched,
        now: Nanos,
        ready: Nanos,
        context: &Context,
        dictionary: &mut Dictionary,
        changes: &mut Changes,
    ) {
        for touch in touched.all() {
            self.resolve_again(touch, now, ready, context, dictionary, changes);
            self.hold(touch, context);
        }
        touched.clear();
        *self.touched = touched;
    }

    /// Says what changed of a trace.
    fn resolve_again(
        &mut self,
        touch: &mut Touch,
        now: Nanos,
        ready: Nanos,
        context: &Context,
        dictionary: &mut Dictionary,
        changes: &mut Changes,
    ) {
        let Touch { id, trace, before, .. } = touch;
        trace.resolved_at = trace.resolved_at.max(now);
        let Join { memo, fruitless, .. } = self;
        waits::make_ready(trace, ready, context, dictionary, memo, fruitless);
        self.replace(*id, trace, context, dictionary, before, changes);
    }

    /// Packs a trace, and notes when it ends and when it has to be resolved again: a wait ends, or
    /// a score matures.
    fn hold(&mut self, touch: &mut Touch, context: &Context) {
        let Touch { id, trace, was, .. } = touch;
        trace.due = waits::next_due(trace, context).unwrap_or(0);
        self.packing.clear();
        pack(trace, self.parts.atoms_mut(), &mut self.packing);
        let held = Held {
            newest: trace.newest,
            due: trace.due,
            part: trace.part,
            parked: trace.is_parked(),
            assigned: !trace.assignments.is_empty(),
            scored: !trace.scores.is_empty(),
            answers: packed::responses(&self.packing).len().min(u8::MAX.into()) as u8,
            bytes: Packed(self.packing.as_slice().into()),
        };
        if held.newest != was.0 {
            self.by_end.push(held.newest, *id);
        }
        if held.due != 0 && held.due != was.1 {
            self.due.push(held.due, *id);
        }
        self.bytes += held.bytes();
        self.traces.insert(*id, held);
    }

    /// Counts what still waits in a trace with what it has, and drops the trace.
    fn finish(
        &mut self,
        id: TraceId,
        newest: Nanos,
        context: &Context,
        dictionary: &mut Dictionary,
        changes: &mut Changes,
    ) {
        let mut touched = std::mem::take(&mut *self.touched);
        let at = self.touch(id, &mut touched, context, dictionary);
        let touch = touched.at(at);
        self.resolve_again(touch, Nanos::MAX, Nanos::MAX, context, dictionary, changes);
        self.floor = self.floor.max(newest);
        self.give_up_scores(self.after.lost_scores);
        for response in touch.trace.calls.iter().filter_map(|candidate| candidate.call.response) {
            self.forget_alias(response, id);
        }
        touched.clear();
        *self.touched = touched;
    }

    fn forget_alias(&mut self, response: UnitHash, home: TraceId) {
        if !self.aliases.is_empty() {
            self.aliases.remove_if(&response, |known| *known == home);
        }
    }

    /// Scores of a trace that goes and that found no call.
    fn give_up_scores(&mut self, lost: i64) {
        let lost = lost.max(0);
        if lost > 0 {
            *self.counts.orphaned.entry("no_call".into()).or_default() += lost as u64;
            self.census.lost_scores -= lost;
        }
    }

    fn forget_responses(&mut self, horizon: Nanos) {
        let orphaned = &mut self.counts.orphaned;
        if self.waiting.values().flatten().all(|held| held.1 >= horizon) {
            return;
        }
        self.waiting.retain(|_, held| {
            let before = held.len();
            held.retain(|pair| pair.1 >= horizon);
            let lost = (before - held.len()) as u64;
            if lost > 0 {
                *orphaned.entry("unknown_response".into()).or_default() += lost;
            }
            !held.is_empty()
        });
    }
}

/// Where an observation stands, for those that have a time of their own.
fn place_of(observation: &Observation) -> Option<Place> {
    match observation {
        Observation::Call(call) => Some(call.place),
        Observation::Facets(facets) => Some(facets.place),
        Observation::Link(link) => Some(link.place),
        Observation::Covariate(covariate) => Some(covariate.place),
        _ => None,
    }
}

fn count(map: &mut BTreeMap<String, u64>, name: &str) {
    match map.get_mut(name) {
        Some(known) => *known += 1,
        None => drop(map.insert(name.to_owned(), 1)),
    }
}
