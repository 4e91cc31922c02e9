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
    ln_beta_tilted(&posterior) - ln_beta_tilted(&prior)
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
