//! The difference of each metric, b − a, with its interval, and its effects when it decides. By
//! the same routes and gates as an arm's difference from control, from what records keep.

use super::MetricContrast;
use super::arms::Bench;
use crate::engine::estimate::contrast::{self, Part, Summed};
use crate::engine::estimate::difference::BY_RANKS;
use crate::engine::estimate::level::UNITS_MIN_BOUNDED;
use crate::engine::estimate::line::Moments;
use crate::judge::attribution::{bounds, evaluate};
use crate::model::metric::POINTS;
use crate::model::record::{Level, MetricLine, RunRecord};
use crate::model::verdict::Reason;
use crate::stats::{Interval, quantile};

/// Metrics that one of the two has: in the order of a, then those that only b has.
pub(super) fn contrasts(bench: &Bench<'_>) -> Vec<MetricContrast> {
    let (a, b) = (bench.a(), bench.b());
    let of_a = a.metrics.iter().map(|line| (Some(line), twin(b, line)));
    let lone = b.metrics.iter().filter(|line| twin(a, line).is_none());
    let pairs = of_a.chain(lone.map(|line| (None, Some(line))));
    pairs.filter_map(|(x, y)| contrast_of(bench, x, y)).collect()
}

/// The same metric by the same grader.
fn twin<'v>(run: &'v RunRecord, line: &MetricLine) -> Option<&'v MetricLine> {
    run.metrics.iter().find(|other| (&other.name, &other.grader) == (&line.name, &line.grader))
}

fn contrast_of(
    bench: &Bench<'_>,
    x: Option<&MetricLine>,
    y: Option<&MetricLine>,
) -> Option<MetricContrast> {
    let line = x.or(y)?;
    // When one of the two is no share, their difference is none.
    let points = [x, y].into_iter().flatten().find(|line| line.unit == POINTS);
    let estimate = |line: &MetricLine| line.level.as_ref().map(|level| level.estimate);
    let (a, b) = (x.and_then(estimate), y.and_then(estimate));
    let mut out = MetricContrast {
        name: line.name.clone(),
        unit: points.unwrap_or(line).unit.clone(),
        grader: line.grader.clone(),
        a,
        b,
        difference: a.zip(b).map(|(a, b)| b - a),
        ..MetricContrast::default()
    };
    // The difference of a run from itself is known, not estimated.
    if let Some((x, y)) = x.zip(y).filter(|_| !bench.is_one_run()) {
        out.estimate(bench, x, y);
        if [x, y].iter().any(|line| line.verdict.as_ref().is_some_and(|v| v.decides)) {
            out.effects = evaluate(&bench.plan, tau(x), &|coefficients, family| {
                out.effect(bench, line, coefficients, family)
            });
            out.bounds = bounds(&out.effects);
        }
    }
    Some(out)
}

// === impl MetricContrast ===

impl MetricContrast {
    fn estimate(&mut self, bench: &Bench<'_>, x: &MetricLine, y: &MetricLine) {
        let pair = [(1.0, bench.b()), (-1.0, bench.a())];
        if let Some((found, alpha)) = summed(&pair, x, 1) {
            self.hold(found.interval, alpha, contrast::METHOD, &found.unmet);
            self.log_e = Some(found.log_e).filter(|_| found.unmet.is_empty());
        } else if let Some((interval, alpha)) = by_ranks(x, y) {
            let few = pair.iter().any(|(_, run)| (run.traffic.units as f64) < UNITS_MIN_BOUNDED);
            let unmet: &[Reason] = if few { &[Reason::Units] } else { &[] };
            self.hold(interval, alpha, BY_RANKS, unmet);
        }
    }

    fn hold(&mut self, interval: Interval, alpha: f64, method: &str, unmet: &[Reason]) {
        self.method = Some(method.to_owned());
        self.unmet = unmet.iter().map(|reason| reason.words().to_owned()).collect();
        if unmet.is_empty() {
            let finite = |bound: f64| Some(bound).filter(|bound| bound.is_finite());
            (self.lower, self.upper) = (finite(interval.lower), finite(interval.upper));
            let bounded = self.lower.is_some() || self.upper.is_some();
            // Without the noise of the subtraction.
            let confidence = ((1.0 - alpha) * 1e9).round() / 1e9;
            self.confidence = Some(confidence).filter(|_| bounded);
        }
    }

    /// A contrast of the plan: the whole difference as it stands, others by sums.
    fn effect(
        &self,
        bench: &Bench<'_>,
        line: &MetricLine,
        coefficients: &[f64],
        family: usize,
    ) -> Option<(f64, f64, f64)> {
        let open = (f64::NEG_INFINITY, f64::INFINITY);
        let is_whole = |(at, c): (usize, &f64)| {
            *c == f64::from(i8::from(at == bench.plan.b) - i8::from(at == bench.plan.a))
        };
        if family == 1 && coefficients.iter().enumerate().all(is_whole) {
            let (lower, upper) = (self.lower.unwrap_or(open.0), self.upper.unwrap_or(open.1));
            return Some((self.difference?, lower, upper));
        }
        let weights = coefficients.iter().copied().zip(bench.runs.iter().copied());
        let used: Vec<(f64, &RunRecord)> = weights.filter(|weight| weight.0 != 0.0).collect();
        let (found, _) = summed(&used, line, family)?;
        let interval = if found.unmet.is_empty() { found.interval } else { Interval::ALL };
        Some((found.estimate, interval.lower, interval.upper))
    }
}

/// The contrast of a metric over runs, at the strictest α of theirs, shared by a family; and
/// that α. None when one of them has no ratio of sums for it.
fn summed(
    weights: &[(f64, &RunRecord)],
    line: &MetricLine,
    family: usize,
) -> Option<(Summed, f64)> {
    let mut alpha = f64::INFINITY;
    let mut parts = Vec::with_capacity(weights.len());
    for (coefficient, run) in weights {
        let found = twin(run, line)?;
        let (level, spread) = (found.level.as_ref()?, found.spread.as_ref()?);
        alpha = alpha.min(spread.alpha);
        let moments = Moments::published(level.estimate, spread);
        parts.push(Part { coefficient: *coefficient, moments, units: spread.units });
    }
    let alpha = alpha / family.max(1) as f64;
    Some((contrast::of_sums(&parts, tau(line), alpha), alpha))
}

/// The scale of the effect, which stands for the margin too: records keep no other.
fn tau(line: &MetricLine) -> Option<f64> {
    line.spread.as_ref().and_then(|spread| spread.tau)
}

/// The difference of two quantiles from their own intervals. It holds when both do, so their
/// error probabilities add up.
fn by_ranks(x: &MetricLine, y: &MetricLine) -> Option<(Interval, f64)> {
    let known = |line: &MetricLine| {
        let level: &Level = line.level.as_ref().filter(|level| level.method == BY_RANKS)?;
        let lower = level.lower.unwrap_or(f64::NEG_INFINITY);
        let upper = level.upper.unwrap_or(f64::INFINITY);
        Some((Interval { lower, upper }, 1.0 - level.confidence?))
    };
    let (a, b) = (known(x)?, known(y)?);
    Some((quantile::difference(b.0, a.0), a.1 + b.1))
}
