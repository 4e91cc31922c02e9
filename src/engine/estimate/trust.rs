//! Whether the data can be trusted at all: units in the planned shares, units in one arm only,
//! scores missing alike in all arms, and one grader for both.

use super::line::Line;
use super::pool::{Pool, Pooled};
use super::scale;
use crate::engine::context::Context;
use crate::engine::tally::Tally;
use crate::judge::family::ALPHA_TRUST;
use crate::model::verdict::Reason;
use crate::model::{Measure, Nanos, Sym};
use crate::stats::ratio::{Ratio, design_effect_of_rate};
use crate::stats::{contrast, sample_ratio, sequence};
use std::collections::BTreeMap;

/// Share of units in two arms above which nothing is believed.
pub const CROSSOVERS_MAX: f64 = 0.01;
/// Calls, scored or missing, whichever is rarer, that the test of missing scores needs per arm.
const MISSING_MIN: f64 = 10.0;
/// Units that it needs.
const MISSING_UNITS_MIN: f64 = 100.0;
/// A grader that has not judged for so many minutes while another has is no longer in use.
const GRADER_QUIET_MINUTES: u32 = 15;

/// Units against the plan.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct SampleRatio {
    /// Log e-value against the planned shares; none without a plan or without units.
    pub log_e: Option<f64>,
    /// Units in two arms, as a share of all.
    pub crossovers: f64,
    /// Some units were drawn otherwise than planned: a test of first events does not know how.
    pub moved: bool,
    /// Traffic moves, and not every unit says with which probability it was drawn.
    pub adaptive: bool,
}

/// Units by plan, logged probability of treatment (0 without), and arm.
type Drawn = BTreeMap<(u32, u16), BTreeMap<Sym, u64>>;

/// The sequential test of the sample ratio: first exposures of units, against the split that was
/// planned, or the probability that was logged, when each was first seen; e-values of allocations
/// multiply (`statistics.md` §4). Logged probabilities that differ from the plan tell the whole
/// split of two arms only; units of more arms that were drawn so are left out.
pub fn sample_ratio(experiment: Sym, context: &Context, tally: &Tally) -> SampleRatio {
    let Some(state) = context.experiments.get(&experiment) else { return SampleRatio::default() };
    let mut drawn = Drawn::new();
    let (mut all, mut silent, mut moved) = (0, 0, 0);
    for (arm, draw, units) in tally.exposed_by_draw(experiment) {
        all += units;
        silent += if draw.chance == 0 { units } else { 0 };
        let split = state.allocations.get(draw.plan as usize).map(|a| &a.split);
        let planned = draw.as_planned(split.and_then(|split| split.get(&arm)).copied());
        moved += if planned { 0 } else { units };
        let Some(split) = split.filter(|split| split.len() == 2 || planned) else { continue };
        // Of two arms, the chance of the second one by name.
        let second = split.keys().next_back() == Some(&arm);
        let chance = if second { draw.chance } else { 1_000u16.saturating_sub(draw.chance) };
        let key = (draw.plan, if planned { 0 } else { chance });
        *drawn.entry(key).or_default().entry(arm).or_default() += units.unsigned_abs();
    }
    let rows: Vec<(Vec<u64>, Vec<f64>)> = drawn
        .iter()
        .filter_map(|((plan, chance), counts)| {
            let split = &state.allocations.get(*plan as usize)?.split;
            row(split, *chance, counts)
        })
        .collect();
    let crossed = tally.crossovers(experiment).find(|pair| pair.0.is_none()).map_or(0, |p| p.1);
    SampleRatio {
        log_e: (!rows.is_empty()).then(|| sample_ratio::product(&rows)),
        crossovers: crossed as f64 / all.max(1) as f64,
        moved: moved > 0,
        adaptive: moved > 0 && silent > 0,
    }
}

/// Counts and expected shares of units that were drawn alike.
fn row(
    split: &BTreeMap<Sym, f64>,
    chance: u16,
    counts: &BTreeMap<Sym, u64>,
) -> Option<(Vec<u64>, Vec<f64>)> {
    if split.len() < 2 {
        return None;
    }
    let seen = split.keys().map(|arm| counts.get(arm).copied().unwrap_or(0)).collect();
    let share = f64::from(chance) / 1e3;
    match chance {
        0 => Some((seen, split.values().copied().collect())),
        _ => Some((seen, vec![1.0 - share, share])),
    }
}

/// What the missingness of scores says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missing {
    /// Alike, or too little to tell.
    Alike,
    /// The share of scored calls differs between the arms.
    Differs,
    /// Scores come later than calls mature: the test is held.
    Held,
}

