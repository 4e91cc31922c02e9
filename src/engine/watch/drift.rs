//! Drift inside an arm: a metric that moves though nothing in the configuration did. Two
//! e-detectors per metric (up and down) are fed the mean of each closed minute; what was usual is
//! learnt from the first minutes of an epoch (`statistics.md` §8).

use crate::engine::estimate::{Line, Pool, Quantity};
use crate::engine::tally::cells::{Cell, Cells};
use crate::engine::tally::histogram::{Histogram, edges};
use crate::engine::tally::windows::Step;
use crate::model::Measure;
use crate::model::metric::{Metric, Origin};
use crate::stats::bernstein::Bernstein;
use crate::stats::drift::Detector;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Evidence at which an alarm is raised: over T minutes a false one has a chance of T/A at most.
pub const ALARM: f64 = 1e6;
/// Minutes with data from which a distribution's edge is taken.
const EDGE_MINUTES: u32 = 60;
/// Minutes with data that say what is usual.
const BASELINE_MINUTES: u32 = 240;
/// The usual mean lies below its bound, and above the other one, with 1 − half of this.
const ALPHA_BASELINE: f64 = 0.002;
/// Of a mean without a range, the share of values above this quantile of the first minutes.
const EDGE_QUANTILE: f64 = 0.9;

/// What is remembered of one metric of an arm in an epoch.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Drift {
    /// The last minute that was fed.
    fed: u32,
    /// Minutes with data so far.
    minutes: u32,
    /// For times: values in buckets above this one are counted.
    edge: Option<i16>,
    /// Of x, and of 1 − x, while the usual is learnt.
    usual: Option<[Bernstein; 2]>,
    /// For more of x, and for less of it.
    detectors: Option<[Detector; 2]>,
}

/// A change that was found.
#[derive(Clone, PartialEq, Debug)]
pub struct Alarm {
    /// The minute in which it probably began.
    pub onset: u32,
    /// Mean before and since, for people.
    pub before: String,
    /// The same since it began.
    pub after: String,
}

/// What is fed of a minute.
struct Source<'a, 'p> {
    pool: &'p Pool<'a>,
    measure: Measure,
    metric: &'p Metric,
}

// === impl Drift ===

impl Drift {
    /// Feeds all minutes up to `until`; says what was found, and then begins anew.
    pub fn feed(&mut self, line: &Line<'_>, pool: &Pool<'_>, until: u32) -> Option<Alarm> {
        let source = Source::of(line, pool)?;
        for minute in source.minutes(self.fed + 1, until) {
            self.fed = minute;
            if let Some(alarm) = self.push(&source, minute) {
                let fed = self.fed;
                *self = Drift { fed, ..Drift::default() };
                return Some(alarm);
            }
        }
        self.fed = self.fed.max(until);
        None
    }

    fn push(&mut self, source: &Source<'_, '_>, minute: u32) -> Option<Alarm> {
        let cell = source.cell(minute)?;
        self.minutes += 1;
        if source.is_timed() && self.edge.is_none() {
            if self.minutes >= EDGE_MINUTES {
                (self.edge, self.minutes) = (Some(source.edge()?), 0);
            }
            return None;
        }
        let x = source.mean(&cell, self.edge)?;
        let Some(detectors) = &mut self.detectors else {
            self.learn(x);
            return None;
        };
        detectors[0].push(x, minute);
        detectors[1].push(1.0 - x, minute);
        let found = detectors.iter().find(|one| one.log_sr() >= ALARM.ln())?;
        let onset = found.onset();
        let before = self.usual.as_ref().and_then(|usual| usual[0].mean())?;
        let since: Vec<f64> =
            (onset..=minute).filter_map(|at| source.mean(&source.cell(at)?, self.edge)).collect();
        let after = since.iter().sum::<f64>() / since.len().max(1) as f64;
        let text = |x| source.text(x, self.edge);
        Some(Alarm { onset, before: text(before), after: text(after) })
    }

