//! Traces that left memory. The oldest are sealed in parts when memory is short, asked for when
//! something of them comes again, visited when their scores mature or settings change, and
//! dropped with their part beyond the horizon. Only this fold decides what goes when, so the same
//! log gives the same parts; where they lie and how they are found is the driver's business.

use super::facts::{self, Resolution, Tools};
use super::memo::Memo;
use super::packed::{Packed, responses, unpack};
use super::parts::{Parts, ripe};
use super::touched::Touched;
use super::trace::Trace;
use super::{Held, Join, Key, count, place_of, waits};
use crate::engine::changes::Changes;
use crate::engine::context::Context;
use crate::engine::dictionary::Dictionary;
use crate::engine::fact::Fact;
use crate::model::shelf::{Batch, Cursor, Family, Part, Record, Value};
use crate::model::{MINUTE, Nanos, Observation, Sym, Target, TraceId, UnitHash, minute_of};
use std::collections::BTreeSet;
use std::ops::Range;

/// Bytes that a record takes on disk beside its own: key, part, length, filter, catalog.
const TRACE_BYTES: u64 = 27;
/// A response id and its trace, with the same.
const RESPONSE_BYTES: u64 = 33;

/// Into so many groups what is sealed falls at least, when it takes all that it may: one goes at a
/// time.
const GROUPS_MIN: u64 = 16;

/// Traces that are looked at together before they go.
const GLANCE: usize = 32;

/// Why sealed traces are visited.
#[derive(Clone, Debug)]
pub enum Walk {
    /// Scores mature.
    Mature,
    /// Settings or decisions changed from these; of this experiment, or in general.
    Reconsider(Box<Context>, Option<Sym>),
    /// They go: scores that found no call are given up.
    Expire,
}

/// A visit to sealed traces that is under way.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// Why.
    pub walk: Walk,
    /// Which parts.
    pub parts: Range<Part>,
    /// How far it got.
    pub from: Cursor,
}

fn rounded_up(due: Nanos) -> u32 {
    minute_of(due.saturating_add(MINUTE - 1))
}

// === impl Join ===

