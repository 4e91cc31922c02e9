//! Which call a score belongs to. A score on a span that is no call belongs to its last
//! descendant call, one on a trace to the last chat or completion call under no evaluator.

use super::facts::Census;
use super::resolve::{Fate, Fates, response_of};
use super::trace::Trace;
use crate::model::{Score, SpanId, Target, UnitHash};
use std::collections::BTreeMap;

/// Winning scores by the place of the call they belong to; those without one are counted.
pub fn by_call(trace: &Trace, fates: &Fates, census: &mut Census) -> BTreeMap<usize, Vec<Score>> {
    let mut out: BTreeMap<usize, Vec<Score>> = BTreeMap::new();
    if trace.scores.is_empty() {
        return out;
    }
    let last = last_completion(trace, fates);
    for score in &trace.scores {
        let home = match score.target {
            Target::Span(_, span) => home_of(trace, fates, span),
            Target::Trace(_) => last,
            Target::Response(response) => home_of_response(trace, fates, response),
            Target::Session(_) => None,
        };
        match home {
            Some(at) => out.entry(at).or_default().push(*score),
            None => census.lost_scores += 1,
        }
    }
    out
}

fn last_completion(trace: &Trace, fates: &Fates) -> Option<usize> {
    let is_completion =
        |at: usize| trace.candidate(at).is_some_and(|c| c.call.operation.is_completion());
    let calls = fates.calls().filter(|at| is_completion(*at));
    calls.max_by_key(|at| (trace.spans[*at].end, trace.spans[*at].span))
}

/// The call of a response id; when none of its spans is one, where a score on them would go.
fn home_of_response(trace: &Trace, fates: &Fates, response: UnitHash) -> Option<usize> {
    let own = |at: &usize| response_of(trace, *at) == Some(response);
    fates.calls().find(own).or_else(|| {
        let spans = fates.iter().map(|row| row.0).filter(own).map(|at| trace.spans[at].span);
        spans.into_iter().find_map(|span| home_of(trace, fates, span))
    })
}

/// The span itself when it is a call, else its last descendant call; an evaluator's span has
/// none, so the search goes on above it.
fn home_of(trace: &Trace, fates: &Fates, span: SpanId) -> Option<usize> {
    let at = trace.find(span).ok()?;
    if fates.get(at) == Some(Fate::Call) {
        return Some(at);
    }
    let below = |top: usize| {
        fates
            .calls()
            .filter(|call| trace.ancestors(*call).any(|above| above == top))
            .max_by_key(|call| (trace.spans[*call].end, trace.spans[*call].span))
    };
    below(at).or_else(|| {
        let judges = trace.is(at, crate::model::observation::Role::Evaluator)
            || fates.get(at) == Some(Fate::Judge);
        judges.then(|| trace.ancestors(at).find_map(below)).flatten()
    })
}
