//! Resolving a trace: which candidates are calls, what they inherit, whose they are.
//! A pure function of the trace and the context, so late data of any kind is handled by
//! resolving again and taking back the difference.

use super::memo::Memo;
use super::trace::Trace;
use crate::engine::context::Context;
use crate::engine::dictionary::Dictionary;
use crate::model::observation::{Role, Source};
use crate::model::{
    Assignment, Call, Facets, Finish, Operation, SetId, SpanId, Sym, UnitHash, UnitKind, Units,
};
use std::collections::BTreeMap;

/// A call after all joins.
#[derive(Clone, Copy, Debug)]
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
#[derive(Clone, Debug, Default)]
pub struct Fates(Vec<(usize, Fate)>);

impl Fates {
    /// Of a trace.
    pub fn of(trace: &Trace) -> Self {
        let mut fates = Fates::default();
        fates.find(trace);
        fates
    }

    /// Those of a trace instead of what was there.
    pub fn find(&mut self, trace: &Trace) {
        self.0.clear();
        let places = 0..trace.spans.len();
        let candidates = places.filter(|at| trace.candidate(*at).is_some());
        self.0.extend(candidates.map(|at| (at, Fate::Call)));
        for place in 0..self.0.len() {
            for above in trace.ancestors(self.0[place].0) {
                self.set(above, Fate::Wrapper);
            }
        }
        if has_repeated_responses(trace) {
            self.refuse_repeated_responses(trace);
        }
        if trace.has(Role::Evaluator) {
            for (at, fate) in &mut self.0 {
                let judged = || trace.ancestors(*at).any(|above| trace.is(above, Role::Evaluator));
                if *fate == Fate::Call && judged() {
                    *fate = Fate::Judge;
                }
            }
        }
    }

    /// What becomes of the candidate at a place.
    pub fn get(&self, at: usize) -> Option<Fate> {
        let found = self.0.binary_search_by_key(&at, |row| row.0);
        found.ok().map(|place| self.0[place].1)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (usize, Fate)> {
        self.0.iter().copied()
    }

    /// Places of those that are calls, in order.
    pub fn calls(&self) -> impl Iterator<Item = usize> {
        self.iter().filter(|row| row.1 == Fate::Call).map(|row| row.0)
    }

    /// Whether there is no candidate.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn set(&mut self, at: usize, fate: Fate) {
        if let Ok(place) = self.0.binary_search_by_key(&at, |row| row.0) {
            self.0[place].1 = fate;
        }
    }

    /// Of candidates that share a response id the deepest is the call.
    fn refuse_repeated_responses(&mut self, trace: &Trace) {
        let mut best: BTreeMap<UnitHash, (usize, usize)> = BTreeMap::new();
        let kept: Vec<usize> = self.calls().collect();
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
            self.set(refused, Fate::Wrapper);
        }
    }
}

/// Candidates up to which all pairs are compared.
const PAIRS_MAX: usize = 16;

/// Whether two candidates may have one response id.
fn has_repeated_responses(trace: &Trace) -> bool {
    let calls = &trace.calls;
    if calls.len() < 2 {
        return false;
    }
    if calls.len() > PAIRS_MAX || !trace.contents.is_empty() {
        return true;
    }
    let again = |(at, one): (usize, &super::trace::Candidate)| {
        let same = |other: &super::trace::Candidate| other.call.response == one.call.response;
        one.call.response.is_some() && calls[..at].iter().any(same)
    };
    calls.iter().enumerate().any(again)
}

/// The response id of a span, its log events included.
pub fn response_of(trace: &Trace, at: usize) -> Option<UnitHash> {
    let node = &trace.spans[at];
    let own = trace.candidate(at).and_then(|candidate| candidate.call.response);
    own.or_else(|| trace.contents_of(node.span).iter().find_map(|content| content.response))
}

/// Arms of a trace by experiment, and the experiments in which it has two.
#[derive(Clone, Debug, Default)]
pub struct Arms {
    /// Configured ones first.
    pub list: Vec<Arm>,
    /// In order.
    pub conflicts: Vec<Sym>,
}

impl Arms {
    /// Of a trace.
    pub fn of(trace: &Trace, context: &Context) -> Self {
        let mut arms = Arms::default();
        arms.find(trace, context);
        arms
    }

