//! `join`: observations by trace. Dedupes by (trace id, span id), waits until a call is complete,
//! refuses wrappers, finds the call of a score, and says what changed: facts added or taken back.
//! What is older than the floor is asked for (`Need`) and, when it is gone, reported as late.

pub mod facts;
pub mod memo;
pub mod resolve;
mod scores;
pub mod trace;

use super::context::Context;
use super::dictionary::Dictionary;
use super::fact::{Change, Exposure, difference};
use crate::model::observation::Define;
use crate::model::{
    Alias, Assignment, Nanos, Observation, Place, Score, Sym, Target, TraceId, UnitHash,
};
use facts::{Census, Resolution, Tools, emitter};
use memo::Memo;
use resolve::Fate;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use trace::{Added, Trace};

/// Waits in a row that gained nothing before an emitter's calls stop waiting for a facet.
const FRUITLESS_MAX: u32 = 1_000;
/// Response ids, and scores by response id, that are remembered.
const ALIASES_MAX: usize = 262_144;
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

    fn take(
        &mut self,
        observation: Observation,
        now: Nanos,
        touched: &mut Touched,
        changes: &mut Vec<Change>,
        context: &Context,
        dictionary: &mut Dictionary,
    ) {
        count(&mut self.counts.observations, kind_name(&observation));
        if place_of(&observation).is_some_and(|place| place.end <= self.floor) {
            self.counts.late += 1;
            return;
        }
        match observation {
            Observation::Define(define) => self.define(define, context, dictionary),
            Observation::Assignment(told) => {
                self.take_assignment(&told, now, touched, changes, context, dictionary);
            }
            Observation::Score(score) => {
                self.take_score(score, now, touched, changes, context, dictionary);
            }
            Observation::Alias(alias) => {
                self.take_alias((alias, false), now, touched, changes, context, dictionary);
            }
            Observation::Call(call) => {
                self.touch(call.place.trace, touched, context, dictionary);
                let trace = self.traces.entry(call.place.trace).or_default();
                let added = trace.add_call(&call, now);
                self.note(added);
                if let Some(response) = call.response {
                    let (trace, span) = (call.place.trace, call.place.span);
                    let alias = Alias { response, trace, span };
                    self.take_alias((alias, true), now, touched, changes, context, dictionary);
                }
            }
            Observation::Facets(facets) => {
                self.touch(facets.place.trace, touched, context, dictionary);
                self.traces.entry(facets.place.trace).or_default().add_facets(&facets);
            }
            Observation::Link(link) => {
                self.touch(link.place.trace, touched, context, dictionary);
                self.traces.entry(link.place.trace).or_default().add_link(&link);
            }
        }
    }

    fn define(&mut self, define: Define, context: &Context, dictionary: &mut Dictionary) {
        dictionary.define(define, context.settings.limits.names_max);
    }

    fn note(&mut self, added: Added) {
        self.counts.duplicates += u64::from(added != Added::New);
        self.counts.conflicts += u64::from(added == Added::Conflict);
    }

    fn take_assignment(
        &mut self,
        told: &Assignment,
        now: Nanos,
        touched: &mut Touched,
        changes: &mut Vec<Change>,
        context: &Context,
        dictionary: &mut Dictionary,
    ) {
        let Some(id) = told.trace else {
            if let (Some(unit), true) =
                (told.unit, context.experiments.contains_key(&told.experiment))
            {
                let (experiment, arm, at) = (told.experiment, told.arm, told.time);
                changes.push(Change::Expose(Exposure { experiment, arm, unit, at }));
            }
            return;
        };
        self.touch(id, touched, context, dictionary);
        let not_before = self.floor.max(now.min(told.time)) + 1;
        self.traces.entry(id).or_default().add_assignment(told, not_before);
    }

    fn take_score(
        &mut self,
        score: Score,
        now: Nanos,
        touched: &mut Touched,
        changes: &mut Vec<Change>,
        context: &Context,
        dictionary: &mut Dictionary,
    ) {
        let id = match score.target {
            Target::Span(id, _) | Target::Trace(id) => id,
            Target::Response(response) => match self.responses.get(&response) {
                Some((alias, true)) => alias.trace,
                Some((alias, false)) => return changes.push(Change::Forward(alias.trace, score)),
                None => return self.hold(response, score, now),
            },
            // A session alone does not say which call, site or run was judged.
            Target::Session(_) => return count(&mut self.counts.orphaned, "session_only"),
        };
        self.put_score(id, &score, now, touched, context, dictionary);
    }

    fn put_score(
        &mut self,
        id: TraceId,
        score: &Score,
        now: Nanos,
        touched: &mut Touched,
        context: &Context,
        dictionary: &mut Dictionary,
    ) {
        self.touch(id, touched, context, dictionary);
        let not_before = self.floor.max(now) + 1;
        let trace = self.traces.entry(id).or_default();
        // A score keeps no old trace alive: only an unknown one needs a place to wait.
        let not_before = if trace.spans.is_empty() { not_before } else { 0 };
        trace.add_score(score, not_before);
    }

    fn hold(&mut self, response: UnitHash, score: Score, now: Nanos) {
        if self.waiting.len() >= ALIASES_MAX {
            return count(&mut self.counts.limits, "waiting_scores");
        }
        let held = self.waiting.entry(response).or_default();
        match held.iter().any(|known| known.0 == score) {
            true => {}
            false if held.len() < 64 => held.push((score, now)),
            false => count(&mut self.counts.limits, "waiting_scores"),
        }
    }

    fn take_alias(
        &mut self,
        (alias, local): (Alias, bool),
        now: Nanos,
        touched: &mut Touched,
        changes: &mut Vec<Change>,
        context: &Context,
        dictionary: &mut Dictionary,
    ) {
        if self.responses.len() < ALIASES_MAX || self.responses.contains_key(&alias.response) {
            // Of several spans with this id the least is named: any of them leads to the call.
            let known = self.responses.entry(alias.response).or_insert((alias, local));
            if (alias.trace, alias.span) < (known.0.trace, known.0.span) {
                *known = (alias, local);
            }
        } else {
            count(&mut self.counts.limits, "response_ids");
        }
        for (score, _) in self.waiting.remove(&alias.response).unwrap_or_default() {
            match local {
                true => self.put_score(alias.trace, &score, now, touched, context, dictionary),
                false => changes.push(Change::Forward(alias.trace, score)),
            }
        }
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
            make_ready(trace, now, context, dictionary, &mut self.fruitless);
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
        trace.due = next_due(trace, context).unwrap_or(0);
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

/// Marks calls as counted that are complete or have waited long enough.
fn make_ready(
    trace: &mut Trace,
    now: Nanos,
    context: &Context,
    dictionary: &Dictionary,
    fruitless: &mut BTreeMap<(Sym, u8), u32>,
) {
    let wait = context.settings.assignment_wait.0;
    let open: Vec<usize> = resolve::candidates(trace)
        .filter(|(_, candidate)| candidate.counted_at.is_none())
        .map(|(at, _)| at)
        .collect();
    for at in open {
        let lacks = resolve::lacks(trace, at, dictionary);
        let Some(candidate) = trace.spans[at].candidate() else { continue };
        let from = emitter(candidate, dictionary);
        let waited = candidate.received.saturating_add(wait) <= now;
        let hopeful = |facet: usize| {
            lacks[facet]
                && fruitless.get(&(from, facet as u8)).is_none_or(|row| *row < FRUITLESS_MAX)
        };
        if !waited && (0..3).any(hopeful) {
            continue;
        }
        let late = candidate.received < now;
        for facet in (0..3u8).filter(|_| late) {
            let row = fruitless.entry((from, facet)).or_default();
            *row = if lacks[facet as usize] { (*row + 1).min(FRUITLESS_MAX) } else { 0 };
        }
        if let trace::NodeKind::Call(candidate) = &mut trace.spans[at].kind {
            candidate.counted_at = Some(context.applied);
        }
    }
}

/// The next time at which a trace gives something else, though nothing is added to it.
fn next_due(trace: &Trace, context: &Context) -> Option<Nanos> {
    let mut next: Option<Nanos> = None;
    let mut consider = |at: Nanos| {
        if at > trace.resolved_at {
            next = Some(next.map_or(at, |known| known.min(at)));
        }
    };
    let assigned = !trace.assignments.is_empty();
    for node in &trace.spans {
        let Some(candidate) = node.candidate() else { continue };
        if candidate.counted_at.is_none() {
            consider(candidate.received.saturating_add(context.settings.assignment_wait.0));
        }
        if assigned {
            context.score_metrics().iter().for_each(|row| consider(node.end.saturating_add(row.3)));
            let scores = trace.scores.iter();
            scores.for_each(|s| consider(node.end.saturating_add(context.matures_after(s.name))));
        }
    }
    next
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
        Observation::Define(_) => "define",
    }
}

