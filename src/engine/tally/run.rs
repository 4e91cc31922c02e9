//! Tallies of one run in one epoch: sums per measure, observed values, and traces to look at.

use super::buckets::{BUCKETS, Buckets, bucket_of};
use super::exemplars::Exemplars;
use super::histogram::Histogram;
use super::windows::Windows;
use crate::engine::fact::{CallFact, Fact, FactBody, MICRO};
use crate::model::metric::{Measure, Origin};
use crate::model::{Finish, Nanos, SetId, Sym, UnitKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Full facet sets of a run that are told apart; above, one sum for the rest.
const FULL_SETS_MAX: usize = 256;
/// Seeds that are told apart.
const SEEDS_MAX: usize = 16;
/// Inputs of offline cases that are told apart.
const INPUTS_MAX: usize = 65_536;

/// Everything summed for one run in one epoch.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Run {
    /// Calls.
    pub calls: i64,
    /// Spans that came again.
    pub repeats: i64,
    /// Distinct units; kept by the register.
    pub units: i64,
    /// Calls by full facet set: observed values, the service to blame.
    pub full: BTreeMap<SetId, Seen>,
    /// Calls by seed.
    pub seeds: BTreeMap<i64, Seen>,
    /// Calls whose full set, seed or input found no place.
    pub more: i64,
    /// Calls by kind of unit.
    pub kinds: BTreeMap<UnitKind, i64>,
    /// Calls by input of an offline case.
    pub inputs: BTreeMap<Sym, i64>,
    /// Sums by measure.
    pub measures: BTreeMap<Measure, Sums>,
    /// End of the earliest and of the latest call it has ever held.
    pub seen: Option<(Nanos, Nanos)>,
    /// Traces to look at.
    pub exemplars: Exemplars,
}

/// How often something was seen, and when.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    /// Calls.
    pub calls: i64,
    /// End of the earliest call it was ever seen on.
    pub first: Nanos,
    /// End of the latest.
    pub last: Nanos,
}

/// Sums of one measure.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Sums {
    /// Values.
    pub n: i64,
    /// Distinct units with a value; kept by the register for scores.
    pub units: i64,
    /// Weighted sum of values, in integer units of the measure.
    pub y: i128,
    /// Sum of weights, in millionths.
    pub w: i128,
    /// Sum of squared weights, in millionths: the effective sample size.
    pub ww: i128,
    /// The same by unit bucket.
    pub buckets: Buckets,
    /// Distribution: of the values, or of the delays of a coverage.
    pub histogram: Option<Histogram>,
    /// The same by group of unit buckets, for times only: how much calls of one unit are alike
    /// in their tails.
    pub sections: Option<Box<Sections>>,
    /// By time.
    pub windows: Windows,
}

/// Histograms by group of unit buckets: units are independent, so the groups are.
pub type Sections = [Histogram; SECTIONS];

/// How many groups of unit buckets have a histogram of their own.
pub const SECTIONS: usize = 16;

// === impl Run ===

impl Run {
    /// Adds a fact (`sign` 1) or takes it back (`sign` −1).
    pub fn add(&mut self, fact: &Fact, sign: i64) {
        match &fact.body {
            FactBody::Call(call) => self.add_call(fact, call, sign),
            FactBody::Score { name, grader, value_micro, label, weight_micro } => {
                if let Some(value) = value_micro {
                    let y = weigh(*value, *weight_micro);
                    if sign > 0 {
                        self.exemplars.score(fact, *name, *value);
                    }
                    self.sum(Measure::Score(*name, *grader), fact, y, *weight_micro, None, sign);
                } else {
                    let measure = Measure::Label(*name, *grader, *label);
                    self.sum(measure, fact, weigh(1, *weight_micro), *weight_micro, None, sign);
                }
            }
            FactBody::Coverage { metric, scored, picked_micro, delay_us, weight_micro } => {
                let picked = i64::try_from(*picked_micro).unwrap_or(i64::MAX);
                let y = weigh(if *scored { picked } else { 0 }, *weight_micro);
                self.sum(Measure::Coverage(*metric), fact, y, *weight_micro, *delay_us, sign);
            }
        }
    }

