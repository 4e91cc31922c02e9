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