/// The test of missing scores of a declared metric at α 0.001: the share of matured calls that
/// have a score, arm against control, as a ratio metric. A score that was picked with a logged
/// chance stands for as many calls as that says.
pub fn missing(
    metric: &str,
    (arm, control): (&Pool<'_>, &Pool<'_>),
    units: (f64, f64),
    matures_after: Nanos,
) -> Missing {
    let measure = Measure::Coverage(Sym::of(metric));
    let (Some(a), Some(c)) = (arm.sums(measure), control.sums(measure)) else {
        return Missing::Alike;
    };
    let late = [&a, &c].into_iter().filter_map(|sums| sums.histogram()).any(|delays| {
        let p95 = delays.quantile(0.95);
        p95.is_some_and(|edges| edges.0 * 1_000.0 > matures_after as f64)
    });
    if late {
        return Missing::Held;
    }
    let per_unit = measure.per_unit();
    let (Some(ra), Some(rc)) = (a.ratio(per_unit), c.ratio(per_unit)) else {
        return Missing::Alike;
    };
    // Whatever they stand for, so many calls have a score.
    let scored = |sums: &Pooled<'_>| sums.histogram().map_or(0, |delays| delays.count()) as f64;
    let share = (scored(&a) + scored(&c)) / (a.n + c.n) as f64;
    let rarer = share.min(1.0 - share) * a.n.min(c.n) as f64;
    if rarer < MISSING_MIN || units.0.min(units.1) < MISSING_UNITS_MIN {
        return Missing::Alike;
    }
    let mut found = contrast::difference(&ra, &rc);
    let is_rate = |ratio: &Ratio, sums: &Pooled<'_>| {
        (ratio.estimate - scored(sums) / sums.n as f64).abs() < 1e-3
    };
    if is_rate(&ra, &a) && is_rate(&rc, &c) {
        let deff = design_effect_of_rate(&ra, a.n_eff()).max(design_effect_of_rate(&rc, c.n_eff()));
        found = contrast::floor_of_rates(found, share, c.n_eff(), a.n_eff(), deff);
    }
    // The metric's own effect scale says nothing of missing scores.
    let gain = scale(None, units.0 + units.1, ALPHA_TRUST).gain(found.variance);
    let interval = sequence::interval(found.estimate, found.variance, gain, ALPHA_TRUST);
    match interval.contains(0.0) {
        true => Missing::Alike,
        false => Missing::Differs,
    }
}

/// Which of the lines of one metric, one per grader, decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choice {
    /// The lines at these places, in the arm and in control.
    Pair(usize, Option<usize>),
    /// None: the arm has no value at all.
    Nothing,
    /// None can be compared, and why; the line at this place carries the verdict.
    Held(usize, Reason),
}

/// The lines of a metric by which an arm is compared with control. `last` says in which minute a
/// grader judged last, in either arm.
pub fn choose(
    arm: &[Line<'_>],
    control: &[Line<'_>],
    metric: &str,
    last: &dyn Fn(&Line<'_>) -> Option<u32>,
    passes: &dyn Fn(usize, usize) -> bool,
) -> Choice {
    let places = |lines: &[Line<'_>]| -> Vec<usize> {
        let own = |at: &usize| lines[*at].definition.name == metric;
        (0..lines.len()).filter(own).collect()
    };
    let (arms, controls) = (places(arm), places(control));
    let judged: Vec<usize> = arms.iter().copied().filter(|at| arm[*at].grader.is_some()).collect();
    if judged.is_empty() {
        return match arms.first() {
            None => Choice::Nothing,
            Some(at) => Choice::Pair(*at, controls.first().copied()),
        };
    }
    let twin = |at: usize| controls.iter().copied().find(|c| control[*c].matches(&arm[at]));
    let newest = arms.iter().map(|at| &arm[*at]).chain(controls.iter().map(|at| &control[*at]));
    let newest = newest.filter_map(last).max().unwrap_or(0);
    let in_use =
        |at: &usize| last(&arm[*at]).is_some_and(|minute| minute + GRADER_QUIET_MINUTES >= newest);
    let scored = |at: usize, lines: &[Line<'_>]| lines[at].scored.unwrap_or(0);
    let pairs = |list: &mut dyn Iterator<Item = usize>| {
        list.filter_map(|at| Some((at, twin(at)?)))
            .max_by_key(|(a, c)| scored(*a, arm).min(scored(*c, control)))
    };
    let current = pairs(&mut judged.iter().copied().filter(in_use));
    let old = pairs(&mut judged.iter().copied().filter(|at| !in_use(at)));
    match (current, old) {
        (Some((a, c)), Some(_)) if !passes(a, c) => Choice::Held(a, Reason::GraderChanged),
        (Some((a, c)), _) => Choice::Pair(a, Some(c)),
        // Control has no line by any grader that judges the arm now.
        (None, Some((a, _))) => Choice::Held(a, Reason::GraderChanged),
        // Nobody has judged control yet: that is too little data, not a disagreement.
        (None, None) if controls.iter().all(|at| control[*at].grader.is_none()) => {
            Choice::Pair(judged[0], None)
        }
        (None, None) => Choice::Held(judged[0], Reason::GradersDiffer),
    }
}
