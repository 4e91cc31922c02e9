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

/// Positive and finite.
fn usable(value: f64) -> bool {
    value > 0.0 && value.is_finite()
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
