//! The asymptotic confidence sequence of a mean or difference, on the information scale:
//! `statistics.md` §1. In: estimate, its variance V, and the gain g = τ²/V. Out: an interval
//! that holds at all times at once, and the log e-value that it inverts.

use super::Interval;

/// How the prior sd τ of the effect is declared. It must be fixed before the data are seen.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Scale {
    /// τ itself, in the unit of the estimate: the margin or smallest effect that matters.
    Effect(f64),
    /// By a number of units: τ²/V = ρ²·units, see [`rho2`].
    Units {
        /// ρ² per unit.
        rho2: f64,
        /// Units so far, both arms together.
        units: f64,
    },
}

// === impl Scale ===

impl Scale {
    /// g = τ²/V. 0, which means no evidence, when the scale or the variance is not positive and
    /// finite.
    pub fn gain(self, variance: f64) -> f64 {
        let gain = match self {
            Scale::Effect(tau) => tau * tau / variance,
            Scale::Units { rho2, units } => rho2 * units,
        };
        if usable(gain) && usable(variance) { gain } else { 0.0 }
    }
}

/// Positive and finite, and so is its inverse.
fn usable(value: f64) -> bool {
    value > 0.0 && value.is_normal()
}

/// Radius of the two-sided confidence sequence at error probability `alpha`:
/// r = sqrt(V·(1 + 1/g)·ln((1 + g)/α²)), in the unit of the estimate (Waudby-Smith, Arbour,
/// Sinha, Kennedy & Ramdas, Time-uniform central limit theory, Annals of Statistics 2024; the
/// form of gbstats' `SequentialTwoSidedTTest`, with g = N·ρ²). It assumes that the estimate is
/// asymptotically normal with variance V: the gates of §1 must be met first.
///
/// Infinite when `variance` or `gain` is not positive and finite (no spread seen is no
/// certainty), and when `alpha` is not in (0, 1).
pub fn radius(variance: f64, gain: f64, alpha: f64) -> f64 {
    if !(usable(variance) && usable(gain) && 0.0 < alpha && alpha < 1.0) {
        return f64::INFINITY;
    }
    let boundary = gain.ln_1p() - 2.0 * alpha.ln();
    (variance * (1.0 + 1.0 / gain) * boundary).sqrt()
}

/// Log e-value against "the true value is `null`":
/// −½·ln(1 + g) + ½·((estimate − null)²/V)·g/(1 + g), the normal mixture of Robbins (1970),
/// an e-value asymptotically only (sources as for [`radius`]). At least ln(1/α) exactly when
/// `null` is not inside the interval at α.
///
/// 0, no evidence, in all the cases in which the radius is infinite whatever α is, and when
/// `estimate` or `null` is not finite.
pub fn log_e(estimate: f64, null: f64, variance: f64, gain: f64) -> f64 {
    let distance = estimate - null;
    if !(usable(variance) && usable(gain) && distance.is_finite()) {
        return 0.0;
    }
    let z = distance / variance.sqrt();
    0.5 * (z * z / (1.0 + 1.0 / gain) - gain.ln_1p())
}

/// `estimate` ± [`radius`]; [`Interval::ALL`] when the radius is infinite or the estimate is not
/// finite.
pub fn interval(estimate: f64, variance: f64, gain: f64, alpha: f64) -> Interval {
    let radius = radius(variance, gain, alpha);
    if !(radius.is_finite() && estimate.is_finite()) {
        return Interval::ALL;
    }
    Interval { lower: estimate - radius, upper: estimate + radius }
}

/// ρ² that is near the tightest at `n_star` units: (−2·ln α + ln(−2·ln α + 1))/N*, as gbstats
/// has it. 0 when `alpha` is not in (0, 1) or `n_star` not positive and finite.
pub fn rho2(alpha: f64, n_star: f64) -> f64 {
    let spent = -2.0 * alpha.ln();
    per_unit(spent + spent.ln_1p(), n_star)
}

/// ρ² by the longer formula of confseq's `rho2_opt`, at intrinsic time `t_star`:
/// (−α² − 2·ln α + ln(1 − 2·ln α − α²))/t*. 0 in the same cases as [`rho2`].
pub fn rho2_exact(alpha: f64, t_star: f64) -> f64 {
    let spent = -2.0 * alpha.ln() - alpha * alpha;
    per_unit(spent + spent.ln_1p(), t_star)
}

