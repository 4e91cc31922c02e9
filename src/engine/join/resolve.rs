//! Resolving a trace: which candidates are calls, what they inherit, whose they are.
//! A pure function of the trace and the context, so late data of any kind is handled by
//! resolving again and taking back the difference.

use super::memo::Memo;
use super::trace::{Candidate, NodeKind, Trace};
use crate::engine::context::Context;
use crate::engine::dictionary::Dictionary;
use crate::model::observation::{Role, Source};
use crate::model::{Finish, SetId, SpanId, Sym, UnitHash, UnitKind, Units};
use std::collections::BTreeMap;

/// A call after all joins.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Place of its span in the trace.
    pub at: usize,
    /// Its full facet set, inherited facets included.
    pub full: SetId,
    /// The call site.
    pub site: Sym,
    /// Its units, inherited ones included.
    pub units: Units,
    /// Its seed.
    pub seed: Option<i64>,
    /// Its finish reasons, those of log events included.
    pub finish: Finish,
    /// Experiments and arms, configured ones first; at most eight.
    pub arms: Vec<Arm>,
}

/// One experiment of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arm {
    /// The experiment.
    pub experiment: Sym,
    /// The arm.
    pub arm: Sym,
    /// The unit that the evaluation named.
    pub context: Option<UnitHash>,
    /// Chance of this arm, in millionths, when it was logged.
    pub chance_ppm: Option<u32>,
    /// How it was told.
    pub source: Source,
    /// The span that told it.
    pub span: SpanId,
}

/// What becomes of a candidate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is a call.
    Call,
    /// It repeats a call below it or one with the same response id.
    Wrapper,
    /// It is under an evaluator.
    Judge,
}

/// Fates of all candidates of a trace, by place.
pub fn fates(trace: &Trace) -> BTreeMap<usize, Fate> {
    let candidates: Vec<usize> =
        (0..trace.spans.len()).filter(|at| trace.spans[*at].candidate().is_some()).collect();
    let mut fates: BTreeMap<usize, Fate> = candidates.iter().map(|at| (*at, Fate::Call)).collect();
    for at in &candidates {
        for above in trace.ancestors(*at) {
            if let Some(fate) = fates.get_mut(&above) {
                *fate = Fate::Wrapper;
            }
        }
    }
    refuse_repeated_responses(trace, &mut fates);
    for (at, fate) in &mut fates {
        let judged = || trace.ancestors(*at).any(|above| trace.spans[above].is(Role::Evaluator));
        if *fate == Fate::Call && judged() {
            *fate = Fate::Judge;
        }
    }
    fates
}

/// Of candidates that share a response id the deepest is the call.
fn refuse_repeated_responses(trace: &Trace, fates: &mut BTreeMap<usize, Fate>) {
    if fates.len() < 2 {
        return;
    }
    let mut best: BTreeMap<UnitHash, (usize, usize)> = BTreeMap::new();
    let kept: Vec<usize> =
        fates.iter().filter(|pair| *pair.1 == Fate::Call).map(|pair| *pair.0).collect();
    for at in kept {
        let Some(response) = response_of(trace, at) else { continue };
        let depth = trace.ancestors(at).count();
        let known = best.entry(response).or_insert((depth, at));
        let refused = match known.1 {
            same if same == at => continue,
            shallower if known.0 < depth => {
                *known = (depth, at);
                shallower
            }
            _ => at,
        };
        fates.insert(refused, Fate::Wrapper);
    }
}

/// The response id of a span, its log events included.
pub fn response_of(trace: &Trace, at: usize) -> Option<UnitHash> {
    let node = &trace.spans[at];
    let own = node.candidate().and_then(|candidate| candidate.call.response);
    own.or_else(|| trace.contents_of(node.span).iter().find_map(|content| content.response))
}

/// Arms of a trace by experiment, and the experiments in which it has two.
pub fn arms(trace: &Trace, context: &Context) -> (Vec<Arm>, Vec<Sym>) {
    let mut found: BTreeMap<Sym, Arm> = BTreeMap::new();
    let mut conflicts = Vec::new();
    // Assignments are sorted by source, so the first of an experiment is the one to name.
    for told in &trace.assignments {
        if !context.experiments.contains_key(&told.experiment) {
            continue;
        }
        let arm = Arm {
            experiment: told.experiment,
            arm: told.arm,
            context: told.unit,
            chance_ppm: told.assigned_ppm,
            source: told.source,
            span: told.span,
        };
        let known = found.entry(told.experiment).or_insert(arm);
        known.context = known.context.or(told.unit);
        known.chance_ppm = known.chance_ppm.or(told.assigned_ppm);
        if known.arm != told.arm && !conflicts.contains(&told.experiment) {
            conflicts.push(told.experiment);
        }
    }
    let mut list: Vec<Arm> =
        found.into_values().filter(|arm| !conflicts.contains(&arm.experiment)).collect();
    list.sort_by_key(|arm| {
        let state = &context.experiments[&arm.experiment];
        (!state.configured, state.name.clone())
    });
    conflicts.sort();
    (list, conflicts)
}

