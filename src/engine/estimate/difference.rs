//! The difference of an arm from control: by the route that is valid for what the metric is
//! (`statistics.md` §1, §3, §5), with the gates that the route needs.

use super::contrast::{self, Part};
use super::level::{UNITS_MIN_BOUNDED, exact, quantile_interval};
use super::line::{Domain, Line, Moments, Quantity, Tail};
use super::tau;
use crate::model::metric::{Direction, Margin, Metric};
use crate::model::verdict::Reason;
use crate::stats::rare::{self, Arrivals};
use crate::stats::ratio::Ratio;
use crate::stats::{Interval, quantile};

/// Rates up to which events are rare …
const RARE_MAX: f64 = 0.05;
/// … and share of units with an event above which first events say too little.
const RARE_UNITS_MAX: f64 = 0.25;
/// Of a rate of rare events, the shares of α that go to the ratio of rates, to control's rate,
/// which only scales it, and to the difference by sums. Together they are all of it.
const RATIO_SHARE: f64 = 0.9;
const LEVEL_SHARE: f64 = 0.02;
const SUMS_SHARE: f64 = 0.08;
/// Planned share of the smaller of two arms below which first events say more than sums do. The
/// plan is known before the data, so the route does not depend on them.
pub const UNEVEN_MAX: f64 = 0.3;

/// Name of the method that compares quantiles.
pub const BY_RANKS: &str = "histogram-ranks";

/// What comparing rests on besides the two lines.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Ask {
    /// The interval holds at every look with confidence 1 − α.
    pub alpha: f64,
    /// Units of arm and control.
    pub units: (f64, f64),
    /// First events of units by allocation, where the plan is known throughout and uneven.
    pub arrivals: Option<Vec<Arrivals>>,
    /// Levels of arm and control with what a covariate explains taken out of them.
    pub adjusted: Option<(Ratio, Ratio)>,
    /// Levels of arm and control at 1 − α/2, when they are known already.
    pub levels: Option<(Interval, Interval)>,
}

/// Arm minus control.
#[derive(Clone, PartialEq, Debug)]
pub struct Compared {
    /// Point estimate, in the metric's unit.
    pub estimate: f64,
    /// Where the difference lies.
    pub interval: Interval,
    /// The harm minus the margin, when there is a margin and a direction.
    pub excess: Option<Interval>,
    /// Natural logarithm of the e-value against "no difference"; none for quantiles.
    pub log_e: Option<f64>,
    /// Name of the method.
    pub method: &'static str,
    /// Gates that are not met.
    pub unmet: Vec<Reason>,
    /// Variance and units, for the projected time to decide.
    pub spread: Option<(f64, f64)>,
}

/// Compares two lines of one metric. None when one of them has no value that can be compared.
pub fn compare(arm: &Line<'_>, control: &Line<'_>, ask: &Ask) -> Option<Compared> {
    let metric = &arm.definition.metric;
    let margin = metric.margin.map(|margin| (margin, arm.direction()));
    match (&arm.value, &control.value) {
        (Quantity::Ratio(a), Quantity::Ratio(c)) => {
            let rare = ask.arrivals.as_ref().filter(|rows| is_rare(a, c, rows, ask.units));
            Some(match rare {
                Some(rows) => by_both(a, c, rows, metric, margin, ask),
                None => by_adjusted(a, c, metric, margin, ask),
            })
        }
        (Quantity::Quantile(a), Quantity::Quantile(c)) => Some(by_ranks(a, c, margin, ask)),
        _ => None,
    }
}

/// Whether the exact test of first events is the better one.
fn is_rare(arm: &Moments, control: &Moments, rows: &[Arrivals], units: (f64, f64)) -> bool {
    let events: u64 = rows.iter().map(|row| row.treated + row.control).sum();
    let share = events as f64 / (units.0 + units.1).max(1.0);
    arm.domain == Domain::Rate
        && contrast::pooled(&[arm, control]) < RARE_MAX
        && share < RARE_UNITS_MAX
}

/// By sums, with what a covariate explains taken out where there is one. Not of rates, whose
/// variance has a floor that does not know of it.
fn by_adjusted(
    arm: &Moments,
    control: &Moments,
    metric: &Metric,
    margin: Option<(Margin, Direction)>,
    ask: &Ask,
) -> Compared {
    let Some((own, other)) = ask.adjusted.filter(|_| arm.domain != Domain::Rate) else {
        return by_sums(arm, control, metric, margin, ask);
    };
    let arm = Moments { ratio: own, ..*arm };
    let control = Moments { ratio: other, ..*control };
    let found = by_sums(&arm, &control, metric, margin, ask);
    Compared { method: "bucketed-asymptotic with covariate", ..found }
}

/// Rare events: by first events, and by sums as soon as there are enough of them. Each has its
/// share of α, so both hold at once and the difference lies where they overlap: the first finds
/// that there is one, whatever the shares of traffic; the second says soonest how large it is.
fn by_both(
    arm: &Moments,
    control: &Moments,
    rows: &[Arrivals],
    metric: &Metric,
    margin: Option<(Margin, Direction)>,
    ask: &Ask,
) -> Compared {
    let mut out = by_events(arm, control, rows, margin, ask);
    let less = Ask { alpha: ask.alpha * SUMS_SHARE, ..ask.clone() };
    let sums = by_sums(arm, control, metric, margin, &less);
    if !sums.unmet.is_empty() {
        return out;
    }
    let overlap = |a: Interval, b: Interval| a.intersect(b).unwrap_or(b);
    out.interval = overlap(out.interval, sums.interval);
    out.excess = match (out.excess, sums.excess) {
        (Some(a), Some(b)) => Some(overlap(a, b)),
        (a, b) => a.or(b),
    };
    out.spread = sums.spread;
    out
}

