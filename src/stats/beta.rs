//! The beta-mixture confidence sequence of one mean of values in [0, 1]: `statistics.md` §1,
//! exact routes. In: number and sum of values, both real, so that they can be divided by a
//! design effect. Out: a log e-value against any mean, and the interval that inverts it.

use super::Interval;
use super::special::{convex_root, ln_beta, ln_beta_mixture};

/// Jeffreys' prior, (½, ½).
pub const PRIOR: (f64, f64) = (0.5, 0.5);
/// By how much a root is moved outside, relative: more than its rounding.
const OUTSIDE: f64 = 1e-13;

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
    Interval::new(lower(n, s, prior, alpha), 1.0 - lower(n, n - s, (prior.1, prior.0), alpha))
}

/// The smallest mean that is not rejected. The log e-value is convex in ln μ, at most 0 at the
/// mean of the data, where it is least, and above −s·ln μ plus a constant, whose root is where
/// the search begins.
fn lower(n: f64, s: f64, prior: (f64, f64), alpha: f64) -> f64 {
    let (a, b) = prior;
    if s <= 0.0 || !(a > 0.0 && b > 0.0) {
        return 0.0;
    }
    let constant = ln_beta(a + s, b + n - s) - ln_beta(a, b) + alpha.ln();
    let start = (constant / s).min((s / n).ln());
    let root = convex_root(start, |t| {
        let mean = t.exp().min(1.0);
        (log_e(n, s, prior, mean) + alpha.ln(), -s + (n - s) * mean / (1.0 - mean))
    });
    (root.exp() * (1.0 - OUTSIDE)).clamp(0.0, s / n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn edges_are_as_documented() {
        let all = Interval { lower: 0.0, upper: 1.0 };
        assert_eq!(interval(0.0, 0.0, PRIOR, 0.05), all);
        assert_eq!(interval(f64::NAN, 0.0, PRIOR, 0.05), all);
        assert_eq!(interval(9.0, 1.0, PRIOR, 0.0), all);
        assert_eq!(interval(9.0, 1.0, (-1.0, 0.5), 0.05), all);
        assert_eq!(log_e(10.0, 0.0, PRIOR, f64::NAN), 0.0);
        assert_eq!(log_e(10.0, 3.0, PRIOR, 0.0), f64::INFINITY);
        assert_eq!(interval(5.0, 0.0, PRIOR, 0.05).lower, 0.0);
        assert_eq!(interval(5.0, 9.0, PRIOR, 0.05).upper, 1.0, "s is clamped to n");
        let vast = interval(1e300, 3e299, PRIOR, 0.05);
        assert!(vast.lower <= vast.upper && (vast.lower - 0.3).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn interval_and_evidence_agree(
            n in 0.5f64..1e6,
            share in 0.0f64..=1.0,
            mu in 0.0001f64..0.9999,
            alpha in 1e-9f64..0.5,
        ) {
            let s = n * share;
            let seen = interval(n, s, PRIOR, alpha);
            let margin = log_e(n, s, PRIOR, mu) + alpha.ln();
            let agree = seen.contains(mu) == (margin < 0.0);
            prop_assert!(margin.abs() < 1e-6 || agree, "{seen:?} {margin}");
            prop_assert!(0.0 <= seen.lower && seen.lower <= share + 1e-12);
            prop_assert!(share - 1e-12 <= seen.upper && seen.upper <= 1.0);
        }

        #[test]
        fn mirrored_and_wider_for_less_error(
            n in 1.0f64..1e6,
            share in 0.0f64..=1.0,
            alpha in 1e-9f64..0.4,
        ) {
            let seen = interval(n, n * share, PRIOR, alpha);
            let mirror = interval(n, n - n * share, PRIOR, alpha);
            prop_assert!((seen.lower - (1.0 - mirror.upper)).abs() < 1e-12);
            let wider = interval(n, n * share, PRIOR, alpha / 10.0);
            prop_assert!(wider.lower <= seen.lower && seen.upper <= wider.upper);
            prop_assert!(wider.width() > seen.width());
        }

        #[test]
        fn never_nan(n in any::<f64>(), s in any::<f64>(), a in any::<f64>(), mu in any::<f64>()) {
            prop_assert!(!log_e(n, s, (a, 0.5), mu).is_nan());
            let seen = interval(n, s, (a, 0.5), 0.05);
            prop_assert!(0.0 <= seen.lower && seen.lower <= seen.upper && seen.upper <= 1.0);
        }
    }
}
