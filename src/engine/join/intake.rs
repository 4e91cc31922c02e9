//! Taking in observations: each goes to its trace, whose state before the entry is kept to say
//! afterwards what changed.

use super::trace::Added;
use super::{Join, Touched, count, place_of};
use crate::engine::changes::Changes;
use crate::engine::context::Context;
use crate::engine::dictionary::Dictionary;
use crate::engine::fact::{Draw, Exposure};
use crate::model::observation::Define;
use crate::model::{Alias, Assignment, Nanos, Observation, Score, Target, TraceId, UnitHash};

/// Response ids, and scores by response id, that are remembered.
const ALIASES_MAX: usize = 1 << 20;
/// Scores that wait for one response id.
const HELD_MAX: usize = 64;

impl Join {
    pub(super) fn take(
        &mut self,
        observation: &Observation,
        now: Nanos,
        touched: &mut Touched,
        changes: &mut Changes,
        context: &Context,
        dictionary: &mut Dictionary,
    ) {
        self.counts.observations.count(observation);
        if place_of(observation).is_some_and(|place| place.end <= self.floor) {
            self.counts.late += 1;
            return;
        }
        match observation {
            Observation::Define(define) => self.define(define.clone(), context, dictionary),
            Observation::Assignment(told) => {
                self.take_assignment(told, now, touched, changes, context, dictionary);
            }
            Observation::Score(score) => {
                self.take_score(*score, now, touched, changes, context, dictionary);
            }
            Observation::Alias(alias) => {
                self.note_alias(alias);
                for score in self.scores_for(alias.response) {
                    changes.forwards.push((alias.trace, score));
                }
            }
            Observation::Call(call) => {
                let at = self.touch(call.place.trace, touched, context, dictionary);
                let added = touched.at(at).trace.add_call(call, now);
                self.note(added);
                if let (Added::New, Some(response)) = (added, call.response) {
                    self.responses.note(response, call.place.trace);
                    for score in self.scores_for(response) {
                        self.put_score(call.place.trace, &score, now, touched, context, dictionary);
                    }
                }
            }
            Observation::Facets(facets) => {
                let at = self.touch(facets.place.trace, touched, context, dictionary);
                touched.at(at).trace.add_facets(facets);
            }
            Observation::Covariate(covariate) => {
                let at = self.touch(covariate.place.trace, touched, context, dictionary);
                touched.at(at).trace.add_covariate(covariate);
            }
            Observation::Link(link) => {
                let at = self.touch(link.place.trace, touched, context, dictionary);
                touched.at(at).trace.add_link(link);
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
        changes: &mut Changes,
        context: &Context,
        dictionary: &mut Dictionary,
    ) {
        let Some(id) = told.trace else {
            if let (Some(unit), true) =
                (told.unit, context.experiments.contains_key(&told.experiment))
            {
                let (experiment, arm, at) = (told.experiment, told.arm, told.time);
                let allocation = context.allocation(experiment, at);
                let draw = Draw::new(allocation, told.assigned_ppm);
                changes.exposures.push(Exposure { experiment, arm, unit, at, draw });
            }
            return;
        };
        let at = self.touch(id, touched, context, dictionary);
        let not_before = self.floor.max(now.min(told.time)) + 1;
        touched.at(at).trace.add_assignment(told, not_before);
    }

    fn take_score(
        &mut self,
        score: Score,
        now: Nanos,
        touched: &mut Touched,
        changes: &mut Changes,
        context: &Context,
        dictionary: &mut Dictionary,
    ) {
        let id = match score.target {
            Target::Span(id, _) | Target::Trace(id) => id,
            Target::Response(response) => match self.home_of(response) {
                Some(Home::Here(id)) => id,
                Some(Home::Elsewhere(id)) => return changes.forwards.push((id, score)),
                None => return self.park_score(response, score, now),
            },
            // A session alone does not say which call, site or run was judged.
            Target::Session(_) => return count(&mut self.counts.orphaned, "session_only"),
        };
        self.put_score(id, &score, now, touched, context, dictionary);
    }

    pub(super) fn put_score(
        &mut self,
        id: TraceId,
        score: &Score,
        now: Nanos,
        touched: &mut Touched,
        context: &Context,
        dictionary: &mut Dictionary,
    ) {
        let at = self.touch(id, touched, context, dictionary);
        let not_before = self.floor.max(now) + 1;
        let trace = &mut touched.at(at).trace;
        // A score keeps no old trace alive: only an unknown one needs a place to wait.
        let not_before = if trace.spans.is_empty() { not_before } else { 0 };
        trace.add_score(score, not_before);
    }

    fn park_score(&mut self, response: UnitHash, score: Score, now: Nanos) {
        if self.waiting.len() >= ALIASES_MAX {
            return count(&mut self.counts.limits, "waiting_scores");
        }
        let held = self.waiting.entry(response).or_default();
        match held.iter().any(|known| known.0 == score) {
            true => {}
            false if held.len() < HELD_MAX => held.push((score, now)),
            false => count(&mut self.counts.limits, "waiting_scores"),
        }
    }

    /// Where the call of a response id is. Of several traces with it the least is named, whichever
    /// came first.
    pub(super) fn home_of(&mut self, response: UnitHash) -> Option<Home> {
        let here = self.responses.find(response, &self.traces).map(Home::Here);
        let elsewhere = self.aliases.get(&response).copied().map(Home::Elsewhere);
        let known = here.into_iter().chain(elsewhere).min_by_key(Home::trace);
        known.or_else(|| self.found.get(&response).copied().map(Home::Here))
    }

    fn note_alias(&mut self, alias: &Alias) {
        if self.aliases.len() >= ALIASES_MAX && !self.aliases.contains_key(&alias.response) {
            return count(&mut self.counts.limits, "response_ids");
        }
        let (known, _) = self.aliases.entry(alias.response, || alias.trace);
        *known = alias.trace.min(*known);
    }

    /// Scores that waited for the call of a response id.
    fn scores_for(&mut self, response: UnitHash) -> impl Iterator<Item = Score> + use<> {
        let waited = match self.waiting.is_empty() {
            true => None,
            false => self.waiting.remove(&response),
        };
        waited.unwrap_or_default().into_iter().map(|held| held.0)
    }
}

/// The trace of a response id.
#[derive(Clone, Copy, Debug)]
pub(super) enum Home {
    /// In this partition.
    Here(TraceId),
    /// In another one.
    Elsewhere(TraceId),
}

impl Home {
    /// Its id.
    pub(super) fn trace(&self) -> TraceId {
        let (Home::Here(id) | Home::Elsewhere(id)) = *self;
        id
    }
}
