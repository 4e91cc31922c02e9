//! CUPED: less variance by a covariate that was known before exposure, `statistics.md` §7.
//! In: bucket sums of outcome and covariate, both arms. Out: adjusted ratios for `contrast`.

use super::ratio::{Ratio, clustered, residuals};

/// Residual variance below this share is rounding, hence 0.
const ROUNDING: f64 = 1e-20;

/// (Y rows, X rows) of one arm, by the same buckets: (ΣY, ΣW) and (Σ covariate, units).
pub type Rows<'a> = (&'a [(i64, i64)], &'a [(i64, i64)]);

/// Both arms after adjustment.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Adjusted {
    /// Control arm.
    pub control: Ratio,
    /// Treated arm.
    pub treated: Ratio,
    /// Slope of outcome on covariate, pooled over the arms.
    pub theta: f64,
    /// Share of the variance of the difference that is gone, in [0, 1].
    pub reduction: f64,
}

/// One arm, residuals on the scale of its estimates.
struct Arm {
    outcome: f64,
    covariate: f64,
    y: Vec<f64>,
    x: Vec<f64>,
    clusters: usize,
}

/// R_a − θ·(X̄_a − X̄) with X̄ the mean covariate of all units; variances from the residuals
/// y_b − θ·x_b, y_b = e_b/(ΣW)² and x_b alike (Deng, Xu, Kohavi & Walker, WSDM 2013; by units
/// as in Deng, Knoblich & Lu 2018). θ = Σ_a c_a·Σy·x / Σ_a c_a·Σx², c_a = G_a/(G_a − 1), makes
/// the variance of the difference least. The covariate must be known before exposure: one that
/// the arm moves biases the difference. That θ is estimated is neglected, as usual; ask for
/// ≥ 100 units.
///
/// `None` when an arm has rows of different lengths, no outcome or covariate, fewer than two
/// touched buckets, or when the covariate does not vary.
pub fn adjust(control: Rows, treated: Rows) -> Option<Adjusted> {
    let mean = pooled_mean(control.1, treated.1)?;
    let (control, treated) = (arm(control)?, arm(treated)?);
    let both = |of: fn(&Arm) -> f64| of(&control) + of(&treated);
    let theta = both(Arm::covariance) / both(Arm::covariate_variance);
    if !theta.is_finite() {
        return None;
    }
    let before = control.variance(0.0) + treated.variance(0.0);
    let (control, treated) = (control.adjusted(theta, mean), treated.adjusted(theta, mean));
    let left = (control.variance + treated.variance) / before;
    let reduction = if left.is_finite() { (1.0 - left).clamp(0.0, 1.0) } else { 0.0 };
    Some(Adjusted { control, treated, theta, reduction })
}

/// Mean covariate over the units of both arms.
fn pooled_mean(control: &[(i64, i64)], treated: &[(i64, i64)]) -> Option<f64> {
    let add = |sum: (i128, i128), row: &(i64, i64)| {
        (sum.0 + i128::from(row.0), sum.1 + i128::from(row.1))
    };
    let sum = control.iter().chain(treated).fold((0, 0), add);
    (sum.1 > 0).then(|| sum.0 as f64 / sum.1 as f64)
}

fn arm(rows: Rows) -> Option<Arm> {
    let (outcome, y) = residuals(rows.0)?;
    let (covariate, x) = residuals(rows.1)?;
    let touched = rows.0.iter().zip(rows.1).filter(|(y, x)| (**y, **x) != ((0, 0), (0, 0)));
    let clusters = touched.count();
    let valid = rows.0.len() == rows.1.len() && clusters >= 2;
    valid.then_some(Arm { outcome, covariate, y, x, clusters })
}

// === impl Arm ===

impl Arm {
    fn covariance(&self) -> f64 {
        clustered(self.y.iter().zip(&self.x).map(|(y, x)| y * x).sum(), self.clusters)
    }

    fn covariate_variance(&self) -> f64 {
        clustered(self.x.iter().map(|x| x * x).sum(), self.clusters)
    }

    fn squares(&self, theta: f64) -> impl Iterator<Item = f64> {
        self.y.iter().zip(&self.x).map(move |(y, x)| (y - theta * x) * (y - theta * x))
    }

