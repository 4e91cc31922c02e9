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
