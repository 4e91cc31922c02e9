//! Waiting: when a call is complete enough to be counted, and when a trace has to be resolved
//! again though nothing was added to it.

use super::facts::emitter;
use super::resolve;
use super::trace::{NodeKind, Trace};
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
        if let NodeKind::Call(candidate) = &mut trace.spans[at].kind {
            candidate.counted_at = Some(context.applied);
        }
    }
}

/// The next time at which a trace gives something else, though nothing is added to it.
pub fn next_due(trace: &Trace, context: &Context) -> Option<Nanos> {
    let wait = context.settings.assignment_wait.0;
    let candidates = trace.spans.iter().filter_map(|node| node.candidate());
    let parked = candidates.filter(|candidate| candidate.counted_at.is_none());
    let waits = parked.map(|candidate| candidate.received.saturating_add(wait));
    waits.filter(|at| *at > trace.resolved_at).chain(dues(trace, context)).min()
}

/// Times to come at which calls of a trace enter metrics of scores.
pub fn dues<'a>(trace: &'a Trace, context: &'a Context) -> impl Iterator<Item = Nanos> + 'a {
    let assigned = !trace.assignments.is_empty();
    let calls = trace.spans.iter().filter(move |node| assigned && node.candidate().is_some());
    let after = move || {
        let declared = context.score_metrics().iter().map(|row| row.3);
        declared.chain(trace.scores.iter().map(|score| context.matures_after(score.name)))
    };
    let all = calls.flat_map(move |node| after().map(|after| node.end.saturating_add(after)));
    all.filter(|at| *at > trace.resolved_at)
}
