//! `join`: observations by trace. Dedupes by (trace id, span id), waits until a call is complete,
//! refuses wrappers, finds the call of a score, and says what changed: facts added or taken back.
//! What does not fit into memory is sealed (`shelf`) and asked for when more of it comes; what is
//! older than the horizon is reported as late.

mod explain;
pub mod facts;
mod intake;
pub mod memo;
mod packed;
pub mod resolve;
mod scores;
pub mod shelf;
pub mod trace;
mod waits;

pub use explain::Explained;

use super::context::Context;
use super::dictionary::Dictionary;
use super::fact::Change;
use crate::model::{Alias, Nanos, Observation, Place, Score, Sym, TraceId, UnitHash};
use facts::{Census, Resolution, Tools};
use memo::Memo;
use serde::{Deserialize, Serialize};
use shelf::Parts;
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
    /// Traces that left memory.
    parts: Parts,
    bytes: u64,
    fruitless: BTreeMap<(Sym, u8), u32>,
    /// Counts over all traces.
    pub census: Census,
    /// Counts that only grow.
    pub counts: JoinCounts,
    #[serde(skip)]
    memo: Memo,
    /// Where calls of response ids are that this entry asked for.
    #[serde(skip)]
    found: BTreeMap<UnitHash, TraceId>,
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

/// Traces touched by an entry with what they gave before.
type Touched = BTreeMap<TraceId, Resolution>;

// === impl Join ===

impl Join {
    /// Takes the observations of an entry at log time `now`; what [`Join::needed`] named has to
    /// be admitted before.
    pub fn take_all(
        &mut self,
        observations: Vec<Observation>,
        now: Nanos,
        context: &Context,
        dictionary: &mut Dictionary,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut touched = Touched::new();
        self.floor = self.floor.max(now.saturating_sub(context.settings.horizon.0));
        for observation in observations {
            self.take(observation, now, &mut touched, &mut changes, context, dictionary);
        }
        self.settle(touched, now, now, context, dictionary, &mut changes);
        self.tick(now, context, dictionary, &mut changes);
        changes
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
        self.settle(touched, now, now, context, dictionary, &mut changes);
        changes
    }

    /// Resolves what is due.
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
        self.settle(touched, now, now, context, dictionary, changes);
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
            if concerns.is_some_and(|experiment| !trace.names(experiment)) {
                continue;
            }
            let trace = trace.clone();
            self.reconsider_one(id, &trace, (old, new), dictionary, &mut changes);
            self.schedule(id, new);
        }
        changes
    }

    fn reconsider_one(
        &mut self,
        id: TraceId,
        trace: &Trace,
        (old, new): (&Context, &Context),
        dictionary: &mut Dictionary,
        changes: &mut Vec<Change>,
    ) {
        self.memo.forget_identities();
        let before = resolve_one(id, trace, old, dictionary, &mut self.memo);
        self.memo.forget_identities();
        let after = resolve_one(id, trace, new, dictionary, &mut self.memo);
        self.replace(&before, &after, changes);
    }

    /// When the next wait ends; `None` when nothing waits.
    pub fn next_due(&self) -> Option<Nanos> {
        let young = self.due.first().map(|pair| pair.0);
        young.into_iter().chain(self.parts.next_due()).min()
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

    /// Resolves touched traces again and says what changed; waits that end by `ready` are over.
    fn settle(
        &mut self,
        touched: Touched,
        now: Nanos,
        ready: Nanos,
        context: &Context,
        dictionary: &mut Dictionary,
        changes: &mut Vec<Change>,
    ) {
        for (id, before) in touched {
            let Some(trace) = self.traces.get_mut(&id) else { continue };
            trace.resolved_at = trace.resolved_at.max(now);
            waits::make_ready(trace, ready, context, dictionary, &mut self.fruitless);
            let after = resolve_one(id, trace, context, dictionary, &mut self.memo);
            self.bytes += trace.bytes();
            self.by_end.insert((trace.newest, id));
            self.replace(&before, &after, changes);
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

    /// Counts what still waits in a trace with what it has, and drops the trace.
    fn finish(
        &mut self,
        id: TraceId,
        newest: Nanos,
        context: &Context,
        dictionary: &mut Dictionary,
        changes: &mut Vec<Change>,
    ) {
        let mut touched = Touched::new();
        self.touch(id, &mut touched, context, dictionary);
        self.settle(touched, Nanos::MAX, Nanos::MAX, context, dictionary, changes);
        let Some(trace) = self.traces.remove(&id) else { return };
        self.bytes -= trace.bytes();
        self.by_end.remove(&(trace.newest, id));
        self.due.remove(&(trace.due, id));
        self.floor = self.floor.max(newest);
        let last = resolve_one(id, &trace, context, dictionary, &mut self.memo);
        self.give_up_scores(&last);
        let ids = trace.spans.iter().filter_map(|n| n.candidate()?.call.response);
        for response in ids {
            if self.responses.get(&response).is_some_and(|known| known.0.trace == id) {
                self.responses.remove(&response);
            }
        }
    }

    /// Scores of a trace that goes and that found no call.
    fn give_up_scores(&mut self, last: &Resolution) {
        let lost = last.census.lost_scores.max(0);
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
