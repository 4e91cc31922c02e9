//! `join`: observations by trace. Dedupes by (trace id, span id), waits until a call is complete,
//! refuses wrappers, finds the call of a score, and says what changed: facts added or taken back.
//! What is older than the floor is asked for (`Need`) and, when it is gone, reported as late.

mod explain;
pub mod facts;
mod intake;
pub mod memo;
pub mod resolve;
mod scores;
pub mod trace;
mod waits;

pub use explain::Explained;

use super::context::Context;
use super::dictionary::Dictionary;
use super::fact::{Change, difference};
use crate::model::{Alias, Nanos, Observation, Place, Score, Sym, TraceId, UnitHash};
use facts::{Census, Resolution, Tools};
use memo::Memo;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use trace::Trace;

/// Estimated bytes of one remembered response id.
const ALIAS_BYTES: u64 = 64;

/// All traces that may still change.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub struct Join {
    #[serde(with = "crate::engine::sorted")]
    traces: HashMap<TraceId, Trace>,
    /// By latest end: the oldest goes first.
    by_end: BTreeSet<(Nanos, TraceId)>,
    /// By the time at which they have to be resolved again.
    due: BTreeSet<(Nanos, TraceId)>,
    /// Where the call of a response id is, and whether its trace is in this partition.
    responses: BTreeMap<UnitHash, (Alias, bool)>,
    /// Scores by response id that wait for their call, with the log time they came.
    waiting: BTreeMap<UnitHash, Vec<(Score, Nanos)>>,
    /// Whatever ended no later than this is no longer known.
    floor: Nanos,
    bytes: u64,
    fruitless: BTreeMap<(Sym, u8), u32>,
    /// Counts over all traces.
    pub census: Census,
    /// Counts that only grow.
    pub counts: JoinCounts,
    #[serde(skip)]
    memo: Memo,
}

/// Counts that only grow.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct JoinCounts {
    /// Observations by kind.
    pub observations: BTreeMap<String, u64>,
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

/// A trace that is no longer in memory; its part may be on disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Key {
    /// The trace.
    pub trace: TraceId,
    /// The minute it is looked up by.
    pub minute: u32,
}

/// What the driver found for keys it was asked for.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Answers {
    /// Keys of which no part is kept any more.
    pub gone: BTreeSet<Key>,
}

/// What an entry did to the traces, or what is needed to apply it.
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// Nothing was changed; these keys must be answered first.
    Need(Vec<Key>),
    /// Applied.
    Done(Vec<Change>),
}

/// Traces touched by an entry with what they gave before.
type Touched = BTreeMap<TraceId, Resolution>;

// === impl Join ===

impl Join {
    /// Applies the observations of an entry at log time `now`.
    pub fn step(
        &mut self,
        observations: Vec<Observation>,
        now: Nanos,
        answers: &Answers,
        context: &Context,
        dictionary: &mut Dictionary,
    ) -> Step {
        let needed = self.needed(&observations, answers);
        if !needed.is_empty() {
            return Step::Need(needed);
        }
        let mut changes = Vec::new();
        let mut touched = Touched::new();
        for observation in observations {
            self.take(observation, now, &mut touched, &mut changes, context, dictionary);
        }
        self.settle(touched, now, context, dictionary, &mut changes);
        self.tick(now, context, dictionary, &mut changes);
        Step::Done(changes)
    }

    /// Takes scores that another partition sent to their trace.
    pub fn deliver(
        &mut self,
        scores: &[(TraceId, Score)],
        now: Nanos,
        context: &Context,
        dictionary: &mut Dictionary,
    ) -> Vec<Change> {
        let (mut touched, mut changes) = (Touched::new(), Vec::new());
        for (id, score) in scores {
            self.put_score(*id, score, now, &mut touched, context, dictionary);
        }
        self.settle(touched, now, context, dictionary, &mut changes);
        changes
    }

    /// Resolves what is due and forgets what is too old or does not fit.
    pub fn tick(
        &mut self,
        now: Nanos,
        context: &Context,
        dictionary: &mut Dictionary,
        changes: &mut Vec<Change>,
    ) {
        let mut touched = Touched::new();
        while let Some(&(at, id)) = self.due.first() {
            if at > now {
                break;
            }
            self.due.pop_first();
            if let Some(trace) = self.traces.get_mut(&id) {
                trace.due = 0;
            }
            self.touch(id, &mut touched, context, dictionary);
        }
        self.settle(touched, now, context, dictionary, changes);
        self.forget(now, context, dictionary, changes);
    }