    fn learn(&mut self, x: f64) {
        let usual = self.usual.get_or_insert_with(|| [Bernstein::new(ALPHA_BASELINE); 2]);
        usual[0].push(x);
        usual[1].push(1.0 - x);
        if self.minutes >= BASELINE_MINUTES {
            let bound = |one: &Bernstein| one.interval().upper.clamp(0.0, 1.0);
            self.detectors =
                Some([Detector::new(bound(&usual[0])), Detector::new(bound(&usual[1]))]);
        }
    }
}

// === impl Source ===

impl<'a, 'p> Source<'a, 'p> {
    /// What can be fed of a line: rates, scores in a declared range, and times.
    fn of(line: &'p Line<'_>, pool: &'p Pool<'a>) -> Option<Self> {
        let metric = &line.definition.metric;
        let measure = line.measure();
        let fits = match metric.from {
            Origin::Score => metric.range.is_some(),
            Origin::Error | Origin::Refusal | Origin::Truncation => true,
            Origin::Latency | Origin::TimeToFirstToken => true,
            _ => false,
        };
        let known = !matches!(line.value, Quantity::Unknown);
        (fits && known).then_some(Source { pool, measure, metric })
    }

    fn is_timed(&self) -> bool {
        matches!(self.metric.from, Origin::Latency | Origin::TimeToFirstToken)
    }

    /// Minutes with a value: a jump of the clock costs nothing.
    fn minutes(&self, from: u32, to: u32) -> BTreeSet<u32> {
        let sums = self.pool.runs.iter().filter_map(|run| run.sums(self.measure));
        let cells = sums.map(|sums| sums.windows.cells(Step::Minute));
        let inside = |cells: &'a Cells| cells.range(from..=to.max(from));
        let found: BTreeSet<u32> = cells.flat_map(inside).map(|row| row.0).collect();
        if from > to { BTreeSet::new() } else { found }
    }

    /// The sums of a minute; none without a value.
    fn cell(&self, minute: u32) -> Option<Cell> {
        let sums = self.pool.runs.iter().filter_map(|run| run.sums(self.measure));
        let cells = sums.filter_map(|sums| sums.windows.cells(Step::Minute).get(minute));
        let mut all = Cell::default();
        cells.for_each(|cell| all.merge(cell));
        (all.w > 0).then_some(all)
    }

    /// The bucket that holds the quantile so far.
    fn edge(&self) -> Option<i16> {
        let q = self.metric.quantile.unwrap_or(EDGE_QUANTILE);
        let histogram = self.pool.sums(self.measure)?.histogram()?;
        histogram.bucket_at(histogram.rank_of(q)?)?
    }

    /// The mean of a minute in [0, 1]: of the score in its range, of the rate, or of the share of
    /// times above the edge.
    fn mean(&self, cell: &Cell, edge: Option<i16>) -> Option<f64> {
        if let Some(edge) = edge {
            let histogram = cell.histogram.as_ref().filter(|h| h.count() > 0)?;
            return Some(share_above(histogram, edge));
        }
        let per_unit = self.measure.per_unit();
        let level = cell.y as f64 / (cell.w as f64 / 1e6) / per_unit;
        let [low, high] = self.metric.range.unwrap_or([0.0, 1.0]);
        Some(((level - low) / (high - low)).clamp(0.0, 1.0))
    }

    fn text(&self, x: f64, edge: Option<i16>) -> String {
        use crate::model::human;
        if let Some(edge) = edge {
            let edge = human::level(edges(edge).1 / self.measure.per_unit(), "s");
            return format!("{} above {edge}", human::share(x));
        }
        let [low, high] = self.metric.range.unwrap_or([0.0, 1.0]);
        let level = low + x * (high - low);
        match (low, high) {
            (0.0, 1.0) => human::share(level),
            _ => human::number(level),
        }
    }
}

fn share_above(histogram: &Histogram, edge: i16) -> f64 {
    histogram.above(Some(edge)) as f64 / histogram.count() as f64
}
