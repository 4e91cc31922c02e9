//! A ratio of sums over units and its variance from unit buckets, `statistics.md` §2.
//!
//! In: exact integer sums (Y, W) per bucket. Out: R = ΣY/ΣW with its cluster-robust variance.
//! Residuals are formed in integers: there is no cancellation, however large the level is.

/// 2^64, the weight of the upper half of an `i128`.
const UPPER: f64 = 18_446_744_073_709_551_616.0;

/// R = ΣY/ΣW and what its bucket residuals say of its spread.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Ratio {
    /// ΣY/ΣW, in units of Y per W.
    pub estimate: f64,
    /// Variance of the estimate. Infinite with fewer than two clusters.
    pub variance: f64,
    /// Touched buckets, G.
    pub clusters: usize,
    /// Largest share of one bucket in Σe², 0 when that sum is 0. Above 5 % normality is in doubt.
    pub huge: f64,
}

/// Σe², the largest e² and how many rows were touched; e_b = Y_b·ΣW − W_b·ΣY.
#[derive(Clone, Copy, Default)]
struct Spread {
    sum: f64,
    largest: f64,
    clusters: usize,
}

/// The ratio of sums over unit buckets. `rows` are (Y_b, W_b), one per bucket; a bucket that no
/// unit touched is (0, 0). Y and W are in any units; scale the result by [`Ratio::scaled`].
///
/// With e_b = Y_b·ΣW − W_b·ΣY (so that Σe_b = 0) and G touched buckets,
/// V = G/(G−1) · Σe_b² / (ΣW)^4: the linearised cluster-robust variance of a ratio (Cochran,
/// Sampling Techniques, §6; Deng, Knoblich & Lu, KDD 2018, for the delta method by units). It
/// assumes that units, hence buckets, are independent, and nothing about calls within a unit.
///
/// Error bound: e_b is exact; it is rounded twice on its way to f64, squared, and G squares
/// that are not negative are added, so the relative error of Σe² is below (G + 6)·2^−53 and
/// that of V below (G + 12)·2^−53: 1.2e-13 for G = 1,024. Only when sums exceed `i64` and a
/// product exceeds `i128` are residuals formed in f64, with an absolute error in e_b of
/// 4·2^−53·(|Y_b·ΣW| + |W_b·ΣY|).
///
/// `None` when ΣW ≤ 0. The variance is infinite with fewer than 2 clusters, and 0 when all
/// residuals are (which `sequence` treats as no certainty).
pub fn ratio(rows: &[(i64, i64)]) -> Option<Ratio> {
    let (sum_y, sum_w) = sums(rows);
    let (Ok(y), Ok(w)) = (i64::try_from(sum_y), i64::try_from(sum_w)) else {
        let wide: Vec<(i128, i128)> =
            rows.iter().map(|row| (i128::from(row.0), i128::from(row.1))).collect();
        return ratio_wide(&wide);
    };
    if w <= 0 {
        return None;
    }
    // |Y_b·ΣW| and |W_b·ΣY| are at most 2^126, so the difference fits.
    let product = |a: i64, b: i64| i128::from(a) * i128::from(b);
    let residual = |row: (i64, i64)| to_f64(product(row.0, w) - product(row.1, y));
    // One plain sum: untouched rows add 0, so the result is the same to the bit without them.
    let mut spread = Spread::default();
    rows.iter().for_each(|row| spread.add(residual(*row), *row != (0, 0)));
    Some(spread.ratio(y as f64, w as f64))
}

/// As [`ratio`], of sums that were promoted after an overflow. Products that do not fit `i128`
/// are formed in f64, see there; nothing overflows.
pub fn ratio_wide(rows: &[(i128, i128)]) -> Option<Ratio> {
    let exact = rows.iter().try_fold((0i128, 0i128), |sum, row| {
        Some((sum.0.checked_add(row.0)?, sum.1.checked_add(row.1)?))
    });
    let (y, w) = match exact {
        Some(sum) => (sum.0 as f64, sum.1 as f64),
        None => {
            rows.iter().fold((0.0, 0.0), |sum, row| (sum.0 + row.0 as f64, sum.1 + row.1 as f64))
        }
    };
    if w <= 0.0 {
        return None;
    }
    let mut spread = Spread::default();
    for row in rows {
        let residual = exact.and_then(|sum| residual(*row, sum));
        let residual = residual.unwrap_or(row.0 as f64 * w - row.1 as f64 * y);
        spread.add(residual, *row != (0, 0));
    }
    Some(spread.ratio(y, w))
}

/// Y_b·ΣW − W_b·ΣY, when it fits `i128`.
fn residual(row: (i128, i128), sum: (i128, i128)) -> Option<f64> {
    let left = row.0.checked_mul(sum.1)?;
    let right = row.1.checked_mul(sum.0)?;
    Some(left.checked_sub(right)? as f64)
}

/// ΣY and ΣW; `i128` cannot overflow here.
fn sums(rows: &[(i64, i64)]) -> (i128, i128) {
    let add = |sum: (i128, i128), row: &(i64, i64)| {
        (sum.0 + i128::from(row.0), sum.1 + i128::from(row.1))
    };
    rows.iter().fold((0, 0), add)
}