    /// Resolves every trace anew after settings or decisions changed from `old` to `new`.
    pub fn reconsider(
        &mut self,
        concerns: Option<Sym>,
        old: &Context,
        new: &Context,
        dictionary: &mut Dictionary,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut ids: Vec<TraceId> = self.traces.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            let Some(trace) = self.traces.get(&id) else { continue };
            let named = |e: Sym| trace.assignments.iter().any(|told| told.experiment == e);
            if concerns.is_some_and(|experiment| !named(experiment)) {
                continue;
            }
            self.memo.forget_identities();
            let before = resolve_one(id, trace, old, dictionary, &mut self.memo);
            self.memo.forget_identities();
            let after = resolve_one(id, trace, new, dictionary, &mut self.memo);
            self.census.add(&before.census, -1);
            self.census.add(&after.census, 1);
            difference(&before.facts, &after.facts, &mut changes);
            self.schedule(id, new);
        }
        changes
    }

    /// When the next wait ends; `None` when nothing waits.
    pub fn next_due(&self) -> Option<Nanos> {
        self.due.first().map(|pair| pair.0)
    }

    /// Estimated bytes of its state.
    pub fn bytes(&self) -> u64 {
        self.bytes + (self.responses.len() + self.waiting.len()) as u64 * ALIAS_BYTES
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
    pub fn trace(&self, id: TraceId) -> Option<&Trace> {
        self.traces.get(&id)
    }

    fn needed(&self, observations: &[Observation], answers: &Answers) -> Vec<Key> {
        if self.floor == 0 {
            return Vec::new();
        }
        let keys: BTreeSet<Key> = observations
            .iter()
            .filter_map(place_of)
            .filter(|place| place.end <= self.floor)
            .map(Key::of)
            .filter(|key| !answers.gone.contains(key))
            .collect();
        keys.into_iter().collect()
    }

    /// Notes what a trace gave before it is changed.
    fn touch(
        &mut self,
        id: TraceId,
        touched: &mut Touched,
        context: &Context,
        dictionary: &mut Dictionary,
    ) {
        if touched.contains_key(&id) {
            return;
        }
        let before = match self.traces.get(&id) {
            None => Resolution::default(),
            Some(trace) => {
                self.bytes -= trace.bytes();
                self.by_end.remove(&(trace.newest, id));
                resolve_one(id, trace, context, dictionary, &mut self.memo)
            }
        };
        touched.insert(id, before);
    }

    /// Resolves touched traces again and says what changed.
    fn settle(
        &mut self,
        touched: Touched,
        now: Nanos,
        context: &Context,
        dictionary: &mut Dictionary,
        changes: &mut Vec<Change>,
    ) {
        for (id, before) in touched {
            let Some(trace) = self.traces.get_mut(&id) else { continue };
            trace.resolved_at = now;
            waits::make_ready(trace, now, context, dictionary, &mut self.fruitless);
            let after = resolve_one(id, trace, context, dictionary, &mut self.memo);
            self.census.add(&before.census, -1);
            self.census.add(&after.census, 1);
            difference(&before.facts, &after.facts, changes);
            self.bytes += trace.bytes();
            self.by_end.insert((trace.newest, id));
            self.schedule(id, context);
        }
    }

    /// Notes when a trace has to be resolved again: a wait ends, or a score matures.
    fn schedule(&mut self, id: TraceId, context: &Context) {
        let Some(trace) = self.traces.get_mut(&id) else { return };
        if trace.due != 0 {
            self.due.remove(&(trace.due, id));
        }
        trace.due = waits::next_due(trace, context).unwrap_or(0);
        if trace.due != 0 {
            self.due.insert((trace.due, id));
        }
    }

    /// Lets go of traces beyond the horizon, and of the oldest ones when memory is short.
    fn forget(
        &mut self,
        now: Nanos,
        context: &Context,
        dictionary: &mut Dictionary,
        changes: &mut Vec<Change>,
    ) {
        let horizon = now.saturating_sub(context.settings.horizon.0);
        let max = context.settings.limits.join_bytes_max;
        while let Some(&(newest, id)) = self.by_end.first() {
            let crowded = self.bytes() > max && self.traces.len() > 1;
            if newest >= horizon && !crowded {
                break;
            }
            if crowded && newest >= horizon {
                count(&mut self.counts.limits, "join_bytes");
            }
            self.seal(id, newest, context, dictionary, changes);
        }
        self.forget_responses(horizon);
    }

    /// Counts what still waits in a trace with what it has, and drops the trace.
    fn seal(
        &mut self,
        id: TraceId,
        newest: Nanos,
        context: &Context,
        dictionary: &mut Dictionary,
        changes: &mut Vec<Change>,
    ) {
        let mut touched = Touched::new();
        self.touch(id, &mut touched, context, dictionary);
        self.settle(touched, Nanos::MAX, context, dictionary, changes);
        let Some(trace) = self.traces.remove(&id) else { return };
        self.bytes -= trace.bytes();
        self.by_end.remove(&(trace.newest, id));
        self.due.remove(&(trace.due, id));
        self.floor = self.floor.max(newest);
        let last = resolve_one(id, &trace, context, dictionary, &mut self.memo);
        let lost = last.census.lost_scores.max(0) as u64;
        if lost > 0 {
            *self.counts.orphaned.entry("no_call".into()).or_default() += lost;
            self.census.lost_scores -= last.census.lost_scores;
        }
        let ids: Vec<UnitHash> =
            trace.spans.iter().filter_map(|n| n.candidate()?.call.response).collect();
        for response in ids {
            if self.responses.get(&response).is_some_and(|known| known.0.trace == id) {
                self.responses.remove(&response);
            }
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

impl Key {
    fn of(place: Place) -> Self {
        Key { trace: place.trace, minute: crate::model::minute_of(place.end) }
    }
}

fn resolve_one(
    id: TraceId,
    trace: &Trace,
    context: &Context,
    dictionary: &mut Dictionary,
    memo: &mut Memo,
) -> Resolution {
    facts::resolve(id, trace, &mut Tools { context, dictionary, memo })
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

fn kind_name(observation: &Observation) -> &'static str {
    match observation {
        Observation::Call(_) => "call",
        Observation::Facets(_) => "facets",
        Observation::Link(_) => "link",
        Observation::Score(_) => "score",
        Observation::Assignment(_) => "assignment",
        Observation::Alias(_) => "alias",
        Observation::Covariate(_) => "covariate",
        Observation::Define(_) => "define",
    }
}

fn count(map: &mut BTreeMap<String, u64>, name: &str) {
    match map.get_mut(name) {
        Some(known) => *known += 1,
        None => drop(map.insert(name.to_owned(), 1)),
    }
}
