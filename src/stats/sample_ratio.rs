//! The sequential test of the sample ratio: `statistics.md` §4. In: first exposures of units by
//! arm (never calls), per allocation. Out: log e-values against "units were assigned as
//! planned".

use super::special::{bd0, log_mean_exp, stirling_error};

/// Weights of the two mixtures: quick for gross mismatch, and sensitive to a small one.
const MIXTURES: [f64; 2] = [100.0, 10_000.0];
/// ln 2π.
const LN_TWO_PI: f64 = 1.837_877_066_409_345_5;

/// Log e-value of the Dirichlet-multinomial mixture against "each new unit falls in arm i with
/// probability θ_i":
/// lnΓ(k) − lnΓ(k+n) + Σ[lnΓ(kθ_i+n_i) − lnΓ(kθ_i)] − Σ n_i·ln θ_i (Lindon & Malek 2022,
/// Anytime-valid inference for multinomial count data; savvi). Exact at all times at once.
///
/// `counts` are units by arm, `shares` the planned θ, normalised here to sum to 1; `k` is the
/// weight of the mixture in units. It is computed by deviances, in which nothing cancels: at
/// 1e9 units the error is below 1e-9. Arms of share 0 are left out, as are their units: the
/// test is conditional on the arms that were planned (a unit that still comes to an arm which
/// was closed a moment ago is no mismatch). 0 when the lengths differ, fewer than two arms
/// have a share, a share is negative or not finite, or `k` is not positive and finite.
pub fn log_e(counts: &[u64], shares: &[f64], k: f64) -> f64 {
    let total: f64 = shares.iter().sum();
    let planned = shares.iter().filter(|share| **share > 0.0).count();
    let valid = shares.iter().all(|share| *share >= 0.0) && total.is_finite() && planned >= 2;
    if !(valid && counts.len() == shares.len() && k > 0.0 && k.is_finite()) {
        return 0.0;
    }
    let shares = || shares.iter().map(|share| share / total);
    let prior: Vec<(f64, f64)> =
        shares().filter(|share| *share > 0.0).map(|share| (k * share, share)).collect();
    let posterior: Vec<(f64, f64)> = shares()
        .zip(counts)
        .filter(|(share, _)| *share > 0.0)
        .map(|(share, count)| (k * share + *count as f64, share))
        .collect();
    let log_e = ln_beta_tilted(&posterior) - ln_beta_tilted(&prior);
    // The prior's side is infinite, or NaN is left, only where a product leaves the doubles.
    if log_e > f64::NEG_INFINITY { log_e } else { 0.0 }
}

/// lnB(A_1, …, A_d) − Σ A_i·ln θ_i for rows (A_i, θ_i), θ summing to 1: with N = ΣA_i, the sum
/// of deviances bd0(A_i, Nθ_i), Stirling errors and half logarithms.
fn ln_beta_tilted(rows: &[(f64, f64)]) -> f64 {
    let total: f64 = rows.iter().map(|row| row.0).sum();
    let one = |row: &(f64, f64)| {
        bd0(row.0, total * row.1) + stirling_error(row.0) + 0.5 * (LN_TWO_PI - row.0.ln())
    };
    rows.iter().map(one).sum::<f64>() - stirling_error(total) - 0.5 * (LN_TWO_PI - total.ln())
}

/// Log of the mean of the e-values at k = 100 and k = 10,000; a mean of e-values is one.
/// Arguments and edges as for [`log_e`].
pub fn mixture(counts: &[u64], shares: &[f64]) -> f64 {
    log_mean_exp(&MIXTURES.map(|k| log_e(counts, shares, k)))
}