impl Join {
    /// What is sealed.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Keys that have to be read before these observations can be taken: traces that are not in
    /// memory and may be sealed, and where the calls of response ids are. What was `asked` for, in
    /// order, is not asked for again.
    pub fn needed(&mut self, observations: &[Observation], asked: &[Key]) -> Vec<Key> {
        if self.parts.groups.is_empty() {
            return Vec::new();
        }
        let (mut keys, mut last) = (Vec::new(), None);
        for observation in observations {
            // Observations of one trace mostly come one after the other.
            let Some(key) = self.key_of(observation) else { continue };
            if last.replace(key) == Some(key) {
                continue;
            }
            let known = matches!(key, Key::Trace(id) if self.traces.contains_key(&id));
            if !known && asked.binary_search(&key).is_err() {
                keys.push(key);
            }
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    fn key_of(&mut self, observation: &Observation) -> Option<Key> {
        if let Some(place) = place_of(observation) {
            return (place.end > self.floor).then_some(Key::Trace(place.trace));
        }
        let id = match observation {
            Observation::Assignment(told) => told.trace?,
            Observation::Alias(alias) => alias.trace,
            Observation::Score(score) => match score.target {
                Target::Span(id, _) | Target::Trace(id) => id,
                Target::Session(_) => return None,
                Target::Response(response) => match self.home_of(response) {
                    Some(home) => home.trace(),
                    None => return Some(Key::Response(response)),
                },
            },
            _ => return None,
        };
        Some(Key::Trace(id))
    }

    /// Takes records into memory that were asked for.
    pub fn admit(&mut self, records: &[(Family, Record)], context: &Context) {
        for (family, record) in records {
            match family {
                Family::Traces => self.admit_trace(record, context),
                Family::Responses => {
                    let id = <[u8; 16]>::try_from(&record.bytes[..]).map(u128::from_le_bytes);
                    let response = UnitHash(record.key as u64);
                    self.found.extend(id.ok().map(|id| (response, TraceId(id))));
                }
                Family::Units => {}
            }
        }
    }

    fn admit_trace(&mut self, record: &Record, context: &Context) {
        let id = TraceId::of_sealed(record.key);
        if self.traces.contains_key(&id) {
            return;
        }
        let Some(trace) = self.read(record) else { return };
        let own = trace.calls.iter().filter_map(|candidate| candidate.call.response);
        own.for_each(|response| self.responses.note(response, id));
        let mut touched = std::mem::take(&mut *self.touched);
        let at = touched.open(id);
        let touch = touched.at(at);
        touch.trace = trace;
        self.hold(touch, context);
        touched.clear();
        *self.touched = touched;
    }

    /// A sealed trace as it stands: what had matured at the last visit is counted.
    fn read(&mut self, record: &Record) -> Option<Trace> {
        let mut trace = Trace::default();
        let atoms = &self.parts.atoms;
        if unpack(TraceId::of_sealed(record.key), &record.bytes, atoms, &mut trace).is_err() {
            count(&mut self.counts.limits, "sealed_unreadable");
            return None;
        }
        trace.part = record.part;
        let visited = self.parts.group(record.part).map_or(0, |group| group.visited);
        trace.resolved_at = trace.resolved_at.max(visited);
        Some(trace)
    }

    /// Forgets what was asked for, at the end of an entry.
    pub fn end_entry(&mut self) {
        self.found.clear();
        self.responses.end_entry(&self.traces);
    }

    /// Lets go of traces beyond the horizon, and seals the oldest ones when memory is short.
    pub fn forget(
        &mut self,
        now: Nanos,
        context: &Context,
        dictionary: &mut Dictionary,
        changes: &mut Changes,
    ) -> Vec<Batch> {
        let horizon = now.saturating_sub(context.settings.horizon.0);
        let max = context.settings.limits.join_bytes_max;
        // Not much at once: the entry that it happens in waits for it.
        let goal = if self.bytes() > max { max - max / 8 } else { u64::MAX };
        let (mut ids, mut old, mut left) = (Vec::new(), Vec::new(), self.bytes());
        // The last one stays: what comes next may belong to it.
        while self.traces.len() > ids.len() + old.len() + 1 {
            if left > goal && (ids.len() + old.len()) % GLANCE == 0 {
                self.traces.glance(self.by_end.upcoming(GLANCE), |held| held.newest);
            }
            let until = if left > goal { Nanos::MAX } else { horizon.saturating_sub(1) };
            let Join { by_end, traces, .. } = self;
            let holds = |at, id| traces.get(&id).is_some_and(|held: &Held| held.newest == at);
            let Some((newest, id)) = by_end.pop(until, holds) else { break };
            let Some(held) = self.traces.get(&id) else { continue };
            left = left.saturating_sub(held.bytes());
            // What has been sealed must not come back older than it was when it left.
            let sealed = held.part != 0 && held.part >= self.parts.oldest();
            match newest < horizon && !sealed {
                true => old.push((newest, id)),
                false => ids.push(id),
            }
        }
        for (newest, id) in old {
            self.finish(id, newest, context, dictionary, changes);
        }
        self.forget_responses(horizon);
        self.seal(ids, now, context, dictionary, changes)
    }

    fn seal(
        &mut self,
        mut ids: Vec<TraceId>,
        now: Nanos,
        context: &Context,
        dictionary: &mut Dictionary,
        changes: &mut Changes,
    ) -> Vec<Batch> {
        if ids.is_empty() {
            return Vec::new();
        }
        // In the order of their records.
        ids.sort_by_cached_key(|id| id.sealed_key());
        self.end_waits(&ids, now, context, dictionary, changes);
        let (mut records, mut found) = (Vec::with_capacity(ids.len()), Vec::new());
        let (mut dues, mut newest, mut lost) = (BTreeSet::new(), 0, false);
        for (at, id) in ids.iter().copied().enumerate() {
            if at % GLANCE == 0 {
                let next = ids[at..].iter().copied().take(GLANCE);
                self.traces.glance(next, |held| held.bytes.0.first().copied().map_or(0, u64::from));
            }
            let Some(held) = self.take_out(id) else { continue };
            newest = newest.max(held.newest);
            if held.scored || held.assigned && !context.score_metrics().is_empty() {
                lost |= self.note_dues(id, &held, context, dictionary, &mut dues);
            }
            self.seal_responses(id, &held.bytes, &mut found);
            records.push((id.sealed_key(), Value::Kept(held.bytes.0)));
        }
        let responses = response_records(found);
        let traces: u64 = records.iter().map(|record| record.1.len() as u64 + TRACE_BYTES).sum();
        let bytes = traces + responses.len() as u64 * RESPONSE_BYTES;
        self.parts.bytes += bytes;
        let bytes_max = context.settings.limits.horizon_bytes_max / GROUPS_MIN;
        let group = self.parts.open(minute_of(now), bytes_max);
        let part = group.last;
        group.newest = group.newest.max(newest);
        group.bytes += bytes;
        group.dues.extend(dues);
        group.lost |= lost;
        let batch = |family, records| Batch { family, part, records };
        vec![batch(Family::Traces, records), batch(Family::Responses, responses)]
    }

    /// Counts with what they have calls that are still parked: they leave before their wait is
    /// over. What comes later corrects it.
    fn end_waits(
        &mut self,
        ids: &[TraceId],
        now: Nanos,
        context: &Context,
        dictionary: &mut Dictionary,
        changes: &mut Changes,
    ) {
        let mut touched: Touched = std::mem::take(&mut *self.touched);
        for id in ids {
            let parked = self.traces.get(id).is_some_and(|held| held.parked);
            if parked {
                count(&mut self.counts.limits, "join_bytes");
                self.touch(*id, &mut touched, context, dictionary);
            }
        }
        self.settle(touched, now, Nanos::MAX, context, dictionary, changes);
    }

    /// When scores of a trace that goes mature; says whether some of them found no call.
    fn note_dues(
        &mut self,
        id: TraceId,
        held: &Held,
        context: &Context,
        dictionary: &mut Dictionary,
        dues: &mut BTreeSet<u32>,
    ) -> bool {
        let mut trace = Trace::default();
        if unpack(id, &held.bytes.0, &self.parts.atoms, &mut trace).is_err() {
            return false;
        }
        dues.extend(waits::dues(&trace, context).map(rounded_up));
        let mut last = Resolution::default();
        if held.scored {
            self.resolve(id, &trace, context, dictionary, &mut last);
        }
        last.census.lost_scores > 0
    }

    fn seal_responses(&mut self, id: TraceId, bytes: &Packed, out: &mut Vec<(UnitHash, TraceId)>) {
        for response in responses(&bytes.0) {
            out.push((response, id));
            self.forget_alias(response, id);
        }
    }

    /// Visits that are due: of parts that mature, and of those beyond the horizon or the limit.
    pub fn walks(&mut self, now: Nanos, context: &Context) -> Vec<Sweep> {
        let mut out = self.expire(now, context);
        let going = out.len();
        for group in self.parts.groups.iter().skip(going) {
            if group.dues.first().is_some_and(|minute| ripe(*minute) <= now) {
                out.push(Sweep::of(Walk::Mature, group.first..group.last + 1));
            }
        }
        out
    }

    fn expire(&mut self, now: Nanos, context: &Context) -> Vec<Sweep> {
        let horizon = now.saturating_sub(context.settings.horizon.0);
        let max = context.settings.limits.horizon_bytes_max;
        while let Some(group) = self.parts.groups.front() {
            // The next batch has to fit.
            let crowded = self.parts.bytes > max - max / 32 && self.parts.groups.len() > 1;
            if group.newest >= horizon && !crowded {
                break;
            }
            if group.newest >= horizon {
                count(&mut self.counts.limits, "horizon_bytes");
            }
            if group.lost {
                return vec![Sweep::of(Walk::Expire, group.first..group.last + 1)];
            }
            self.floor = self.floor.max(self.parts.drop_oldest());
        }
        Vec::new()
    }

    /// A visit to all parts because settings or decisions changed.
    pub fn reconsider_sealed(&self, old: &Context, concerns: Option<Sym>) -> Option<Sweep> {
        let parts = self.parts.oldest()..self.parts.last + 1;
        let walk = || Walk::Reconsider(Box::new(old.clone()), concerns);
        (!self.parts.groups.is_empty()).then(|| Sweep::of(walk(), parts))
    }

    /// Visits some sealed traces; those in memory speak for themselves.
    pub fn visit(
        &mut self,
        walk: &Walk,
        records: &[Record],
        now: Nanos,
        context: &Context,
        dictionary: &mut Dictionary,
        changes: &mut Changes,
    ) {
        let mut before = Memo::default();
        for record in records {
            if self.traces.contains_key(&TraceId::of_sealed(record.key)) {
                continue;
            }
            let Some(trace) = self.read(record) else { continue };
            match walk {
                Walk::Mature => self.mature(record, trace, now, context, dictionary, changes),
                Walk::Expire => self.expire_one(record, &trace, context, dictionary),
                Walk::Reconsider(old, concerns) => {
                    if concerns.is_none_or(|experiment| trace.names(experiment)) {
                        let (id, to) = (TraceId::of_sealed(record.key), (&**old, context));
                        self.reconsider_one(id, &trace, to, &mut before, dictionary, changes);
                    }
                    let dues: Vec<u32> = waits::dues(&trace, context).map(rounded_up).collect();
                    if let Some(group) = self.parts.group(record.part) {
                        group.dues.extend(dues);
                    }
                }
            }
        }
    }

    fn mature(
        &mut self,
        record: &Record,
        mut trace: Trace,
        now: Nanos,
        context: &Context,
        dictionary: &mut Dictionary,
        changes: &mut Changes,
    ) {
        if waits::next_due(&trace, context).is_none_or(|due| due > now) {
            return;
        }
        let id = TraceId::of_sealed(record.key);
        let mut before = Resolution::default();
        self.resolve(id, &trace, context, dictionary, &mut before);
        trace.resolved_at = now;
        self.replace(id, &trace, context, dictionary, &mut before, changes);
    }

    fn expire_one(
        &mut self,
        record: &Record,
        trace: &Trace,
        context: &Context,
        dictionary: &mut Dictionary,
    ) {
        if !trace.scores.is_empty() {
            let id = TraceId::of_sealed(record.key);
            let mut last = Resolution::default();
            self.resolve(id, trace, context, dictionary, &mut last);
            self.give_up_scores(last.census.lost_scores);
        }
    }

    /// Ends a visit.
    pub fn visited(&mut self, sweep: &Sweep, now: Nanos) {
        match sweep.walk {
            Walk::Expire => self.floor = self.floor.max(self.parts.drop_oldest()),
            Walk::Mature => {
                if let Some(group) = self.parts.group(sweep.parts.start) {
                    group.visited = now;
                    group.dues.retain(|minute| u64::from(*minute) * MINUTE > now);
                }
            }
            Walk::Reconsider(..) => {}
        }
    }

    /// What a trace gives now in place of what it gave before.
    pub(super) fn replace(
        &mut self,
        id: TraceId,
        trace: &Trace,
        context: &Context,
        dictionary: &mut Dictionary,
        before: &mut Resolution,
        changes: &mut Changes,
    ) {
        let Join { memo, after, census, .. } = self;
        let mut tools = Tools { context, dictionary, memo };
        let give = |facts: &mut Vec<Fact>| facts::resolve(id, trace, &mut tools, facts, after);
        changes.replace(&mut before.facts, give);
        census.add(&before.census, -1);
        census.add(after, 1);
    }
}

/// Response ids in order, each with the least of its traces.
fn response_records(mut found: Vec<(UnitHash, TraceId)>) -> Vec<(u128, Value)> {
    found.sort_unstable();
    found.dedup_by_key(|pair| pair.0);
    let record = |(response, id): (UnitHash, TraceId)| {
        (u128::from(response.0), Value::Id(id.0.to_le_bytes()))
    };
    found.into_iter().map(record).collect()
}

impl Sweep {
    fn of(walk: Walk, parts: Range<Part>) -> Self {
        Sweep { walk, parts, from: Cursor::default() }
    }
}
