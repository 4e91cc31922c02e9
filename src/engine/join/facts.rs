//! From a trace to its facts: counted calls in every experiment, their matured scores, and the
//! census of what else the trace holds. Pure, like `resolve`.

use super::memo::{Memo, Scratch};
use super::per_key::PerKey;
use super::resolve::{self, Arm, Arms, Fate, Fates, Resolved, unit_of};
use super::scores;
use super::trace::{Candidate, Trace};
use crate::engine::context::Context;
use crate::engine::dictionary::Dictionary;
use crate::engine::fact::{CallFact, Draw, Fact, FactBody, MICRO, RunKey};
use crate::model::{Call, Finish, Nanos, Score, Sym, TraceId, UnitHash, UnitKind};
use serde::{Deserialize, Serialize};

/// Values above this are no measurement: sums stay exact below it.
const VALUE_MAX: u64 = 1 << 53;

/// What a trace gives: facts, and how many of what.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Resolution {
    /// In the order of its spans.
    pub facts: Vec<Fact>,
    /// Counts.
    pub census: Census,
}

/// Where what a trace gives goes.
struct Out<'a> {
    facts: &'a mut Vec<Fact>,
    census: &'a mut Census,
}

/// How many calls, wrappers, judges … ; summed over traces.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Census {
    /// Counted calls, judges excluded.
    pub calls: i64,
    /// Of these, with an arm.
    pub with_arm: i64,
    /// Of these, with a score.
    pub with_score: i64,
    /// Calls of judges.
    pub judges: i64,
    /// Calls that wait.
    pub parked: i64,
    /// Scores that have found no call.
    pub lost_scores: i64,
    /// Refused candidates by emitter.
    pub wrappers: PerKey<Sym>,
    /// Traces with two arms, by experiment.
    pub conflicts: PerKey<Sym>,
    /// Traces with calls, by flag and variant, of flags that are no experiments (yet).
    pub flags: PerKey<(Sym, Sym)>,
}

/// What resolving needs besides the trace.
pub struct Tools<'a> {
    /// Settings and decisions.
    pub context: &'a Context,
    /// Names and sets.
    pub dictionary: &'a mut Dictionary,
    /// Cached merges.
    pub memo: &'a mut Memo,
}

/// Resolves a trace: adds its facts, and gives its census in place of what was there.
pub fn resolve(
    id: TraceId,
    trace: &Trace,
    tools: &mut Tools<'_>,
    facts: &mut Vec<Fact>,
    census: &mut Census,
) {
    census.clear();
    let mut out = Out { facts, census };
    let mut scratch = std::mem::take(&mut tools.memo.scratch);
    let Scratch { fates, arms, calls } = &mut scratch;
    fates.find(trace);
    if !fates.is_empty() || !trace.scores.is_empty() {
        arms.find(trace, tools.context);
        sort_out(trace, fates, calls, tools, out.census);
        let by_call = scores::by_call(trace, fates, out.census);
        if !calls.is_empty() {
            note_trace(trace, arms, tools.context, out.census);
        }
        let mut last = None;
        for at in calls.drain(..) {
            let scores = by_call.get(&at).map_or(&[][..], |list| list.as_slice());
            add_call(id, trace, (at, scores), &arms.list, &mut last, tools, &mut out);
        }
    }
    tools.memo.scratch = scratch;
}

/// Calls that count, and how many candidates do not.
fn sort_out(
    trace: &Trace,
    fates: &Fates,
    calls: &mut Vec<usize>,
    tools: &mut Tools<'_>,
    census: &mut Census,
) {
    for (at, fate) in fates.iter() {
        let Some(candidate) = trace.candidate(at) else { continue };
        match fate {
            Fate::Wrapper => {
                let emitter = tools.memo.traits(candidate.call.set, tools.dictionary).emitter;
                census.wrappers.add(emitter, 1);
            }
            Fate::Judge => census.judges += 1,
            Fate::Call if candidate.counted_at.is_none() => census.parked += 1,
            Fate::Call => calls.push(at),
        }
    }
}

/// What is counted once for a trace with calls.
fn note_trace(trace: &Trace, arms: &Arms, context: &Context, census: &mut Census) {
    arms.conflicts.iter().for_each(|experiment| census.conflicts.set(*experiment, 1));
    let known = &context.experiments;
    let flags = trace.assignments.iter().filter(|told| !known.contains_key(&told.experiment));
    flags.for_each(|told| census.flags.set((told.experiment, told.arm), 1));
}

