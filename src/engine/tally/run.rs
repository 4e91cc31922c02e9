//! Tallies of one run in one epoch: sums per measure, observed values, and traces to look at.

use super::buckets::{BUCKETS, Buckets, bucket_of};
use super::exemplars::Exemplars;
use super::histogram::{Bucket, Histogram};
use super::measures::Measures;
use super::windows::{Moment, Windows};
use crate::engine::fact::{CallFact, Fact, FactBody, MICRO};
use crate::model::metric::{Measure, Origin};
use crate::model::{Nanos, SetId, Sym, UnitKind};
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
    pub measures: Measures,
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

/// Calls of one run that differ only in their numbers.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Alike {
    /// Kind of their unit.
    pub kind: UnitKind,
    /// Their full facet set.
    pub full: SetId,
    /// Their seed.
    pub seed: Option<i64>,
    /// Their input, of an offline case.
    pub input: Sym,
    /// How many; what is taken back is negative.
    pub calls: i64,
    /// How often their spans came again.
    pub repeats: i64,
    /// End of the earliest and of the latest.
    pub seen: (Nanos, Nanos),
}

impl Alike {
    /// Of one call.
    pub fn of(fact: &Fact, call: &CallFact, sign: i64) -> Self {
        let CallFact { full, seed, input, repeats, .. } = *call;
        let (kind, repeats, seen) = (fact.kind, sign * i64::from(repeats), (fact.end, fact.end));
        Alike { kind, full, seed, input, calls: sign, repeats, seen }
    }

    /// Takes another one in; false when it differs.
    pub fn merge(&mut self, other: &Alike) -> bool {
        let key = |one: &Alike| (one.kind, one.full, one.seed, one.input);
        if key(self) != key(other) {
            return false;
        }
        self.calls += other.calls;
        self.repeats += other.repeats;
        self.seen = (self.seen.0.min(other.seen.0), self.seen.1.max(other.seen.1));
        true
    }
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
    /// Adds a fact (`sign` 1) or takes it back (`sign` −1) that is no call.
    pub fn add(&mut self, fact: &Fact, sign: i64) {
        let place = Addend::of(fact, sign);
        match &fact.body {
            FactBody::Call(_) => {}
            FactBody::Score { name, grader, value_micro, label, weight_micro } => {
                if let Some(value) = value_micro {
                    let y = weigh(*value, *weight_micro);
                    if sign > 0 {
                        self.exemplars.score(fact, *name, *value);
                    }
                    self.sum(Measure::Score(*name, *grader), &place, (y, *weight_micro), None);
                } else {
                    let measure = Measure::Label(*name, *grader, *label);
                    self.sum(measure, &place, (weigh(1, *weight_micro), *weight_micro), None);
                }
            }
            FactBody::Coverage { metric, scored, picked_micro, delay_us, weight_micro } => {
                let picked = i64::try_from(*picked_micro).unwrap_or(i64::MAX);
                let y = weigh(if *scored { picked } else { 0 }, *weight_micro);
                self.sum(Measure::Coverage(*metric), &place, (y, *weight_micro), *delay_us);
            }
        }
    }

    /// Notes everything of some calls but their measures, which [`super::batch`] adds.
    pub fn note_alike(&mut self, alike: &Alike) {
        let Alike { kind, full, seed, input, calls, repeats, seen } = alike;
        self.calls += calls;
        self.repeats += repeats;
        let (first, last) = self.seen.unwrap_or(*seen);
        self.seen = Some((first.min(seen.0), last.max(seen.1)));
        bump(&mut self.kinds, *kind, *calls);
        let mut placed = note(&mut self.full, *full, *seen, *calls, FULL_SETS_MAX);
        if let Some(seed) = seed {
            placed &= note(&mut self.seeds, *seed, *seen, *calls, SEEDS_MAX);
        }
        if !input.is_none() {
            let room = self.inputs.len() < INPUTS_MAX || self.inputs.contains_key(input);
            placed &= room;
            if room {
                bump(&mut self.inputs, *input, *calls);
            }
        }
        self.more += if placed { 0 } else { *calls };
    }