    /// Those of a trace instead of what was there.
    pub fn find(&mut self, trace: &Trace, context: &Context) {
        let Arms { list, conflicts } = self;
        list.clear();
        conflicts.clear();
        // Assignments are sorted by source, so the first of an experiment is the one to name.
        for told in &trace.assignments {
            match list.iter_mut().find(|arm| arm.experiment == told.experiment) {
                Some(known) => {
                    known.context = known.context.or(told.unit);
                    known.chance_ppm = known.chance_ppm.or(told.assigned_ppm);
                    if known.arm != told.arm && !conflicts.contains(&told.experiment) {
                        conflicts.push(told.experiment);
                    }
                }
                None if context.experiments.contains_key(&told.experiment) => {
                    list.push(Arm::of(told));
                }
                None => {}
            }
        }
        if !conflicts.is_empty() {
            list.retain(|arm| !conflicts.contains(&arm.experiment));
            conflicts.sort();
        }
        if list.len() > 1 {
            let place = |arm: &Arm| {
                let state = &context.experiments[&arm.experiment];
                (!state.configured, &state.name)
            };
            list.sort_by(|a, b| place(a).cmp(&place(b)).then(a.experiment.cmp(&b.experiment)));
        }
        list.truncate(context.settings.limits.assignments_max as usize);
    }
}

impl Arm {
    fn of(told: &Assignment) -> Self {
        Arm {
            experiment: told.experiment,
            arm: told.arm,
            context: told.unit,
            chance_ppm: told.assigned_ppm,
            source: told.source,
            span: told.span,
        }
    }
}

/// A call that stands beside one that is resolved already, and says the same: it inherits the same.
pub fn resolve_beside(trace: &Trace, at: usize, last: &Resolved) -> Option<Resolved> {
    let (one, other) = (trace.candidate(at)?, trace.candidate(last.at)?);
    let says = |call: &Call| (call.place.parent, call.set, call.units, call.seed, call.operation);
    if !trace.contents.is_empty() || says(&one.call) != says(&other.call) {
        return None;
    }
    // Where parents go in a circle, each goes round it from another place.
    let span = other.call.place.span;
    let circles = |above: usize| above == at || trace.spans[above].parent == span;
    let inherits = !trace.ancestors(last.at).any(circles);
    inherits.then_some(Resolved { at, finish: one.call.finish, ..*last })
}

/// One call with all that it inherits.
pub fn resolve_call(
    trace: &Trace,
    at: usize,
    context: &Context,
    dictionary: &mut Dictionary,
    memo: &mut Memo,
) -> Resolved {
    let node = &trace.spans[at];
    let (mut units, mut seed, mut finish) = (trace.units(at), trace.seed(at), Finish::default());
    let mut operation = Operation::default();
    if let Some(candidate) = trace.candidate(at) {
        finish = candidate.call.finish;
        operation = candidate.call.operation;
    }
    let mut chain = memo.take_chain();
    chain.push(trace.set(at));
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
    let own = chain.len();
    for above in trace.ancestors(at) {
        push_set(&mut chain, trace.set(above));
        inherit(trace.spans[above].span, &mut chain, false);
    }
    for above in trace.ancestors(at) {
        units = units.or(trace.units(above));
        seed = seed.or(trace.seed(above));
    }
    let max = context.settings.limits.names_max;
    let full = memo.merge(chain, own, &retrievals(trace), operation, dictionary, max);
    let site = memo.site(trace.set(at), full, operation, dictionary, max);
    Resolved { at, full, site, units, seed, finish }
}

fn push_set(chain: &mut Vec<SetId>, set: SetId) {
    if set.0 != 0 {
        chain.push(set);
    }
}

/// Sets of the trace's retrieval spans, in the order of their ends.
fn retrievals(trace: &Trace) -> Vec<SetId> {
    let retrieves = |facets: &&Facets| facets.role == Role::Retrieval && facets.set.0 != 0;
    let found = trace.facets.iter().filter(retrieves);
    let mut found: Vec<_> = found.map(|f| (f.place.end, f.place.span, f.set)).collect();
    found.sort();
    found.into_iter().map(|row| row.2).collect()
}

/// The unit of a call in an experiment that randomises such units, if that is known, and what kind
/// of unit it is. `None` when the call does not have what was randomised.
pub fn unit_of(
    units: &Units,
    arm: &Arm,
    randomised: Option<UnitKind>,
) -> Option<(UnitHash, UnitKind)> {
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
    match randomised {
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
pub fn lacks(trace: &Trace, at: usize, dictionary: &Dictionary, memo: &mut Memo) -> [bool; 3] {
    let node = &trace.spans[at];
    let has_arm = !trace.assignments.is_empty();
    let path = || std::iter::once(at).chain(trace.ancestors(at));
    let has_unit = trace.assignments.iter().any(|told| told.unit.is_some())
        || path().any(|place| !trace.units(place).is_empty())
        || trace.contents_of(node.span).iter().any(|content| !content.units().is_empty());
    let mut names_prompt = |set: SetId| memo.traits(set, dictionary).names_prompt;
    let embeds = trace.candidate(at).is_some_and(|c| !c.call.operation.is_completion());
    let has_prompt = embeds
        || path().any(|place| names_prompt(trace.set(place)))
        || trace.contents_of(node.span).iter().any(|content| names_prompt(content.set));
    [!has_arm, !has_unit, !has_prompt]
}
