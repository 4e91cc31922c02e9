//! Linear contrasts of arms or runs by the sums of their buckets: the asymptotic confidence
//! sequence with the gates that it needs (`statistics.md` §1, §10). A difference is the contrast
//! with coefficients 1 and −1. It does not know where the levels come from.

use super::level::{EVENTS_MIN, UNITS_MIN_BOUNDED, UNITS_MIN_UNBOUNDED};
use super::line::{Domain, Moments};
use super::scale;
use crate::model::verdict::Reason;
use crate::stats::contrast::{self, Contrast};
use crate::stats::{Interval, sequence};

/// Name of the method.
pub const METHOD: &str = "bucketed-asymptotic";
/// Effective sample below which the largest weight may be more than 5 % of all: it is at most
/// `1/√n_eff`, so 400 is enough for both gates of `statistics.md` §9.
const N_EFF_MIN: f64 = 400.0;
/// Largest share of the spread that one bucket of units may have. Log-normal times (σ = 1) have
/// one with more than 5 % as a rule, and no more false positives for it (`false_alarms`).
const HUGE_MAX: f64 = 0.25;

/// One arm of a contrast.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Part {
    /// What its level counts for; 0 leaves it out.
    pub coefficient: f64,
    /// Its level.
    pub moments: Moments,
    /// Its units.
    pub units: f64,
}

/// Σ coefficient · level.
#[derive(Clone, PartialEq, Debug)]
pub struct Summed {
    /// Point estimate, in the metric's unit.
    pub estimate: f64,
    /// Its variance.
    pub variance: f64,
    /// Where it lies at every look, with confidence 1 − α.
    pub interval: Interval,
    /// Natural logarithm of the e-value against 0.
    pub log_e: f64,
    /// Units of all arms in it.
    pub units: f64,
    /// Gates that are not met; the interval counts only when there are none.
    pub unmet: Vec<Reason>,
}

/// The contrast of independent arms. `tau` is the scale of the effect, when it is declared.
pub fn of_sums(parts: &[Part], tau: Option<f64>, alpha: f64) -> Summed {
    let used: Vec<&Part> = parts.iter().filter(|part| part.coefficient != 0.0).collect();
    let found = floored(plain(&used), &used);
    let units: f64 = used.iter().map(|part| part.units).sum();
    let gain = scale(tau, units, alpha).gain(found.variance);
    Summed {
        estimate: found.estimate,
        variance: found.variance,
        interval: sequence::interval(found.estimate, found.variance, gain, alpha),
        log_e: sequence::log_e(found.estimate, 0.0, found.variance, gain),
        units,
        unmet: unmet(&used),
    }
}

/// Share of calls with an event, over all arms.
pub fn pooled(arms: &[&Moments]) -> f64 {
    let events: f64 = arms.iter().map(|arm| arm.ratio.estimate * arm.n_eff).sum();
    events / arms.iter().map(|arm| arm.n_eff).sum::<f64>().max(1.0)
}

fn plain(used: &[&Part]) -> Contrast {
    let coefficients: Vec<f64> = used.iter().map(|part| part.coefficient).collect();
    let ratios: Vec<_> = used.iter().map(|part| part.moments.ratio).collect();
    let none = Contrast { estimate: 0.0, variance: f64::INFINITY };
    contrast::contrast(&coefficients, &ratios).unwrap_or(none)
}

/// The variance of a contrast of rates is at least what the pooled rate gives: an arm without an
/// event yet is not certain to have none.
fn floored(found: Contrast, used: &[&Part]) -> Contrast {
    if !is_of_rates(used) {
        return found;
    }
    let deff = used.iter().map(|part| part.moments.design_effect()).fold(1.0, f64::max);
    // Σ c²/n stands for 1/n0 + 1/n1.
    let squares = used.iter().map(|part| part.coefficient.powi(2) / part.moments.n_eff);
    let cases = 1.0 / squares.sum::<f64>();
    contrast::floor_of_rates(found, pooled(&moments(used)), cases, f64::INFINITY, deff)
}