/// One call with all that it inherits.
pub fn resolve_call(
    trace: &Trace,
    at: usize,
    arms: &[Arm],
    context: &Context,
    dictionary: &mut Dictionary,
    memo: &mut Memo,
) -> Resolved {
    let node = &trace.spans[at];
    let mut chain = Vec::with_capacity(4);
    let (mut units, mut seed, mut finish) = (node.units(), node.seed(), Finish::default());
    if let Some(candidate) = node.candidate() {
        finish = candidate.call.finish;
    }
    chain.push(node.set());
    let mut inherit = |span: SpanId, chain: &mut Vec<SetId>, own: bool| {
        for content in trace.contents_of(span) {
            push_set(chain, content.set);
            units = units.or(content.units());
            seed = seed.or(content.seed);
            if own {
                finish = finish.and(content.finish());
            }
        }
    };
    inherit(node.span, &mut chain, true);
    for above in trace.ancestors(at) {
        push_set(&mut chain, trace.spans[above].set());
        inherit(trace.spans[above].span, &mut chain, false);
    }
    for above in trace.ancestors(at) {
        units = units.or(trace.spans[above].units());
        seed = seed.or(trace.spans[above].seed());
    }
    let own = 1 + trace.contents_of(node.span).iter().filter(|c| c.set.0 != 0).count();
    let retrievals = retrievals(trace);
    let max = context.settings.limits.names_max;
    let operation = node.candidate().map(|c| c.call.operation).unwrap_or_default();
    let full = memo.merge(&chain, own, &retrievals, operation, dictionary, max);
    let site = memo.site(node.set(), full, operation, dictionary, max);
    let limit = context.settings.limits.assignments_max as usize;
    let arms = arms.iter().take(limit).copied().collect();
    Resolved { at, full, site, units, seed, finish, arms }
}

fn push_set(chain: &mut Vec<SetId>, set: SetId) {
    if set.0 != 0 {
        chain.push(set);
    }
}

/// Sets of the trace's retrieval spans, in the order of their ends.
fn retrievals(trace: &Trace) -> Vec<SetId> {
    let mut found: Vec<_> = trace
        .spans
        .iter()
        .filter(|node| node.is(Role::Retrieval) && node.set().0 != 0)
        .map(|node| (node.end, node.span, node.set()))
        .collect();
    found.sort();
    found.into_iter().map(|row| row.2).collect()
}

/// The unit of a call in an experiment, and what kind of unit it is. `None` when the call does
/// not have what was randomised.
pub fn unit_of(units: &Units, arm: &Arm, context: &Context) -> Option<(UnitHash, UnitKind)> {
    let explicit = units.explicit.or(arm.context);
    let of_kind = |kind| {
        let unit = match kind {
            UnitKind::Explicit => explicit,
            UnitKind::User => units.user,
            UnitKind::Session => units.session,
            UnitKind::Conversation => units.conversation,
            UnitKind::Trace => None,
        };
        unit.map(|unit| (unit, kind))
    };
    match context.experiments.get(&arm.experiment).and_then(|state| state.unit) {
        Some(kind) => of_kind(kind),
        None => units
            .explicit
            .map(|unit| (unit, UnitKind::Explicit))
            .or_else(|| arm.context.map(|unit| (unit, kind_of_context(unit, units))))
            .or_else(|| {
                let kinds = [UnitKind::User, UnitKind::Session, UnitKind::Conversation];
                kinds.into_iter().find_map(of_kind)
            }),
    }
}

/// A flag's context id is most often the user's id; then it is called that.
fn kind_of_context(unit: UnitHash, units: &Units) -> UnitKind {
    match Some(unit) {
        same if same == units.user => UnitKind::User,
        same if same == units.session => UnitKind::Session,
        same if same == units.conversation => UnitKind::Conversation,
        _ => UnitKind::Explicit,
    }
}

/// Whether a call has all that its trace could still supply: an arm, a unit, its prompt.
pub fn lacks(trace: &Trace, at: usize, dictionary: &Dictionary) -> [bool; 3] {
    let node = &trace.spans[at];
    let has_arm = !trace.assignments.is_empty();
    let path = || std::iter::once(at).chain(trace.ancestors(at));
    let has_unit = trace.assignments.iter().any(|told| told.unit.is_some())
        || path().any(|place| !trace.spans[place].units().is_empty())
        || trace.contents_of(node.span).iter().any(|content| !content.units().is_empty());
    let names_prompt = |set: SetId| {
        let facets = dictionary.set(set);
        facets.get(crate::model::Field::PromptHash).is_some()
    };
    let embeds = node.candidate().is_some_and(|c| !c.call.operation.is_completion());
    let has_prompt = embeds
        || path().any(|place| names_prompt(trace.spans[place].set()))
        || trace.contents_of(node.span).iter().any(|content| names_prompt(content.set));
    [!has_arm, !has_unit, !has_prompt]
}

/// Candidates of a trace with their places.
pub fn candidates(trace: &mut Trace) -> impl Iterator<Item = (usize, &mut Candidate)> {
    trace.spans.iter_mut().enumerate().filter_map(|(at, node)| match &mut node.kind {
        NodeKind::Call(candidate) => Some((at, &mut **candidate)),
        _ => None,
    })
}
