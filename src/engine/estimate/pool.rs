//! Pooled sums: the runs of an arm, or of a run that others were folded into, seen as one.
//! A single run, the usual case, is read where it stands.

use crate::engine::fact::MICRO;
use crate::engine::tally::buckets::{BUCKETS, Buckets};
use crate::engine::tally::histogram::Histogram;
use crate::engine::tally::run::{Run, SECTIONS, Sums};
use crate::model::{Measure, UnitKind};
use crate::stats::ratio::{Ratio, design_effect_of_rate, ratio, ratio_wide};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Runs that are seen as one.
#[derive(Clone, Debug, Default)]
pub struct Pool<'a> {
    /// The runs.
    pub runs: Vec<&'a Run>,
}

/// Sums of one measure over a pool.
#[derive(Clone, Debug)]
pub struct Pooled<'a> {
    parts: Vec<&'a Sums>,
    /// Values.
    pub n: i64,
    /// Weighted sum of values, in integer units of the measure.
    pub y: i128,
    /// Sum of weights, in millionths.
    pub w: i128,
    /// Sum of squared weights, in millionths.
    pub ww: i128,
}

// === impl Pool ===

impl<'a> Pool<'a> {
    /// Calls.
    pub fn calls(&self) -> i64 {
        self.runs.iter().map(|run| run.calls).sum()
    }

    /// All measures that it has sums of.
    pub fn measures(&self) -> BTreeSet<Measure> {
        self.runs.iter().flat_map(|run| run.measures.keys().copied()).collect()
    }

    /// Sums of a measure; none when there is no value.
    pub fn sums(&self, measure: Measure) -> Option<Pooled<'a>> {
        let parts: Vec<&Sums> = self.runs.iter().filter_map(|run| run.sums(measure)).collect();
        let n = parts.iter().map(|sums| sums.n).sum();
        let total = |of: fn(&Sums) -> i128| parts.iter().map(|sums| of(sums)).sum();
        let (y, w, ww) = (total(|s| s.y), total(|s| s.w), total(|s| s.ww));
        (n > 0).then_some(Pooled { parts, n, y, w, ww })
    }

    /// Share of the calls that do not name what was randomised.
    pub fn share_without_unit(&self) -> f64 {
        let of = |run: &&Run| run.kinds.get(&UnitKind::Trace).copied().unwrap_or(0);
        let without: i64 = self.runs.iter().map(of).sum();
        without as f64 / self.calls().max(1) as f64
    }
}

// === impl Pooled ===

impl<'a> Pooled<'a> {
    /// The ratio in units of the metric, `per_unit` integer units to one, with the variance that
    /// the buckets of units give it.
    pub fn ratio(&self, per_unit: f64) -> Option<Ratio> {
        let found = match self.parts.as_slice() {
            [one] if one.buckets.dense().is_some() => ratio(one.buckets.dense().unwrap_or(&[])),
            parts => match self.rows() {
                Some(rows) => ratio(&rows),
                None => ratio_wide(&wide(parts)),
            },
        };
        found.map(|ratio| ratio.scaled(MICRO as f64 / per_unit))
    }

    /// Rows by bucket; none when a sum does not fit.
    pub fn rows(&self) -> Option<Vec<(i64, i64)>> {
        let mut rows = vec![(0, 0); BUCKETS];
        self.parts.iter().all(|sums| sums.buckets.add_to(&mut rows)).then_some(rows)
    }

    /// The ratio in units of the metric.
    pub fn level(&self, per_unit: f64) -> Option<f64> {
        (self.w > 0).then(|| self.y as f64 / (self.w as f64 / MICRO as f64) / per_unit)
    }

    /// Effective sample size, `(Σw)²/Σw²`.
    pub fn n_eff(&self) -> f64 {
        crate::stats::weights::effective(self.w as f64, self.ww as f64 * MICRO as f64)
    }

    /// The distribution, where the measure has one.
    pub fn histogram(&self) -> Option<Cow<'a, Histogram>> {
        let mut found = self.parts.iter().filter_map(|sums| sums.histogram.as_ref());
        let first = found.next()?;
        let mut all = Cow::Borrowed(first);
        found.for_each(|more| all.to_mut().merge(more));
        Some(all)
    }

    /// Design effect of the share of values above a bucket of the histogram: how much more it
    /// varies between groups of units than it would if calls were independent. 1 where no groups
    /// are kept.
    pub fn tail_design_effect(&self, bucket: Option<i16>) -> f64 {
        let mut rows = [(0i64, 0i64); SECTIONS];
        for sections in self.parts.iter().filter_map(|sums| sums.sections.as_ref()) {
            for (row, section) in rows.iter_mut().zip(sections.iter()) {
                *row = (row.0 + section.above(bucket), row.1 + section.count());
            }
        }
        let n: i64 = rows.iter().map(|row| row.1).sum();
        ratio(&rows).map_or(1.0, |found| design_effect_of_rate(&found, n as f64))
    }
}

/// Rows by bucket in wide integers.
fn wide(parts: &[&Sums]) -> Vec<(i128, i128)> {
    let mut rows = vec![(0i128, 0i128); BUCKETS];
    for (bucket, y, w) in parts.iter().flat_map(|sums| Buckets::iter(&sums.buckets)) {
        let row = &mut rows[usize::from(bucket)];
        *row = (row.0.saturating_add(y), row.1.saturating_add(w));
    }
    rows
}