/// By signed halves: two roundings, but no call into the runtime, which the loop's time would be.
/// `value` is a residual, below 2^127 − 2^64, so that the carry cannot overflow.
fn to_f64(value: i128) -> f64 {
    let low = value as i64;
    let high = (value >> 64) as i64 + i64::from(low < 0);
    high as f64 * UPPER + low as f64
}

/// Estimate and residuals on the scale of the estimate, e_b/(ΣW)², one per row: what `cuped`
/// regresses. `None` when ΣW ≤ 0 or a row's sums exceed what fits.
pub(super) fn residuals(rows: &[(i64, i64)]) -> Option<(f64, Vec<f64>)> {
    let (sum_y, sum_w) = sums(rows);
    let (y, w) = (sum_y as f64, sum_w as f64);
    if w <= 0.0 {
        return None;
    }
    let one = |row: &(i64, i64)| {
        let exact = residual((i128::from(row.0), i128::from(row.1)), (sum_y, sum_w));
        exact.unwrap_or(row.0 as f64 * w - row.1 as f64 * y) / w / w
    };
    Some((y / w, rows.iter().map(one).collect()))
}

/// G/(G−1) · Σe², infinite with fewer than two clusters.
pub(super) fn clustered(sum: f64, clusters: usize) -> f64 {
    if clusters < 2 {
        return f64::INFINITY;
    }
    sum * clusters as f64 / (clusters - 1) as f64
}

/// Design effect of a rate, its clustered variance over that of as many independent calls:
/// V/(p(1−p)/n), with p the estimate of `ratio` and `n` the calls under it (Kish, Survey
/// Sampling, 1965). At least 1; 1 when p is not inside (0, 1) or n < 2; infinite when the
/// variance is, so that n/deff is then no call at all.
pub fn design_effect_of_rate(ratio: &Ratio, n: f64) -> f64 {
    let independent = ratio.estimate * (1.0 - ratio.estimate) / n;
    if !(n >= 2.0 && independent > 0.0) {
        return 1.0;
    }
    // `max` drops a NaN.
    (ratio.variance / independent).max(1.0)
}

// === impl Spread ===

impl Spread {
    fn add(&mut self, residual: f64, touched: bool) {
        let square = residual * residual;
        self.sum += square;
        if square > self.largest {
            self.largest = square;
        }
        self.clusters += usize::from(touched);
    }

    fn ratio(self, y: f64, w: f64) -> Ratio {
        Ratio {
            estimate: y / w,
            variance: clustered(self.sum / (w * w) / (w * w), self.clusters),
            clusters: self.clusters,
            huge: if self.sum > 0.0 { self.largest / self.sum } else { 0.0 },
        }
    }
}

// === impl Ratio ===