    fn variance(&self, theta: f64) -> f64 {
        clustered(self.squares(theta).sum(), self.clusters)
    }

    fn adjusted(&self, theta: f64, mean: f64) -> Ratio {
        let sum: f64 = self.squares(theta).sum();
        let sum = if sum <= ROUNDING * self.squares(0.0).sum::<f64>() { 0.0 } else { sum };
        let largest = self.squares(theta).fold(0.0, f64::max);
        Ratio {
            estimate: self.outcome - theta * (self.covariate - mean),
            variance: clustered(sum, self.clusters),
            clusters: self.clusters,
            huge: if sum > 0.0 { largest / sum } else { 0.0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::ratio::ratio;
    use proptest::prelude::*;

    type Sums = Vec<(i64, i64)>;

    fn rows() -> impl Strategy<Value = (Sums, Sums)> {
        let bucket = ((-10_000i64..10_000, 1i64..50), (-500i64..500, 1i64..20));
        prop::collection::vec(bucket, 3..40).prop_map(|rows| rows.into_iter().unzip())
    }

    #[test]
    fn edges_are_as_documented() {
        let y = [(1, 1), (5, 2), (3, 1)];
        let flat = [(2, 1), (4, 2), (2, 1)];
        assert_eq!(adjust((&y, &flat), (&y, &flat)), None, "the covariate does not vary");
        assert_eq!(adjust((&[], &[]), (&[], &[])), None);
        assert_eq!(adjust((&y, &y[..2]), (&y, &y)), None);
        assert_eq!(adjust((&y[..1], &y[..1]), (&y, &y)), None, "one cluster");
        // Outcome and covariate are the same: nothing is left to vary, so no certainty either.
        let same = adjust((&y, &y), (&y, &y)).expect("a covariate");
        assert_eq!((same.theta, same.reduction, same.treated.variance), (1.0, 1.0, 0.0));
        // Slopes that are no double: what is left is rounding.
        for (up, down) in [(7, 3), (1, 3), (10, 7), (11, 13)] {
            let times = |by: i64| [(by, 1), (5 * by, 3), (11 * by, 1), (17 * by, 5), (by, 4)];
            let (y, x) = (times(up), times(down));
            let same = adjust((&y, &x), (&y, &x)).expect("a covariate");
            assert_eq!((same.reduction, same.treated.variance), (1.0, 0.0));
        }
    }

    proptest! {
        #[test]
        fn the_variance_falls_and_a_useless_covariate_is_kept_out(
            control in rows(),
            treated in rows(),
        ) {
            let adjusted = adjust((&control.0, &control.1), (&treated.0, &treated.1));
            let Some(adjusted) = adjusted else { return Ok(()) };
            let plain = [ratio(&control.0).expect("a ratio"), ratio(&treated.0).expect("a ratio")];
            let before = plain[0].variance + plain[1].variance;
            let after = adjusted.control.variance + adjusted.treated.variance;
            prop_assert!(after <= before * (1.0 + 1e-9));
            prop_assert!((adjusted.reduction - (1.0 - after / before)).abs() < 1e-9);
            prop_assert!((0.0..=1.0).contains(&adjusted.treated.huge));
        }

        #[test]
        fn a_shifted_covariate_changes_nothing(
            control in rows(),
            treated in rows(),
            by in -1000i64..1000,
        ) {
            let moved = |rows: &[(i64, i64)]| -> Vec<(i64, i64)> {
                rows.iter().map(|row| (row.0 + by * row.1, row.1)).collect()
            };
            let one = adjust((&control.0, &control.1), (&treated.0, &treated.1));
            let other = adjust((&control.0, &moved(&control.1)), (&treated.0, &moved(&treated.1)));
            if let (Some(one), Some(other)) = (one, other) {
                prop_assert!((one.theta - other.theta).abs() <= 1e-9 * one.theta.abs().max(1e-6));
                let scale = one.control.estimate.abs().max(1.0) * (1.0 + one.theta.abs());
                prop_assert!((one.control.estimate - other.control.estimate).abs() <= 1e-9 * scale);
            }
        }
    }
}