    fn add_call(&mut self, fact: &Fact, call: &CallFact, sign: i64) {
        self.calls += sign;
        self.repeats += sign * i64::from(call.repeats);
        let (first, last) = self.seen.unwrap_or((fact.end, fact.end));
        self.seen = Some((first.min(fact.end), last.max(fact.end)));
        bump(&mut self.kinds, fact.kind, sign);
        let mut placed = note(&mut self.full, call.full, fact.end, sign, FULL_SETS_MAX);
        if let Some(seed) = call.seed {
            placed &= note(&mut self.seeds, seed, fact.end, sign, SEEDS_MAX);
        }
        if !call.input.is_none() {
            let room = self.inputs.len() < INPUTS_MAX || self.inputs.contains_key(&call.input);
            placed &= room;
            if room {
                bump(&mut self.inputs, call.input, sign);
            }
        }
        self.more += sign * i64::from(!placed);
        if sign > 0 {
            self.exemplars.call(fact, call);
        }
        self.add_measures(fact, call, sign);
    }

    fn add_measures(&mut self, fact: &Fact, call: &CallFact, sign: i64) {
        let w = call.weight_micro;
        let finish = call.finish();
        let mut rate = |origin, yes: bool, w: u64| {
            let y = weigh(i64::from(yes), w);
            self.sum(Measure::Call(origin), fact, y, w, None, sign);
        };
        // How many calls there were does not depend on how arms were drawn.
        rate(Origin::Calls, true, call.sampled_micro);
        if call.operation.is_completion() {
            rate(Origin::Error, call.failed, w);
            rate(Origin::Refusal, finish.has(Finish::CONTENT_FILTER), w);
            rate(Origin::Truncation, finish.has(Finish::LENGTH), w);
        }
        let timed = |value: Option<u64>| value.filter(|_| !call.failed);
        for (origin, value) in [
            (Origin::Latency, timed(Some(call.latency_us))),
            (Origin::TimeToFirstToken, timed(call.first_token_us)),
            (Origin::TokensIn, call.tokens_in),
            (Origin::TokensOut, call.tokens_out),
            (Origin::Cost, call.cost_nano),
        ] {
            if let Some(value) = value {
                let y = weigh(i64::try_from(value).unwrap_or(i64::MAX), w);
                self.sum(Measure::Call(origin), fact, y, w, Some(value), sign);
            }
        }
    }

    fn sum(
        &mut self,
        measure: Measure,
        fact: &Fact,
        y: i64,
        w: u64,
        value: Option<u64>,
        sign: i64,
    ) {
        let w = i64::try_from(w).unwrap_or(i64::MAX);
        let fine = matches!(measure, Measure::Call(origin) if origin.is_time());
        let sums = self.measures.entry(measure).or_default();
        sums.n += sign;
        sums.y += i128::from(sign * y);
        sums.w += i128::from(sign * w);
        sums.ww += i128::from(sign) * (i128::from(w) * i128::from(w) / i128::from(MICRO));
        let bucket = bucket_of(fact.unit);
        sums.buckets.add(bucket, sign * y, sign * w);
        if let Some(value) = value {
            sums.histogram.get_or_insert_default().add(value, sign);
            if fine {
                let section = usize::from(bucket) * SECTIONS / BUCKETS;
                sums.sections.get_or_insert_default()[section].add(value, sign);
            }
        }
        sums.windows.add(fact.end, (sign * y, sign * w), value, sign, fine);
        if sums.n == 0 && sums.y == 0 && sums.w == 0 && sums.units == 0 {
            self.measures.remove(&measure);
        }
    }

    /// Adds all of another: the same run of another partition.
    pub fn merge(&mut self, other: &Run) {
        self.pool(other);
        for (measure, sums) in &other.measures {
            let own = self.measures.entry(*measure).or_default();
            own.windows.merge(&sums.windows);
            own.buckets.merge(&sums.buckets);
            own.merge_sections(sums);
        }
    }

    /// Adds all of another but what only charts and intervals need (windows, buckets): for the
    /// figures of runs that are shown as one.
    pub fn pool(&mut self, other: &Run) {
        self.calls += other.calls;
        self.repeats += other.repeats;
        self.units += other.units;
        self.more += other.more;
        for (set, seen) in &other.full {
            self.full.entry(*set).or_default().merge(seen);
        }
        for (seed, seen) in &other.seeds {
            self.seeds.entry(*seed).or_default().merge(seen);
        }
        other.kinds.iter().for_each(|(kind, n)| bump(&mut self.kinds, *kind, *n));
        other.inputs.iter().for_each(|(input, n)| bump(&mut self.inputs, *input, *n));
        for (measure, sums) in &other.measures {
            self.measures.entry(*measure).or_default().pool(sums);
        }
        self.seen = match (self.seen, other.seen) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
        self.exemplars.merge(&other.exemplars);
    }