/// The test over a sequence of allocations, each (units by arm that first appeared under it,
/// planned shares): e-values multiply, so the sum of [`mixture`]. 0 without allocations.
pub fn product(allocations: &[(Vec<u64>, Vec<f64>)]) -> f64 {
    allocations.iter().map(|(counts, shares)| mixture(counts, shares)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::special::ln_beta_mixture;
    use proptest::prelude::*;

    #[test]
    fn edges_are_as_documented() {
        let even = [0.5, 0.5];
        assert_eq!(log_e(&[0, 0], &even, 100.0), 0.0);
        assert_eq!(log_e(&[9, 9, 9], &even, 100.0), 0.0);
        assert_eq!(log_e(&[9, 0], &[1.0, 0.0], 100.0), 0.0);
        assert_eq!(log_e(&[9, 0], &[f64::NAN, 0.5], 100.0), 0.0);
        assert_eq!(log_e(&[9, 0], &[1.5, -0.5], 100.0), 0.0);
        assert_eq!(log_e(&[900, 0], &even, 0.0), 0.0);
        assert_eq!(log_e(&[900, 0], &even, f64::NAN), 0.0);
        assert_eq!(log_e(&[52, 48, 7], &[0.5, 0.5, 0.0], 100.0), log_e(&[52, 48], &even, 100.0));
        assert_eq!((mixture(&[], &[]), product(&[])), (0.0, 0.0));
    }

    #[test]
    fn both_mixtures_are_heard() {
        let even = [1.0, 1.0];
        let is_mean = |counts: &[u64]| {
            let (light, heavy) = (log_e(counts, &even, 100.0), log_e(counts, &even, 10_000.0));
            let mean = (0.5 * light.exp() + 0.5 * heavy.exp()).ln();
            assert!((mixture(counts, &even) - mean).abs() < 1e-9);
            (light, heavy)
        };
        let (light, heavy) = is_mean(&[580, 420]);
        assert!(light > heavy + 1.0, "gross: {light} {heavy}");
        // 0.4 % too many of 2 million.
        let (light, heavy) = is_mean(&[1_004_000, 996_000]);
        assert!(heavy > light + 1.0, "tiny: {light} {heavy}");
        let gross = mixture(&[700, 300], &even);
        let allocations = [(vec![700, 300], vec![1.0, 1.0]), (vec![10, 90], vec![1.0, 9.0])];
        assert_eq!(product(&allocations), gross + mixture(&[10, 90], &[1.0, 9.0]));
    }

    proptest! {
        #[test]
        fn two_arms_are_the_beta_binomial(
            a in 0u64..1_000_000,
            b in 0u64..1_000_000,
            share in 0.01f64..0.99,
            k in 1.0f64..1e4,
        ) {
            let ours = log_e(&[a, b], &[share, 1.0 - share], k);
            let n = (a + b) as f64;
            let beta = ln_beta_mixture(n, a as f64, k * share, k * (1.0 - share), share);
            prop_assert!((ours - beta).abs() <= 1e-9 * beta.abs().max(1.0), "{ours} {beta}");
        }

        #[test]
        fn order_of_arms_does_not_matter(
            rows in prop::collection::vec((0u64..1_000_000, 0.01f64..1.0), 2..6),
        ) {
            let of = |rows: &[(u64, f64)]| {
                let (counts, shares): (Vec<u64>, Vec<f64>) = rows.iter().copied().unzip();
                mixture(&counts, &shares)
            };
            let reversed: Vec<(u64, f64)> = rows.iter().rev().copied().collect();
            prop_assert!((of(&rows) - of(&reversed)).abs() <= 1e-9 * of(&rows).abs().max(1.0));
        }

        #[test]
        fn never_nan(
            a in any::<u64>(),
            b in any::<u64>(),
            s in any::<f64>(),
            t in any::<f64>(),
            k in any::<f64>(),
        ) {
            prop_assert!(!log_e(&[a, b], &[s, t], k).is_nan());
            prop_assert!(!log_e(&[a, b], &[0.3, 0.7], k).is_nan());
            prop_assert!(!mixture(&[a, b], &[s, t]).is_nan());
        }
    }
}