/// Gates of the asymptotic route.
fn unmet(used: &[&Part]) -> Vec<Reason> {
    let mut out = Vec::new();
    let needed = |part: &Part| match part.moments.domain {
        Domain::Unbounded => UNITS_MIN_UNBOUNDED,
        Domain::Rate | Domain::Bounded(..) => UNITS_MIN_BOUNDED,
    };
    if used.iter().any(|part| part.units < needed(part)) {
        out.push(Reason::Units);
    }
    let all = moments(used);
    if is_of_rates(used) {
        let share = pooled(&all);
        let least = all.iter().map(|m| m.n_eff).fold(f64::INFINITY, f64::min);
        if contrast::expected_events(share.min(1.0 - share), least, least) < EVENTS_MIN {
            out.push(Reason::Events);
        }
    }
    let weighted = |m: &Moments| (m.n_eff - m.n as f64).abs() > 1e-3 * m.n as f64;
    if all.iter().any(|m| weighted(m) && m.n_eff < N_EFF_MIN) {
        out.push(Reason::EffectiveSample);
    }
    if all.iter().any(|m| m.ratio.huge > HUGE_MAX) {
        out.push(Reason::OneUnit);
    }
    if all.iter().all(|m| m.ratio.variance <= 0.0) {
        out.push(Reason::NoSpread);
    }
    out
}

fn is_of_rates(used: &[&Part]) -> bool {
    used.first().is_some_and(|part| part.moments.domain == Domain::Rate)
}

fn moments<'a>(used: &[&'a Part]) -> Vec<&'a Moments> {
    used.iter().map(|part| &part.moments).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::ratio::Ratio;

    fn part(coefficient: f64, estimate: f64, variance: f64, domain: Domain) -> Part {
        let ratio = Ratio { estimate, variance, clusters: 1_024, huge: 0.001 };
        let moments = Moments { ratio, n: 4_000, n_eff: 4_000.0, domain };
        Part { coefficient, moments, units: 600.0 }
    }

    #[test]
    fn an_interaction_adds_the_variances_of_its_four_arms() {
        let score = |coefficient, level| part(coefficient, level, 1e-4, Domain::Bounded(0.0, 1.0));
        let four = [score(1.0, 0.9), score(-1.0, 0.8), score(-1.0, 0.7), score(1.0, 0.5)];
        let found = of_sums(&four, Some(0.05), 0.05);
        assert!((found.estimate + 0.1).abs() < 1e-12 && (found.variance - 4e-4).abs() < 1e-15);
        assert_eq!((found.units, found.unmet.as_slice()), (2_400.0, &[] as &[Reason]));
        assert!(found.interval.lower < -0.1 && found.interval.upper > -0.1);
        let pair = of_sums(&four[..2], Some(0.05), 0.05);
        assert!(
            pair.interval.upper - pair.interval.lower < 0.9 * 2.0 * (found.interval.upper + 0.1)
        );
    }

    #[test]
    fn an_arm_that_is_left_out_opens_and_closes_no_gate() {
        let mut idle = part(0.0, 0.5, f64::INFINITY, Domain::Bounded(0.0, 1.0));
        idle.units = 1.0;
        let score = |coefficient, level| part(coefficient, level, 1e-4, Domain::Bounded(0.0, 1.0));
        let found = of_sums(&[score(1.0, 0.9), idle, score(-1.0, 0.8)], None, 0.05);
        assert_eq!(found, of_sums(&[score(1.0, 0.9), score(-1.0, 0.8)], None, 0.05));
        idle.coefficient = 1.0;
        assert_eq!(of_sums(&[score(-1.0, 0.9), idle], None, 0.05).unmet, [Reason::Units]);
    }

    #[test]
    fn rates_need_events_in_the_smallest_arm_and_have_a_floor() {
        let rate = |coefficient, level| part(coefficient, level, 1e-12, Domain::Rate);
        let found = of_sums(&[rate(1.0, 0.004), rate(-1.0, 0.0)], None, 0.05);
        let floor = 0.002 * 0.998 * (2.0 / 4_000.0);
        assert!(found.variance >= floor * 0.999_999, "{}", found.variance);
        assert_eq!(found.unmet, [Reason::Events], "8 are expected");
        let enough = of_sums(&[rate(1.0, 0.012), rate(-1.0, 0.0)], None, 0.05);
        assert!(enough.unmet.is_empty(), "{:?}", enough.unmet);
    }
}