    /// Distinct units by what was counted: calls ([`Sym::NONE`]), and the scores of each grader.
    pub fn units_by_measure(&self) -> Vec<(Sym, i64)> {
        let scores = self.measures.iter().filter_map(|(measure, sums)| match measure {
            Measure::Score(name, by) => Some((super::scored_as(*name, by), sums.units)),
            _ => None,
        });
        std::iter::once((Sym::NONE, self.units)).chain(scores).collect()
    }

    /// Sums of a measure.
    pub fn sums(&self, measure: Measure) -> Option<&Sums> {
        self.measures.get(&measure)
    }

    /// Calls that ended in a minute.
    pub fn calls_in(&self, minute: u32) -> i64 {
        self.sums(Measure::Call(Origin::Calls)).map_or(0, |s| s.windows.in_minute(minute))
    }

    /// Estimated bytes.
    pub fn bytes(&self) -> u64 {
        let sums: u64 = self.measures.values().map(Sums::bytes).sum();
        let rest = self.full.len() * 64 + self.seeds.len() * 48 + self.inputs.len() * 32;
        size_of::<Run>() as u64 + sums + rest as u64
    }
}

impl Sums {
    /// Adds all of another but windows, buckets and sections.
    pub fn pool(&mut self, other: &Sums) {
        self.n += other.n;
        self.units += other.units;
        self.y += other.y;
        self.w += other.w;
        self.ww += other.ww;
        if let Some(more) = &other.histogram {
            self.histogram.get_or_insert_default().merge(more);
        }
    }

    /// Adds the sections of another.
    fn merge_sections(&mut self, other: &Sums) {
        let Some(more) = &other.sections else { return };
        let own = self.sections.get_or_insert_default();
        own.iter_mut().zip(more.iter()).for_each(|(own, more)| own.merge(more));
    }

    /// The ratio in units of the metric; `per_unit` integer units make one. Both sums carry the
    /// weights' millionths once: `y` through rounding, `w` as it is.
    pub fn level(&self, per_unit: f64) -> Option<f64> {
        (self.w > 0).then(|| self.y as f64 / (self.w as f64 / MICRO as f64) / per_unit)
    }

    fn bytes(&self) -> u64 {
        let histogram = self.histogram.as_ref().map_or(0, Histogram::bytes);
        let sections = self.sections.iter().flat_map(|all| all.iter()).map(Histogram::bytes);
        let inner = histogram + sections.sum::<u64>() + self.windows.bytes();
        size_of::<Sums>() as u64 + self.buckets.bytes() + inner
    }
}

impl Seen {
    fn merge(&mut self, other: &Seen) {
        let fresh = self.first == 0;
        self.calls += other.calls;
        self.first = if fresh { other.first } else { self.first.min(other.first) };
        self.last = self.last.max(other.last);
    }
}

/// `value × weight`, rounded once, half to even; the weight is in millionths.
fn weigh(value: i64, weight_micro: u64) -> i64 {
    if weight_micro == MICRO {
        return value;
    }
    let product = i128::from(value) * i128::from(weight_micro);
    let (whole, rest) = (product.div_euclid(MICRO.into()), product.rem_euclid(MICRO.into()));
    let up = match (rest * 2).cmp(&i128::from(MICRO)) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Equal => whole & 1,
        std::cmp::Ordering::Greater => 1,
    };
    i64::try_from(whole + up).unwrap_or(i64::MAX)
}

fn bump<K: Ord>(map: &mut BTreeMap<K, i64>, key: K, count: i64) {
    let entry = map.entry(key);
    let sum = entry.or_default();
    *sum += count;
    if *sum == 0 {
        map.retain(|_, sum| *sum != 0);
    }
}

/// Notes a value; false when there is no place for it. A place, once taken, is kept: what was
/// added without one must be taken back without one.
fn note<K: Ord>(map: &mut BTreeMap<K, Seen>, key: K, at: Nanos, sign: i64, max: usize) -> bool {
    if map.len() >= max && !map.contains_key(&key) {
        return false;
    }
    let seen = map.entry(key).or_insert(Seen { calls: 0, first: at, last: at });
    seen.calls += sign;
    seen.first = seen.first.min(at);
    seen.last = seen.last.max(at);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_round_half_to_even() {
        assert_eq!(weigh(3, MICRO / 2), 2);
        assert_eq!(weigh(1, MICRO / 2), 0);
        assert_eq!(weigh(-3, MICRO / 2), -2);
        assert_eq!(weigh(7, MICRO), 7);
    }
}
