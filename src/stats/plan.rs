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
/// from above: the sequence may decide before. A power below ½ counts as ½. Infinite when
/// something is not positive and finite, or `power` or `alpha` is not in (0, 1).
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule() -> impl Strategy<Value = ScaleRule> {
        prop_oneof![
            (1e-3f64..10.0).prop_map(ScaleRule::Effect),
            (100.0f64..1e6).prop_map(ScaleRule::NStar)
        ]
    }

    #[test]
    fn edges_are_as_documented() {
        let rule = ScaleRule::Effect(0.1);
        for distance in [0.0, -1.0, f64::NAN, 1e-12] {
            assert_eq!(units_to_decide(distance, 0.01, 1000.0, rule, 0.05), None);
        }
        assert_eq!(units_to_decide(0.1, 0.0, 1000.0, rule, 0.05), None);
        assert_eq!(units_to_decide(0.1, f64::INFINITY, 1000.0, rule, 0.05), None);
        assert_eq!(units_to_decide(0.1, 0.01, 0.0, rule, 0.05), None);
        assert_eq!(units_to_decide(99.0, 0.01, 1000.5, rule, 0.05), Some(1000.5));
        let effect = |variance, power| {
            minimum_detectable_effect(variance, 1000.0, 2000.0, rule, 0.05, power)
        };
        assert_eq!(effect(0.0, 0.8), f64::INFINITY);
        assert_eq!(effect(0.01, 1.0), f64::INFINITY);
        assert!(effect(0.01, 0.9) > effect(0.01, 0.8));
        assert_eq!(effect(0.01, 0.2), effect(0.01, 0.5));
    }

    proptest! {
        #[test]
        fn is_the_smallest_number(
            rule in rule(),
            variance in 1e-5f64..1.0,
            units in 10u32..100_000,
            share in 0.1f64..0.99,
            alpha in 1e-6f64..0.3,
        ) {
            let units = f64::from(units);
            let now = rule.radius(variance, units, alpha);
            let wanted = now * share;
            let at = |n: f64| rule.radius(variance * units / n, n, alpha);
            if let Some(n) = units_to_decide(wanted, variance, units, rule, alpha) {
                prop_assert!(n > units && at(n) < wanted * (1.0 + 1e-12));
                prop_assert!(at(n - 1.0) >= wanted * (1.0 - 1e-12));
            }
            prop_assert_eq!(units_to_decide(now * 1.01, variance, units, rule, alpha), Some(units));
        }

        #[test]
        fn never_nan(
            a in any::<f64>(),
            b in any::<f64>(),
            c in any::<f64>(),
            d in any::<f64>(),
            alpha in any::<f64>(),
        ) {
            for rule in [ScaleRule::Effect(d), ScaleRule::NStar(d)] {
                prop_assert!(!minimum_detectable_effect(a, b, c, rule, alpha, 0.8).is_nan());
                let units = units_to_decide(a, b, c, rule, alpha);
                prop_assert!(units.is_none_or(|n| n >= c && n <= UNITS_MAX));
            }
        }
    }
}