fn add_call(
    id: TraceId,
    trace: &Trace,
    (at, scores): (usize, &[Score]),
    arms: &[Arm],
    last: &mut Option<Resolved>,
    tools: &mut Tools<'_>,
    out: &mut Out<'_>,
) {
    let Some(candidate) = trace.candidate(at) else { return };
    out.census.calls += 1;
    out.census.with_arm += i64::from(!arms.is_empty());
    out.census.with_score += i64::from(!scores.is_empty());
    if arms.is_empty() {
        return;
    }
    let beside = last.and_then(|last| resolve::resolve_beside(trace, at, &last));
    let resolved = beside.unwrap_or_else(|| {
        resolve::resolve_call(trace, at, tools.context, tools.dictionary, tools.memo)
    });
    *last = Some(resolved);
    let covariate = trace.covariate.map(|told| told.2);
    for arm in arms {
        out.facts.push(call_fact(id, candidate, covariate, &resolved, arm, tools));
        if !scores.is_empty() || !tools.context.score_metrics().is_empty() {
            add_scores(scores, trace.resolved_at, tools.context, out.facts);
        }
    }
}

fn call_fact(
    id: TraceId,
    candidate: &Candidate,
    covariate: Option<i64>,
    resolved: &Resolved,
    arm: &Arm,
    tools: &mut Tools<'_>,
) -> Fact {
    let call = &candidate.call;
    let end = call.place.end;
    let seed = resolved.seed;
    let set =
        tools.memo.identity(arm.experiment, resolved.full, seed, tools.context, tools.dictionary);
    let counted_at = candidate.counted_at.unwrap_or_default();
    let state = tools.context.experiments.get(&arm.experiment);
    let epoch = state.map_or(1, |state| state.epoch(resolved.site, end, counted_at));
    let unit = unit_of(&resolved.units, arm, state.and_then(|state| state.unit));
    // Without what was randomised the trace is the cluster.
    let (unit, kind) = unit.unwrap_or((UnitHash((id.0 >> 64 ^ id.0) as u64), UnitKind::Trace));
    let allocation = state.map_or(0, |state| state.allocation(end));
    let planned = || state.and_then(|state| state.planned(allocation, arm.arm));
    let weight = assigned_micro(planned, arm.chance_ppm);
    Fact {
        draw: Draw::new(allocation, arm.chance_ppm),
        covariate,
        run: RunKey { experiment: arm.experiment, site: resolved.site, arm: arm.arm, epoch, set },
        unit,
        kind,
        trace: id,
        span: call.place.span,
        end,
        body: FactBody::Call(numbers(candidate, resolved, weight, tools)),
    }
}

fn numbers(
    candidate: &Candidate,
    resolved: &Resolved,
    assigned_micro: u64,
    tools: &mut Tools<'_>,
) -> CallFact {
    let call = &candidate.call;
    let sampled_micro = inverse_micro(call.sampled_ppm);
    CallFact {
        full: resolved.full,
        seed: resolved.seed,
        weight_micro: product_micro(sampled_micro, assigned_micro),
        sampled_micro,
        operation: call.operation,
        failed: !call.error.is_none(),
        finish: resolved.finish.0,
        latency_us: half_even(call.duration, 1_000),
        first_token_us: call.first_token_us.filter(in_range),
        tokens_in: call.tokens.input.filter(in_range),
        tokens_out: call.tokens.output.filter(in_range),
        cost_nano: cost(call, resolved, tools).filter(in_range),
        input: call.input,
        repeats: candidate.repeats,
    }
}

/// Cost from the span, else from the price of its revision or requested model; a failed call
/// has no priced cost.
pub fn cost(call: &Call, resolved: &Resolved, tools: &mut Tools<'_>) -> Option<u64> {
    if call.cost_nano.is_some() || tools.context.settings.prices.is_empty() {
        return call.cost_nano;
    }
    let price = tools.memo.price(resolved.full, tools.context, tools.dictionary)?;
    let input = call.tokens.input?;
    let cached = call.tokens.cached.unwrap_or(0).min(input);
    let output = call.tokens.output.unwrap_or(0);
    let usd = (input - cached) as f64 * price.input
        + cached as f64 * price.cached_input.unwrap_or(price.input)
        + output as f64 * price.output;
    Some((usd / price.per * 1e9).round_ties_even().max(0.0) as u64)
}