    fn sum(&mut self, measure: Measure, to: &Addend, (y, w): (i64, u64), value: Option<u64>) {
        let w = i64::try_from(w).unwrap_or(i64::MAX);
        self.measures.entry(measure).add(to, (y, w), value.map(Bucket::of));
        self.measures.drop_if_empty(measure);
    }

    /// Adds all of another: the same run of another partition.
    pub fn merge(&mut self, other: &Run) {
        self.pool(other);
        for (measure, sums) in other.measures.iter() {
            let own = self.measures.entry(*measure);
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
        for (measure, sums) in other.measures.iter() {
            self.measures.entry(*measure).pool(sums);
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
        self.measures.get(measure)
    }

    /// Calls that ended in a minute.
    pub fn calls_in(&self, minute: u32) -> i64 {
        self.sums(Measure::Call(Origin::Calls)).map_or(0, |s| s.windows.in_minute(minute))
    }

    /// Estimated bytes.
    pub fn bytes(&self) -> u64 {
        let sums: u64 = self.measures.iter().map(|row| row.1.bytes()).sum();
        let rest = self.full.len() * 64 + self.seeds.len() * 48 + self.inputs.len() * 32;
        size_of::<Run>() as u64 + sums + rest as u64
    }
}

/// Sums of several values.
#[derive(Clone, Copy, Default)]
pub(super) struct Total {
    n: i64,
    y: i128,
    w: i128,
    ww: i128,
}

impl Total {
    /// Adds a weighted value and its weight; gives both with their sign.
    #[inline]
    pub(super) fn add(&mut self, (y, w): (i64, i64), sign: i64) -> (i64, i64) {
        let (y, square) = (sign * y, square_micro(w));
        let w = sign * w;
        self.n += sign;
        self.y += i128::from(y);
        self.w += i128::from(w);
        self.ww += if sign > 0 { square } else { -square };
        (y, w)
    }
}

/// Where a value goes, the same for all measures of a call.
struct Addend {
    bucket: u16,
    when: Moment,
    sign: i64,
}

impl Addend {
    fn of(fact: &Fact, sign: i64) -> Self {
        Addend { bucket: bucket_of(fact.unit), when: Moment::of(fact.end), sign }
    }
}

impl Sums {
    fn add(&mut self, to: &Addend, added: (i64, i64), value: Option<Bucket>) {
        let mut total = Total::default();
        let (y, w) = total.add(added, to.sign);
        self.buckets.add(to.bucket, y, w);
        let value = value.map(|bucket| (bucket, to.sign));
        self.put(&to.when, &total, value.as_slice(), false);
    }

    /// Adds what several values of one moment come to, but to buckets and sections. Single minutes
    /// keep the distribution only when it is `fine`.
    pub(super) fn put(
        &mut self,
        when: &Moment,
        total: &Total,
        values: &[(Bucket, i64)],
        fine: bool,
    ) {
        let Total { n, y, w, ww } = *total;
        self.n += n;
        self.y += y;
        self.w += w;
        self.ww += ww;
        if !values.is_empty() {
            self.histogram.get_or_insert_default().count_all(values);
        }
        self.windows.add(when, (n, y, w), values, fine);
    }

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

/// The section of a unit's bucket.
#[inline]
pub(super) fn section_of(bucket: u16) -> usize {
    usize::from(bucket) * SECTIONS / BUCKETS
}

/// The square of a weight, in millionths.
#[inline]
fn square_micro(w: i64) -> i128 {
    // Nearly all weights are one, and dividing 128 bits is slow.
    if w == MICRO as i64 {
        return i128::from(MICRO);
    }
    i128::from(w) * i128::from(w) / i128::from(MICRO)
}

/// `value × weight`, rounded once, half to even; the weight is in millionths.
#[inline]
pub(super) fn weigh(value: i64, weight_micro: u64) -> i64 {
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
fn note<K: Ord>(
    map: &mut BTreeMap<K, Seen>,
    key: K,
    (first, last): (Nanos, Nanos),
    calls: i64,
    max: usize,
) -> bool {
    if map.len() >= max && !map.contains_key(&key) {
        return false;
    }
    let seen = map.entry(key).or_insert(Seen { calls: 0, first, last });
    seen.calls += calls;
    seen.first = seen.first.min(first);
    seen.last = seen.last.max(last);
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
