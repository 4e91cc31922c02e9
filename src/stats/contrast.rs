//! Linear contrasts of independent arms: differences, relative margins, interactions.
//! In: one [`Ratio`] per arm. Out: an estimate and a variance for `sequence`.

use super::ratio::Ratio;

/// A linear combination of arms, in the unit of the arms.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Contrast {
    /// Σ c_a·R_a.
    pub estimate: f64,
    /// Σ c_a²·V_a, for independent arms; may be infinite.
    pub variance: f64,
}

/// Σ c_a·R_a with variance Σ c_a²·V_a: arms are independent because units are assigned to one
/// of them. `coefficients[i]` belongs to `arms[i]`; an arm with coefficient 0 is ignored, even
/// if its variance is infinite. `None` when the lengths differ, there is no arm, or a
/// coefficient or an estimate in use is not finite.
pub fn contrast(coefficients: &[f64], arms: &[Ratio]) -> Option<Contrast> {
    if coefficients.len() != arms.len() || arms.is_empty() {
        return None;
    }
    let mut sum = Contrast { estimate: 0.0, variance: 0.0 };
    for (coefficient, arm) in coefficients.iter().zip(arms) {
        if *coefficient != 0.0 {
            sum.estimate += coefficient * arm.estimate;
            sum.variance += coefficient * coefficient * arm.variance;
        }
    }
    sum.estimate.is_finite().then_some(Contrast { variance: known(sum.variance), ..sum })
}

/// A variance that cannot be told is infinite.
fn known(variance: f64) -> f64 {
    if variance.is_nan() { f64::INFINITY } else { variance }
}

/// Treated arm minus control.
pub fn difference(arm: &Ratio, control: &Ratio) -> Contrast {
    relative_excess(arm, control, 0.0)
}

/// θ = μ1 − (1 + m)·μ0 with variance V1 + (1 + m)²·V0: μ1 exceeds μ0 by more than the share
/// `margin` exactly when θ > 0 (for μ0 > 0). There is no division by an estimate, so it holds
/// however near to 0 the control is (Fieller 1954). A margin that is not finite gives an
/// infinite variance.
pub fn relative_excess(arm: &Ratio, control: &Ratio, margin: f64) -> Contrast {
    let factor = 1.0 + margin;
    let estimate = arm.estimate - factor * control.estimate;
    if !(factor.is_finite() && estimate.is_finite()) {
        return Contrast { estimate: 0.0, variance: f64::INFINITY };
    }
    // A factor of 0 leaves the control out, even if nothing is known of it.
    let control = if factor == 0.0 { 0.0 } else { factor * factor * control.variance };
    Contrast { estimate, variance: known(arm.variance + control) }
}

/// The gate of rates, §1: V := max(V, p(1−p)·(1/n0 + 1/n1)·deff), with p the pooled share of
/// both arms, n0 and n1 their calls, and deff the design effect. The estimated variance of a
/// small arm that has seen no event is about 0; without this floor 32–35 % of null
/// experiments at p = 1 % and 90/10 were rejected.
///
/// Infinite when an n is not positive or an argument is NaN.
pub fn floor_of_rates(contrast: Contrast, pooled: f64, n0: f64, n1: f64, deff: f64) -> Contrast {
    let floor = pooled * (1.0 - pooled) * (1.0 / n0 + 1.0 / n1) * deff;
    if !(n0 > 0.0 && n1 > 0.0) || floor.is_nan() {
        return Contrast { variance: f64::INFINITY, ..contrast };
    }
    Contrast { variance: contrast.variance.max(floor), ..contrast }
}

/// Events that are expected in the smaller arm, p·min(n0, n1); §1 asks for 10. 0 when an
/// argument is negative or NaN.
pub fn expected_events(pooled: f64, n0: f64, n1: f64) -> f64 {
    if n0.is_nan() || n1.is_nan() {
        return 0.0;
    }
    // `max` drops a NaN.
    (pooled * n0.min(n1)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn arm(estimate: f64, variance: f64) -> Ratio {
        Ratio { estimate, variance, clusters: 100, huge: 0.01 }
    }

    #[test]
    fn zero_coefficients_ignore_their_arm() {
        let arms = [arm(1.0, 0.5), arm(9.0, f64::INFINITY), arm(3.0, 0.25)];
        let seen = contrast(&[-1.0, 0.0, 2.0], &arms).expect("a contrast");
        assert_eq!(seen, Contrast { estimate: 5.0, variance: 1.5 });
        let all = contrast(&[1.0, 1.0, 1.0], &arms).expect("a contrast");
        assert_eq!(all.variance, f64::INFINITY);
    }

    #[test]
    fn edges_are_as_documented() {
        let arms = [arm(1.0, 0.5), arm(2.0, 0.5)];
        assert_eq!(contrast(&[1.0], &arms), None);
        assert_eq!(contrast(&[], &[]), None);
        assert_eq!(contrast(&[1.0, f64::NAN], &arms), None);
        assert_eq!(relative_excess(&arms[0], &arms[1], f64::NAN).variance, f64::INFINITY);
        let unknown = arm(2.0, f64::INFINITY);
        assert_eq!(relative_excess(&arms[0], &unknown, -1.0).variance, 0.5);
        assert_eq!(expected_events(0.01, 900.0, 100.0), 1.0);
        assert_eq!(expected_events(f64::NAN, 900.0, f64::NAN), 0.0);
        let small = Contrast { estimate: 0.0, variance: 1e-9 };
        let floor = floor_of_rates(small, 0.5, 100.0, 100.0, 2.0);
        assert!((floor.variance - 0.01).abs() < 1e-15);
        assert_eq!(floor_of_rates(floor, 0.0, 1e9, 1e9, 1.0), floor);
        assert_eq!(floor_of_rates(small, 0.5, 0.0, 100.0, 1.0).variance, f64::INFINITY);
        assert_eq!(floor_of_rates(small, f64::NAN, 9.0, 9.0, 1.0).variance, f64::INFINITY);
    }

    proptest! {
        #[test]
        fn named_contrasts_are_contrasts(
            a in -9.0f64..9.0,
            b in -9.0f64..9.0,
            va in 0.0f64..9.0,
            vb in 0.0f64..9.0,
            m in -2.0f64..2.0,
        ) {
            let (one, other) = (arm(a, va), arm(b, vb));
            let general = contrast(&[1.0, -(1.0 + m)], &[one, other]).expect("a contrast");
            let named = relative_excess(&one, &other, m);
            prop_assert!((named.estimate - general.estimate).abs() < 1e-12);
            prop_assert!((named.variance - general.variance).abs() < 1e-12);
            prop_assert_eq!(difference(&one, &other), relative_excess(&one, &other, 0.0));
        }

        #[test]
        fn never_nan(
            a in any::<f64>(),
            m in any::<f64>(),
            n in any::<f64>(),
            v in 0.0f64..f64::MAX,
        ) {
            let (one, other) = (arm(1.0, v), arm(2.0, f64::INFINITY));
            let made = relative_excess(&one, &other, m);
            prop_assert!(!made.estimate.is_nan() && made.variance >= 0.0);
            prop_assert!(floor_of_rates(made, a, n, n, m).variance >= 0.0);
            prop_assert!(!expected_events(a, n, m).is_nan());
            let made = contrast(&[a, m], &[one, other]);
            prop_assert!(made.is_none_or(|made| made.estimate.is_finite() && made.variance >= 0.0));
        }
    }
}