fn per_unit(numerator: f64, units: f64) -> f64 {
    let rho2 = numerator / units;
    if usable(rho2) && usable(units) { rho2 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_spread_is_no_certainty() {
        for variance in [0.0, -1.0, f64::INFINITY, f64::NAN] {
            let gain = Scale::Effect(0.1).gain(variance);
            assert_eq!(gain, 0.0);
            assert_eq!(radius(variance, 1.0, 0.05), f64::INFINITY);
            assert_eq!(log_e(5.0, 0.0, variance, 1.0), 0.0);
            assert_eq!(interval(5.0, variance, 1.0, 0.05), Interval::ALL);
        }
        assert_eq!(radius(1.0, 0.0, 0.05), f64::INFINITY);
        assert_eq!(radius(1.0, 1.0, 0.0), f64::INFINITY);
        assert_eq!(log_e(f64::NAN, 0.0, 1.0, 1.0), 0.0);
        assert_eq!(interval(f64::NAN, 1.0, 1.0, 0.05), Interval::ALL);
        assert_eq!(
            (rho2(0.05, 0.0), rho2(1.5, 5000.0), rho2_exact(f64::NAN, 9.0)),
            (0.0, 0.0, 0.0)
        );
        assert_eq!(Scale::Units { rho2: f64::NAN, units: 5.0 }.gain(1.0), 0.0);
    }

    #[test]
    fn the_radius_is_least_near_the_tuned_size() {
        // With V = 1/n; the exact rule is the least, gbstats' is near it.
        let at = |n: f64, rho2: f64| radius(1.0 / n, rho2 * n, 0.05);
        let exact = rho2_exact(0.05, 5000.0);
        let best = at(5000.0, exact);
        for factor in [0.8, 0.9, 1.1, 1.2] {
            assert!(at(5000.0, exact * factor) > best);
        }
        assert!(at(5000.0, rho2(0.05, 5000.0)) < best * 1.01);
    }

    proptest! {
        #[test]
        fn interval_and_evidence_agree(
            estimate in -9.0f64..9.0,
            variance in 1e-6f64..9.0,
            tau in 1e-3f64..9.0,
            alpha in 1e-6f64..0.5,
        ) {
            let gain = Scale::Effect(tau).gain(variance);
            let interval = interval(estimate, variance, gain, alpha);
            let log_e = log_e(estimate, 0.0, variance, gain);
            let margin = log_e + alpha.ln();
            prop_assert!(margin.abs() < 1e-9 || interval.contains(0.0) == (margin < 0.0));
            prop_assert!(interval.lower <= estimate && estimate <= interval.upper);
        }

        #[test]
        fn equivariant_and_wider_for_less_error(
            estimate in -9.0f64..9.0,
            by in -9.0f64..9.0,
            variance in 1e-3f64..9.0,
            gain in 1e-3f64..1e3,
            alpha in 1e-6f64..0.4,
        ) {
            let one = interval(estimate, variance, gain, alpha);
            let moved = interval(estimate + by, variance, gain, alpha);
            prop_assert!((one.shifted(by).lower - moved.lower).abs() < 1e-9);
            let scaled = interval(estimate * by, variance * by * by, gain, alpha);
            prop_assume!(by.abs() > 1e-3);
            let error = (one.scaled(by).upper - scaled.upper).abs();
            prop_assert!(error < 1e-8 * one.width().max(1.0));
            prop_assert!(interval(estimate, variance, gain, alpha / 2.0).width() > one.width());
        }

        #[test]
        fn never_nan(
            estimate in any::<f64>(),
            null in any::<f64>(),
            variance in any::<f64>(),
            gain in any::<f64>(),
            alpha in any::<f64>(),
        ) {
            prop_assert!(!radius(variance, gain, alpha).is_nan());
            prop_assert!(!log_e(estimate, null, variance, gain).is_nan());
            let interval = interval(estimate, variance, gain, alpha);
            prop_assert!(interval.lower <= interval.upper);
            prop_assert!(Scale::Effect(gain).gain(variance).is_finite());
            prop_assert!(rho2(alpha, gain).is_finite() && rho2_exact(alpha, gain).is_finite());
        }
    }
}
