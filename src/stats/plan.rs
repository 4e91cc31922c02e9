//! How much data a decision takes: `statistics.md` §1 and §5. In: the variance at the units so
//! far, which is assumed to fall as 1/units. Out: the smallest effect, or the units needed.

use super::sequence::{Scale, radius, rho2};
use super::special::normal_quantile;

/// Above this many units there is no projection.
pub const UNITS_MAX: f64 = 1e12;

/// How the scale τ of the effect was declared, as a rule for any number of units.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum ScaleRule {
    /// τ itself, in the unit of the effect.
    Effect(f64),
    /// ρ² tuned for this many units, by [`rho2`].
    NStar(f64),
}

// === impl ScaleRule ===

impl ScaleRule {
    /// The scale at a number of units.
    pub fn at(self, units: f64, alpha: f64) -> Scale {
        match self {
            ScaleRule::Effect(tau) => Scale::Effect(tau),
            ScaleRule::NStar(n_star) => Scale::Units { rho2: rho2(alpha, n_star), units },
        }
    }

    /// Radius at a number of units, given a variance there; infinite in the cases of `radius`.
    fn radius(self, variance: f64, units: f64, alpha: f64) -> f64 {
        radius(variance, self.at(units, alpha).gain(variance), alpha)
    }
}

/// Smallest effect that is decided with probability `power` at `units` units, both arms
/// together, in the unit of the effect: r(n) + z_power·sqrt(V(n)) with V(n) = `variance_at` ·
/// `units_at`/n. At n the estimate is then beyond the radius with that probability, so this is
/// from above: the sequence may decide before. Infinite when something is not positive and
/// finite, or `power` or `alpha` is not in (0, 1).
pub fn minimum_detectable_effect(
    variance_at: f64,
    units_at: f64,
    units: f64,
    scale: ScaleRule,
    alpha: f64,
    power: f64,
) -> f64 {
    let variance = variance_at * (units_at / units);
    let effect =
        scale.radius(variance, units, alpha) + normal_quantile(power).max(0.0) * variance.sqrt();
    let usable = 0.0 < power && power < 1.0 && effect.is_finite();
    if usable { effect } else { f64::INFINITY }
}

/// Smallest number of units n ≥ `units_at` with r(n) < `distance`, where distance = |D − m| is
/// how far the estimate is from the margin: a projection, not a promise. `units_at` itself or
/// a whole number. `None` when `distance` ≤ 0, when it is more than [`UNITS_MAX`], and when an
/// argument is unusable. (r falls with n for α ≤ 0.6.)
pub fn units_to_decide(
    distance: f64,
    variance_at: f64,
    units_at: f64,
    scale: ScaleRule,
    alpha: f64,
) -> Option<f64> {
    let decided =
        |units: f64| scale.radius(variance_at * (units_at / units), units, alpha) < distance;
    let usable = distance > 0.0 && units_at > 0.0 && units_at <= UNITS_MAX;
    if !usable || !decided(UNITS_MAX) {
        return None;
    }
    if decided(units_at) {
        return Some(units_at);
    }
    let (mut low, mut high) = (units_at.floor(), UNITS_MAX);
    while high - low > 1.0 {
        let middle = ((low + high) * 0.5).floor();
        if decided(middle) { high = middle } else { low = middle }
    }
    Some(high)
}