fn count(map: &mut BTreeMap<String, u64>, name: &str) {
    match map.get_mut(name) {
        Some(known) => *known += 1,
        None => drop(map.insert(name.to_owned(), 1)),
    }
}

/// One call of a trace as `explain` shows it.
#[derive(Clone, Debug)]
pub struct Explained {
    /// What becomes of the candidate.
    pub fate: Fate,
    /// After all joins.
    pub resolved: resolve::Resolved,
    /// What its span said.
    pub call: crate::model::Call,
    /// Cost, nano-USD, prices included.
    pub cost_nano: Option<u64>,
    /// Its facts in each experiment.
    pub facts: Vec<super::fact::Fact>,
}

impl Join {
    /// What became of every candidate of a trace.
    pub fn explain(
        &mut self,
        id: TraceId,
        context: &Context,
        dictionary: &mut Dictionary,
    ) -> Vec<Explained> {
        let Some(trace) = self.traces.get(&id) else { return Vec::new() };
        let (arms, _) = resolve::arms(trace, context);
        let all = resolve_one(id, trace, context, dictionary, &mut self.memo).facts;
        let mut out = Vec::new();
        for (at, fate) in resolve::fates(trace) {
            let Some(candidate) = trace.spans[at].candidate() else { continue };
            let resolved =
                resolve::resolve_call(trace, at, &arms, context, dictionary, &mut self.memo);
            let call = candidate.call;
            let tools = Tools { context, dictionary, memo: &mut self.memo };
            let cost_nano = facts::cost(&call, &resolved, &tools);
            let facts = all.iter().filter(|f| f.span == call.place.span).copied().collect();
            out.push(Explained { fate, resolved, call, cost_nano, facts });
        }
        out
    }
}
