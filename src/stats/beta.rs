//! The beta-mixture confidence sequence of one mean of values in [0, 1]: `statistics.md` §1,
//! exact routes. In: number and sum of values, both real, so that they can be divided by a
//! design effect. Out: a log e-value against any mean, and the interval that inverts it.

use super::Interval;
use super::special::ln_beta_mixture;

/// Jeffreys' prior, (½, ½).
pub const PRIOR: (f64, f64) = (0.5, 0.5);
/// Relative width at which a root is found.
const TOLERANCE: f64 = 1e-14;
/// Halvings of an interval; enough for a root as small as 1e-30.
const STEPS_MAX: u32 = 160;

/// Log e-value of `n` values in [0, 1] with sum `s` against "their conditional mean is `mu`":
/// lnB(a+s, b+n−s) − lnB(a, b) − s·ln μ − (n−s)·ln(1−μ) for prior (a, b). For 0/1 values this
/// is Robbins' mixture (Howard, Ramdas, McAuliffe & Sekhon 2021, beta-binomial); for values
/// between, x ↦ (q/μ)^x·((1−q)/(1−μ))^(1−x) is convex, so it lies below its chord, whose mean
/// is 1. It needs neither order nor independence, and counts of shards add.
///
/// With (n/deff, s/deff) it allows for clustered values, approximately. `mu` is clamped to
/// [0, 1] and `s` to [0, n]; infinite when the data contradict `mu` = 0 or 1; 0 when n ≤ 0, the
/// prior is not positive, or an argument is not finite.
pub fn log_e(n: f64, s: f64, prior: (f64, f64), mu: f64) -> f64 {
    ln_beta_mixture(n, s, prior.0, prior.1, mu.clamp(0.0, 1.0))
}

/// All means in [0, 1] against which the evidence is below ln(1/α): a confidence sequence at
/// `alpha`, for all n at once (arguments as for [`log_e`]). Roots are found to 1e-12 and taken
/// from outside. [0, 1] when n ≤ 0, an argument is unusable, or `alpha` is not in (0, 1).
pub fn interval(n: f64, s: f64, prior: (f64, f64), alpha: f64) -> Interval {
    let usable = n > 0.0 && n.is_finite() && s.is_finite() && 0.0 < alpha && alpha < 1.0;
    if !usable {
        return Interval { lower: 0.0, upper: 1.0 };
    }
    let s = s.clamp(0.0, n);
    // The upper bound is the lower bound of 1 − x, which keeps its precision near 1.
    Interval {
        lower: lower(n, s, prior, alpha),
        upper: 1.0 - lower(n, n - s, (prior.1, prior.0), alpha),
    }
}

/// The smallest mean that is not rejected. The log e-value is convex in μ and at most 0 at the
/// mean of the data, where it is least, so there is one root between 0 and that.
fn lower(n: f64, s: f64, prior: (f64, f64), alpha: f64) -> f64 {
    let (mut outside, mut inside) = (0.0, s / n);
    for _ in 0..STEPS_MAX {
        if inside - outside <= TOLERANCE * inside {
            break;
        }
        let middle = 0.5 * (outside + inside);
        if log_e(n, s, prior, middle) < -alpha.ln() {
            inside = middle;
        } else {
            outside = middle;
        }
    }
    outside
}
