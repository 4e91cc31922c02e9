//! Waiting: when a call is complete enough to be counted, and when a trace has to be resolved
//! again though nothing was added to it.

use super::memo::Memo;
use super::resolve;
use super::trace::{Candidate, Trace};
use crate::engine::context::Context;
use crate::engine::dictionary::Dictionary;
use crate::model::{Nanos, Sym};
use std::collections::BTreeMap;

/// Waits in a row that gained nothing before an emitter's calls stop waiting for a facet.
const FRUITLESS_MAX: u32 = 1_000;

/// Marks calls as counted that are complete or have waited long enough.
pub fn make_ready(
    trace: &mut Trace,
    now: Nanos,
    context: &Context,
    dictionary: &Dictionary,
    memo: &mut Memo,
    fruitless: &mut BTreeMap<(Sym, u8), u32>,
) {
    if !trace.is_parked() {
        return;
    }
    let wait = context.settings.assignment_wait.0;
    for at in 0..trace.spans.len() {
        let open = |candidate: &&Candidate| candidate.counted_at.is_none();
        let Some(candidate) = trace.candidate(at).filter(open) else { continue };
        let lacks = resolve::lacks(trace, at, dictionary, memo);
        let late = candidate.received < now;
        // Most calls come with all that they need.
        if late || lacks.contains(&true) {
            let from = memo.traits(candidate.call.set, dictionary).emitter;
            let waited = candidate.received.saturating_add(wait) <= now;
            let hopeful = |facet: usize| {
                lacks[facet]
                    && fruitless.get(&(from, facet as u8)).is_none_or(|row| *row < FRUITLESS_MAX)
            };
            if !waited && (0..3).any(hopeful) {
                continue;
            }
            for facet in (0..3u8).filter(|_| late) {
                let row = fruitless.entry((from, facet)).or_default();
                *row = if lacks[facet as usize] { (*row + 1).min(FRUITLESS_MAX) } else { 0 };
            }
        }
        if let Some(candidate) = trace.candidate_mut(at) {
            candidate.counted_at = Some(context.applied);
        }
    }
}

/// The next time at which a trace gives something else, though nothing is added to it.
pub fn next_due(trace: &Trace, context: &Context) -> Option<Nanos> {
    let wait = context.settings.assignment_wait.0;
    let parked = trace.calls.iter().filter(|candidate| candidate.counted_at.is_none());
    let waits = parked.map(|candidate| candidate.received.saturating_add(wait));
    waits.filter(|at| *at > trace.resolved_at).chain(dues(trace, context)).min()
}

/// Times to come at which calls of a trace enter metrics of scores.
pub fn dues<'a>(trace: &'a Trace, context: &'a Context) -> impl Iterator<Item = Nanos> + 'a {
    let assigned = !trace.assignments.is_empty();
    let calls = trace.calls.iter().filter(move |_| assigned);
    let after = move || {
        let declared = context.score_metrics().iter().map(|row| row.3);
        declared.chain(trace.scores.iter().map(|score| context.matures_after(score.name)))
    };
    let all =
        calls.flat_map(move |node| after().map(|after| node.call.place.end.saturating_add(after)));
    all.filter(|at| *at > trace.resolved_at)
}