impl Ratio {
    /// The same ratio in other units: estimate · f, variance · f². `factor` must be finite;
    /// with a factor of 0 an infinite variance stays infinite.
    pub fn scaled(self, factor: f64) -> Ratio {
        let variance = self.variance * (factor * factor);
        Ratio {
            estimate: self.estimate * factor,
            variance: if variance.is_nan() { f64::INFINITY } else { variance },
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows() -> impl Strategy<Value = Vec<(i64, i64)>> {
        let touched = (-1_000_000i64..1_000_000, 1i64..1000);
        prop::collection::vec(prop_oneof![3 => touched, 1 => Just((0, 0))], 2..80)
    }

    fn wide(rows: &[(i64, i64)]) -> Vec<(i128, i128)> {
        rows.iter().map(|row| (i128::from(row.0), i128::from(row.1))).collect()
    }

    fn near(a: f64, b: f64) -> bool {
        a == b || (a - b).abs() <= 1e-12 * a.abs().max(b.abs())
    }

    #[test]
    fn edges_are_as_documented() {
        assert_eq!(ratio(&[]), None);
        assert_eq!(ratio(&[(5, 0), (0, 0)]), None);
        assert_eq!(ratio(&[(5, -1)]), None);
        let one = ratio(&[(5, 2), (0, 0)]).expect("one cluster");
        assert_eq!((one.estimate, one.variance, one.clusters), (2.5, f64::INFINITY, 1));
        let equal = ratio(&[(4, 2), (2, 1), (8, 4)]).expect("equal clusters");
        assert_eq!((equal.variance, equal.huge), (0.0, 0.0));
        let lone = ratio(&[(1_000_000, 1), (0, 1), (0, 1)]).expect("a huge one");
        assert!((lone.huge - 2.0 / 3.0).abs() < 1e-12, "{lone:?}");
        assert_eq!(lone.scaled(0.0).variance, 0.0);
        assert_eq!(one.scaled(0.0).variance, f64::INFINITY);
    }

    #[test]
    fn extreme_sums_do_not_overflow() {
        let rows = vec![(i64::MAX, i64::MAX), (i64::MIN, 5), (i64::MIN, i64::MAX), (7, 1)];
        let narrow = ratio(&rows).expect("a ratio");
        assert!(narrow.variance > 0.0 && narrow.variance.is_finite());
        assert_eq!(Some(narrow), ratio_wide(&wide(&rows)));
        // The widest residuals that stay in the narrow route.
        let edge = ratio(&[(i64::MAX, i64::MAX), (i64::MIN, i64::MIN + 1), (0, 1)]);
        assert!(edge.expect("a ratio").variance.is_finite());
        // Sums fit, products do not; then sums do not either.
        let at = |unit: i128| ratio_wide(&[(unit, unit), (-unit, unit), (0, unit)]);
        for unit in [1 << 40, 1 << 100, i128::MAX] {
            let ratio = at(unit).expect("a ratio");
            assert!(near(ratio.variance, 1.0 / 3.0) && ratio.estimate == 0.0, "{ratio:?}");
        }
        let wide = ratio_wide(&[(i128::MAX, i128::MAX), (i128::MIN, i128::MAX), (5, i128::MAX)]);
        let wide = wide.expect("a ratio");
        assert!(wide.variance > 0.0 && wide.variance.is_finite() && wide.huge < 1.0, "{wide:?}");
    }

    #[test]
    fn design_effect_has_its_edges() {
        let of = |estimate, variance| Ratio { estimate, variance, clusters: 9, huge: 0.0 };
        assert_eq!(design_effect_of_rate(&of(0.5, 0.01), 100.0), 4.0);
        assert_eq!(design_effect_of_rate(&of(0.5, 1e-9), 100.0), 1.0);
        assert_eq!(design_effect_of_rate(&of(0.0, 0.1), 100.0), 1.0);
        assert_eq!(design_effect_of_rate(&of(1.0, 0.1), 100.0), 1.0);
        assert_eq!(design_effect_of_rate(&of(0.5, 0.1), 1.0), 1.0);
        assert_eq!(design_effect_of_rate(&of(0.5, 0.1), f64::NAN), 1.0);
        assert_eq!(design_effect_of_rate(&of(0.5, f64::INFINITY), 9.0), f64::INFINITY);
    }

    proptest! {
        #[test]
        fn agrees_with_the_textbook(rows in rows()) {
            let Some(ours) = ratio(&rows) else { return Ok(()) };
            let (y, w) = rows.iter().fold((0.0, 0.0), |s, r| (s.0 + r.0 as f64, s.1 + r.1 as f64));
            let touched = rows.iter().filter(|row| **row != (0, 0)).count() as f64;
            let squares: Vec<f64> =
                rows.iter().map(|row| (row.0 as f64 - y / w * row.1 as f64).powi(2)).collect();
            let sum: f64 = squares.iter().sum();
            prop_assert!(near(ours.estimate, y / w));
            if touched >= 2.0 {
                let variance = touched / (touched - 1.0) * sum / w / w;
                prop_assert!((ours.variance - variance).abs() <= 1e-9 * variance.max(1e-9));
            }
            prop_assert!((0.0..=1.0).contains(&ours.huge));
        }

        #[test]
        fn a_shift_moves_the_estimate_and_nothing_else(
            rows in rows(),
            by in -1_000_000_000i64..1_000_000_000,
        ) {
            let moved: Vec<(i64, i64)> =
                rows.iter().map(|row| (row.0 + by * row.1, row.1)).collect();
            if let (Some(one), Some(other)) = (ratio(&rows), ratio(&moved)) {
                // To the bit: residuals are exact.
                prop_assert_eq!(one.variance, other.variance);
                prop_assert_eq!(one.huge, other.huge);
                prop_assert!((one.estimate + by as f64 - other.estimate).abs() <= 1e-6);
            }
        }

        #[test]
        fn units_only_scale(rows in rows(), by in 1i64..1_000_000) {
            let scaled: Vec<(i64, i64)> = rows.iter().map(|row| (row.0 * by, row.1)).collect();
            if let (Some(one), Some(other)) = (ratio(&rows), ratio(&scaled)) {
                let one = one.scaled(by as f64);
                prop_assert!(near(one.estimate, other.estimate));
                prop_assert!(near(one.variance, other.variance));
            }
        }

        #[test]
        fn form_and_order_do_not_matter(mut rows in rows()) {
            let one = ratio(&rows);
            prop_assert_eq!(one, ratio_wide(&wide(&rows)));
            let touched: Vec<(i64, i64)> =
                rows.iter().copied().filter(|row| *row != (0, 0)).collect();
            prop_assert_eq!(one, ratio(&touched), "untouched rows add nothing, to the bit");
            rows.reverse();
            if let (Some(one), Some(other)) = (one, ratio(&rows)) {
                prop_assert!(near(one.variance, other.variance) && near(one.huge, other.huge));
            }
        }

        #[test]
        fn never_nan(rows in prop::collection::vec((any::<i64>(), any::<i64>()), 0..20)) {
            for ratio in [ratio(&rows), ratio_wide(&wide(&rows))].into_iter().flatten() {
                prop_assert!(ratio.estimate.is_finite() && ratio.variance >= 0.0);
                prop_assert!((0.0..=1.0).contains(&ratio.huge));
            }
        }
    }
}