/// Matured scores of the call that was added last, and for each declared score metric whether it has
/// one.
fn add_scores(scores: &[Score], now: Nanos, context: &Context, out: &mut Vec<Fact>) {
    let Some(call @ Fact { body: FactBody::Call(numbers), .. }) = out.last().copied() else {
        return;
    };
    let matured = |after: Nanos| call.end.saturating_add(after) <= now;
    for score in scores.iter().filter(|s| !s.failed && matured(context.matures_after(s.name))) {
        let weight = product_micro(numbers.weight_micro, inverse_micro(score.picked_ppm));
        let body = FactBody::Score {
            name: score.name,
            grader: score.grader,
            value_micro: score.value_micro,
            label: score.label,
            weight_micro: weight,
        };
        out.push(Fact { body, ..call });
    }
    for (metric, evaluation, grader, after) in context.score_metrics() {
        if !matured(*after) || !numbers.operation.is_completion() {
            continue;
        }
        let counts = |s: &&Score| {
            !s.failed && s.name == *evaluation && grader.is_none_or(|g| g == s.grader.name)
        };
        let first = scores.iter().filter(counts).min_by_key(|score| (score.time, score.id));
        let delay_us = first.map(|score| score.time.saturating_sub(call.end) / 1_000);
        let picked_micro = inverse_micro(first.and_then(|score| score.picked_ppm));
        let weight_micro = numbers.weight_micro;
        let scored = first.is_some();
        let metric = *metric;
        let body = FactBody::Coverage { metric, scored, picked_micro, delay_us, weight_micro };
        out.push(Fact { body, ..call });
    }
}

/// Whether a call was refused for its content.
pub fn is_refusal(finish: Finish) -> bool {
    finish.has(Finish::CONTENT_FILTER)
}

fn in_range(value: &u64) -> bool {
    *value <= VALUE_MAX
}

/// 1/p in millionths; 1 when p is unknown.
fn inverse_micro(ppm: Option<u32>) -> u64 {
    match ppm {
        None | Some(0) => MICRO,
        Some(ppm) => half_even(MICRO * MICRO, u64::from(ppm)),
    }
}

/// The planned share of an arm over its logged probability, in millionths: moved traffic weighs
/// as the plan had it. 1 when no probability was logged, the inverse when nothing was planned.
fn assigned_micro(planned: impl FnOnce() -> Option<f64>, chance_ppm: Option<u32>) -> u64 {
    let Some(ppm) = chance_ppm.filter(|ppm| *ppm > 0) else { return MICRO };
    let planned_ppm = planned().map_or(MICRO, |share| (share * MICRO as f64).round() as u64);
    half_even(planned_ppm * MICRO, u64::from(ppm))
}

fn product_micro(a: u64, b: u64) -> u64 {
    // Nearly all are one, and dividing 128 bits is slow.
    if a == MICRO || b == MICRO {
        return if a == MICRO { b } else { a };
    }
    u64::try_from(u128::from(a) * u128::from(b) / u128::from(MICRO)).unwrap_or(u64::MAX)
}

/// `value / scale`, rounded half to even.
pub fn half_even(value: u64, scale: u64) -> u64 {
    let (whole, rest) = (value / scale, value % scale);
    let up = match (rest * 2).cmp(&scale) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Equal => whole & 1,
        std::cmp::Ordering::Greater => 1,
    };
    whole + up
}

// === impl Resolution ===

impl Resolution {
    /// Of a trace.
    pub fn of(id: TraceId, trace: &Trace, tools: &mut Tools<'_>) -> Self {
        let mut all = Resolution::default();
        all.fill(id, trace, tools);
        all
    }

    /// That of a trace instead of what was there.
    pub fn fill(&mut self, id: TraceId, trace: &Trace, tools: &mut Tools<'_>) {
        self.facts.clear();
        resolve(id, trace, tools, &mut self.facts, &mut self.census);
    }

    /// Forgets everything but the room it takes.
    pub fn clear(&mut self) {
        self.facts.clear();
        self.census.clear();
    }
}

// === impl Census ===

impl Census {
    /// Adds (`sign` 1) or takes back (`sign` −1) another census.
    pub fn add(&mut self, other: &Census, sign: i64) {
        self.calls += sign * other.calls;
        self.with_arm += sign * other.with_arm;
        self.with_score += sign * other.with_score;
        self.judges += sign * other.judges;
        self.parked += sign * other.parked;
        self.lost_scores += sign * other.lost_scores;
        self.wrappers.add_all(&other.wrappers, sign);
        self.conflicts.add_all(&other.conflicts, sign);
        self.flags.add_all(&other.flags, sign);
    }

    fn clear(&mut self) {
        (self.calls, self.with_arm, self.with_score) = (0, 0, 0);
        (self.judges, self.parked, self.lost_scores) = (0, 0, 0);
        self.wrappers.clear();
        self.conflicts.clear();
        self.flags.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_go_to_the_even_neighbour() {
        assert_eq!(half_even(500, 1_000), 0);
        assert_eq!(half_even(1_500, 1_000), 2);
        assert_eq!(half_even(2_500, 1_000), 2);
        assert_eq!(half_even(2_501, 1_000), 3);
    }

    #[test]
    fn a_sampled_call_weighs_the_inverse_of_its_chance() {
        assert_eq!(inverse_micro(None), MICRO);
        assert_eq!(inverse_micro(Some(250_000)), 4 * MICRO);
        assert_eq!(product_micro(4 * MICRO, MICRO / 2), 2 * MICRO);
    }
}