/// By the conditional-binomial sequence of the ratio of rates: exact for rare events whatever the
/// shares of traffic. In the metric's unit it is `p₀·(ratio − 1)` with control's rate p₀ in its
/// own interval; that first events of units and all events have one ratio is assumed there, and
/// not for the claim that the arms differ.
fn by_events(
    arm: &Moments,
    control: &Moments,
    rows: &[Arrivals],
    margin: Option<(Margin, Direction)>,
    ask: &Ask,
) -> Compared {
    let ratio = rare::ratio_interval(rows, rare::KAPPA, ask.alpha * RATIO_SHARE);
    let level = exact(control, ask.units.1, ask.alpha * LEVEL_SHARE);
    let level = level.unwrap_or(Interval { lower: 0.0, upper: 1.0 });
    let over = |least: f64| times(ratio.shifted(-least), level);
    let estimate = arm.ratio.estimate - control.ratio.estimate;
    let interval = around(over(1.0), estimate);
    let excess = excess(margin, interval, &|m| over(1.0 + m));
    let few = ask.units.0.min(ask.units.1) < UNITS_MIN_BOUNDED;
    let log_e = rare::log_e(rows, rare::KAPPA, 1.0);
    Compared {
        estimate,
        interval,
        excess,
        log_e: Some(log_e),
        method: "conditional-binomial",
        unmet: if few { vec![Reason::Units] } else { Vec::new() },
        spread: None,
    }
}

/// The harm minus the margin, from the interval of the difference; `relative` gives the interval
/// of arm − (1 + m)·control. None without a margin or a direction.
fn excess(
    margin: Option<(Margin, Direction)>,
    difference: Interval,
    relative: &dyn Fn(f64) -> Interval,
) -> Option<Interval> {
    Some(match margin? {
        (_, Direction::Unknown) => return None,
        (Margin::Absolute(m), Direction::Decrease) => difference.shifted(-m),
        (Margin::Absolute(m), Direction::Increase) => difference.scaled(-1.0).shifted(-m),
        (Margin::Relative(m), Direction::Decrease) => relative(m),
        (Margin::Relative(m), Direction::Increase) => relative(-m).scaled(-1.0),
    })
}

/// All products of a number in `a` with one in `b`, which is not negative.
fn times(a: Interval, b: Interval) -> Interval {
    let by = |x: f64, y: f64| if x == 0.0 || y == 0.0 { 0.0 } else { x * y };
    let lower = by(a.lower, if a.lower < 0.0 { b.upper } else { b.lower });
    let upper = by(a.upper, if a.upper > 0.0 { b.upper } else { b.lower });
    Interval { lower, upper }
}

/// An interval that is widened, if it must be, to hold its estimate: a repeat of events in one
/// unit can put the ratio of sums outside what first events say. Zero stays excluded.
fn around(interval: Interval, estimate: f64) -> Interval {
    let sign_holds = |bound: f64| bound * estimate > 0.0;
    let mut out = interval;
    if estimate < out.lower && (out.lower <= 0.0 || sign_holds(out.lower)) {
        out.lower = estimate;
    }
    if estimate > out.upper && (out.upper >= 0.0 || sign_holds(out.upper)) {
        out.upper = estimate;
    }
    out
}

/// By the asymptotic confidence sequence of the bucketed difference.
fn by_sums(
    arm: &Moments,
    control: &Moments,
    metric: &Metric,
    margin: Option<(Margin, Direction)>,
    ask: &Ask,
) -> Compared {
    let over = |least: f64| {
        let arm = Part { coefficient: 1.0, moments: *arm, units: ask.units.0 };
        let control = Part { coefficient: -least, moments: *control, units: ask.units.1 };
        contrast::of_sums(&[arm, control], tau(metric), ask.alpha)
    };
    let plain = over(1.0);
    let interval = plain.interval;
    let excess = excess(margin, interval, &|m| over(1.0 + m).interval);
    Compared {
        estimate: plain.estimate,
        interval,
        excess,
        log_e: Some(plain.log_e),
        method: contrast::METHOD,
        unmet: plain.unmet,
        spread: Some((plain.variance, plain.units)),
    }
}

/// By the ranks of both arms' quantiles, at α/2 each.
fn by_ranks(
    arm: &Tail<'_>,
    control: &Tail<'_>,
    margin: Option<(Margin, Direction)>,
    ask: &Ask,
) -> Compared {
    let alone =
        || (quantile_interval(arm, ask.alpha / 2.0), quantile_interval(control, ask.alpha / 2.0));
    let (a, c) = ask.levels.unwrap_or_else(alone);
    let middle = |tail: &Tail<'_>| {
        tail.histogram.quantile(tail.q).map_or(0.0, |(l, u)| (l * u).sqrt() / tail.per_unit)
    };
    let interval = quantile::difference(a, c);
    let excess = excess(margin, interval, &|m| quantile::relative_excess(a, c, m));
    let few = ask.units.0.min(ask.units.1) < UNITS_MIN_BOUNDED;
    Compared {
        estimate: middle(arm) - middle(control),
        interval,
        excess,
        log_e: None,
        method: BY_RANKS,
        unmet: if few { vec![Reason::Units] } else { Vec::new() },
        spread: None,
    }
}
