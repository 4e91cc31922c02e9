//! The level of one arm or run with its interval.

use super::line::{Domain, Line, Moments, Quantity, Tail};
use super::{scale, tau};
use crate::model::metric::Metric;
use crate::stats::{Interval, beta, quantile, sequence};

/// Events that an asymptotic interval of a rate needs.
pub const EVENTS_MIN: f64 = 10.0;
/// Units that an asymptotic interval needs: of values in a known range, and of any values.
pub const UNITS_MIN_BOUNDED: f64 = 100.0;
/// The same for values without bounds: 90/10 traffic of log-normal values has 5.45 % false
/// positives at 100 units, 2.65 % at 500 (`statistics.md` §1).
pub const UNITS_MIN_UNBOUNDED: f64 = 500.0;

/// A level, where it lies at every look with confidence 1 − α, and how that was computed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Level {
    /// Point estimate, in the metric's unit.
    pub estimate: f64,
    /// Where it lies; none when there is too little data for a valid interval.
    pub interval: Option<Interval>,
    /// The interval holds with confidence 1 − α.
    pub alpha: f64,
    /// Name of the method.
    pub method: &'static str,
}

/// The level of a line with `units` units, at confidence 1 − α; of a quantile at 1 − α/2, because
/// two of them bound a difference.
pub fn level(line: &Line<'_>, units: f64, alpha: f64) -> Option<Level> {
    let metric = &line.definition.metric;
    match &line.value {
        Quantity::Unknown => None,
        Quantity::Count(n) => Some(plain(*n, alpha, "count")),
        Quantity::Share(share) => Some(plain(*share, alpha, "ratio of sums")),
        Quantity::Ratio(moments) => Some(of_ratio(moments, metric, units, alpha)),
        Quantity::Quantile(tail) => of_quantile(tail, alpha / 2.0),
    }
}

fn plain(estimate: f64, alpha: f64, method: &'static str) -> Level {
    Level { estimate, interval: None, alpha, method }
}

fn of_ratio(moments: &Moments, metric: &Metric, units: f64, alpha: f64) -> Level {
    let estimate = moments.ratio.estimate;
    let (low, high) = bounds(moments.domain);
    let (needed, events) = match moments.domain {
        Domain::Rate => (UNITS_MIN_BOUNDED, events(moments)),
        Domain::Bounded(..) => (UNITS_MIN_BOUNDED, f64::INFINITY),
        Domain::Unbounded => (UNITS_MIN_UNBOUNDED, f64::INFINITY),
    };
    if units >= needed && events >= EVENTS_MIN && moments.ratio.variance > 0.0 {
        let variance = moments.ratio.variance;
        let gain = scale(tau(metric), units, alpha).gain(variance);
        let whole = sequence::interval(estimate, variance, gain, alpha);
        let interval = Interval { lower: whole.lower.max(low), upper: whole.upper.min(high) };
        return Level { estimate, interval: Some(interval), alpha, method: "bucketed-asymptotic" };
    }
    match exact(moments, units, alpha) {
        Some(interval) => {
            Level { estimate, interval: Some(interval), alpha, method: "beta-mixture" }
        }
        None => plain(estimate, alpha, "ratio of sums"),
    }
}

/// Smallest and largest possible level; nothing that is measured is negative.
fn bounds(domain: Domain) -> (f64, f64) {
    match domain {
        Domain::Rate => (0.0, 1.0),
        Domain::Bounded(low, high) => (low, high),
        Domain::Unbounded => (f64::NEG_INFINITY, f64::INFINITY),
    }
}

/// Events, or their absence, whichever is rarer.
fn events(moments: &Moments) -> f64 {
    let share = moments.ratio.estimate;
    share.min(1.0 - share) * moments.n_eff
}

/// The beta-mixture sequence: valid at every size. Of a rate its cases are calls divided by their
/// design effect; of a bounded score they are units, as if the scores of a unit were all alike.
pub fn exact(moments: &Moments, units: f64, alpha: f64) -> Option<Interval> {
    let estimate = moments.ratio.estimate;
    match moments.domain {
        Domain::Rate => {
            let n = moments.n_eff / moments.design_effect();
            Some(beta::interval(n, n * estimate.clamp(0.0, 1.0), beta::PRIOR, alpha))
        }
        Domain::Bounded(low, high) => {
            let n = units.min(moments.n_eff);
            let share = ((estimate - low) / (high - low)).clamp(0.0, 1.0);
            let unit = beta::interval(n, n * share, beta::PRIOR, alpha);
            Some(unit.scaled(high - low).shifted(low))
        }
        Domain::Unbounded => None,
    }
}

/// The middle of the bucket that holds the quantile's rank, on the scale of the buckets, and the
/// outer edges of the buckets that hold the ranks of its sequence.
fn of_quantile(tail: &Tail<'_>, alpha: f64) -> Option<Level> {
    let (lower, upper) = tail.histogram.quantile(tail.q)?;
    let interval = quantile_interval(tail, alpha);
    let method = if interval.lower.is_finite() || interval.upper.is_finite() {
        "histogram-ranks"
    } else {
        "histogram"
    };
    let estimate = (lower * upper).sqrt() / tail.per_unit;
    Some(Level { estimate, interval: Some(interval), alpha, method })
}

/// Where a quantile lies, in the metric's unit.
pub fn quantile_interval(tail: &Tail<'_>, alpha: f64) -> Interval {
    let n = u64::try_from(tail.n).unwrap_or(0);
    let ranks = quantile::ranks(n, tail.deff, tail.q, quantile::KAPPA, alpha);
    let edge = |rank: Option<u64>| tail.histogram.at_rank(i64::try_from(rank?).ok()?);
    let lower = edge(ranks.lower).map_or(0.0, |edges| edges.0 / tail.per_unit);
    let upper = edge(ranks.upper).map_or(f64::INFINITY, |edges| edges.1 / tail.per_unit);
    Interval { lower, upper: upper.max(lower) }
}
