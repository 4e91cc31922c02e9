//! Confidence sequences of quantiles by rank: `statistics.md` §3. In: how many values there
//! are. Out: the ranks between whose values the quantile lies, at all times at once; the caller
//! finds the values, by bucket edges outward when it holds a histogram.

use super::Interval;
use super::special::ln_beta_mixture;

/// Weight of the mixture, in values.
pub const KAPPA: f64 = 200.0;

/// 1-based order statistics that bound a quantile; `None` is no bound.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Ranks {
    /// The quantile is at least the value of this rank.
    pub lower: Option<u64>,
    /// The quantile is at most the value of this rank.
    pub upper: Option<u64>,
}

/// Ranks that bound the `q`-quantile of `n` values at error probability `alpha`, for all n at
/// once. Of the values c are below the quantile, and c is not rejected by the beta-binomial
/// mixture lnB(a+s, b+n−s) − lnB(a, b) − s·ln q − (n−s)·ln(1−q) < ln(1/α), a = κq, b = κ(1−q)
/// (Howard & Ramdas, Sequential estimation of quantiles, Bernoulli 2022, Theorem 1b). With
/// c_min and c_max the least and greatest c that are not, the ranks are c_min and c_max + 1;
/// there is no bound where these are 0 or n + 1.
///
/// `deff` ≥ 1 is the design effect of 1{x ≤ quantile}: the mixture is taken at n/deff values of
/// which c/deff are below, which is approximate; ranks are always ranks among the n values.
/// Values need no distribution; ties are allowed. No bounds when n = 0, or `q` or `alpha` is
/// not inside (0, 1), or `kappa` or `deff` is not usable.
pub fn ranks(n: u64, deff: f64, q: f64, kappa: f64, alpha: f64) -> Ranks {
    let usable = n > 0 && 0.0 < q && q < 1.0 && 0.0 < alpha && alpha < 1.0;
    if !(usable && kappa > 0.0 && kappa.is_finite() && deff >= 1.0 && deff.is_finite()) {
        return Ranks { lower: None, upper: None };
    }
    let n = n.min(u64::MAX - 1);
    let (a, b, total) = (kappa * q, kappa * (1.0 - q), n as f64 / deff);
    let kept = |count: u64| ln_beta_mixture(total, count as f64 / deff, a, b, q) < -alpha.ln();
    // At c = qn the e-value is at most 1, and it is convex in c: each side has one crossing.
    let centre = (q * n as f64).round().min(n as f64) as u64;
    let least = first(0, centre, kept);
    let past = first(centre, n + 1, |count| count > n || (count > centre && !kept(count)));
    Ranks { lower: (least > 0).then_some(least), upper: (past <= n).then_some(past) }
}

/// The first count in `low..=high` for which `holds`, which stays true from there on and is
/// taken to be true at `high`.
fn first(mut low: u64, mut high: u64, holds: impl Fn(u64) -> bool) -> u64 {
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) { high = middle } else { low = middle + 1 }
    }
    low
}

/// κ that makes the mixture near the tightest at `t_opt` values:
/// t_opt/(2·ln(1/α) + ln(1 + 2·ln(1/α))) − 1, at least 0.001; it does not depend on q. This is
/// how confseq tunes `beta_binomial_mixture_bound` (with v_opt = q(1−q)·t_opt, g = q, h = 1−q,
/// two-sided). [`KAPPA`] when an argument is unusable.
pub fn tuned_kappa(t_opt: f64, alpha: f64) -> f64 {
    let spent = -2.0 * alpha.ln();
    let kappa = t_opt / (spent + spent.ln_1p()) - 1.0;
    let usable = 0.0 < alpha && alpha < 1.0 && t_opt > 0.0 && kappa.is_finite();
    if usable { kappa.max(0.001) } else { KAPPA }
}

/// Quantile of the treated arm minus that of control: [L1 − U0, U1 − L0]. Holds at the sum of
/// the error probabilities of the two, so give each α/2.
pub fn difference(arm: Interval, control: Interval) -> Interval {
    relative_excess(arm, control, 0.0)
}

/// Quantile of the treated arm minus (1 + m) times that of control:
/// [L1 − (1+m)·U0, U1 − (1+m)·L0]; above 0, the arm exceeds control by more than `margin`. No
/// bound where a bound of one of them is missing, or the margin is not finite.
pub fn relative_excess(arm: Interval, control: Interval, margin: f64) -> Interval {
    arm.plus(control.scaled(-(1.0 + margin)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn edges_are_as_documented() {
        let none = Ranks { lower: None, upper: None };
        assert_eq!(ranks(0, 1.0, 0.95, KAPPA, 0.05), none);
        assert_eq!(ranks(1, 1.0, 0.95, KAPPA, 0.05), none);
        for bad in [0.0, 1.0, -1.0, f64::NAN] {
            assert_eq!(ranks(1000, 1.0, bad, KAPPA, 0.05), none);
            assert_eq!(ranks(1000, 1.0, 0.5, KAPPA, bad), none);
        }
        assert_eq!(ranks(1000, 0.5, 0.5, KAPPA, 0.05), none);
        assert_eq!(ranks(1000, 1.0, 0.5, f64::NAN, 0.05), none);
        assert_eq!(ranks(1000, f64::INFINITY, 0.5, KAPPA, 0.05), none);
        let vast = ranks(u64::MAX, 1.0, 0.5, KAPPA, 0.05);
        assert!(vast.lower.is_some() && vast.lower < vast.upper);
        assert_eq!(tuned_kappa(f64::NAN, 0.05), KAPPA);
    }

    #[test]
    fn all_below_is_no_upper_bound() {
        // 200 of 200 values are below their 99th percentile with probability 13 %.
        assert_eq!(ranks(200, 1.0, 0.99, KAPPA, 0.05).upper, None);
        assert_eq!(ranks(200, 1.0, 0.01, KAPPA, 0.05).lower, None);
    }

    #[test]
    fn the_first_bound_is_the_largest_value() {
        let upper = |n: u64| ranks(n, 1.0, 0.9, KAPPA, 0.05).upper;
        let n = (1..1000).find(|n| upper(*n).is_some()).expect("a bound");
        assert_eq!(upper(n), Some(n));
        let lower = |n: u64| ranks(n, 1.0, 0.1, KAPPA, 0.05).lower;
        assert_eq!(lower(n), Some(1), "mirrored");
    }

    #[test]
    fn differences_keep_missing_bounds() {
        let arm = Interval { lower: 2.0, upper: f64::INFINITY };
        let control = Interval { lower: 1.0, upper: 4.0 };
        assert_eq!(difference(arm, control), Interval { lower: -2.0, upper: f64::INFINITY });
        assert_eq!(relative_excess(control, control, 0.5), Interval { lower: -5.0, upper: 2.5 });
        assert_eq!(relative_excess(arm, control, -1.0), arm, "control does not matter");
        assert_eq!(difference(Interval::ALL, Interval::ALL), Interval::ALL);
        assert_eq!(relative_excess(control, control, f64::NAN), Interval::ALL);
    }

    proptest! {
        #[test]
        fn ranks_are_the_edges_of_what_is_kept(
            n in 1u64..3000,
            deff in 1.0f64..5.0,
            q in 0.02f64..0.98,
            alpha in 1e-4f64..0.3,
        ) {
            let (a, b, total) = (KAPPA * q, KAPPA * (1.0 - q), n as f64 / deff);
            let kept: Vec<u64> = (0..=n)
                .filter(|c| ln_beta_mixture(total, *c as f64 / deff, a, b, q) < -alpha.ln())
                .collect();
            let lower = kept.first().copied().filter(|c| *c > 0);
            let upper = kept.last().map(|c| c + 1).filter(|rank| *rank <= n);
            prop_assert_eq!(ranks(n, deff, q, KAPPA, alpha), Ranks { lower, upper });
        }

        #[test]
        fn wider_for_less_error_and_more_clustering(
            n in 500u64..100_000_000,
            q in 0.05f64..0.95,
            alpha in 1e-4f64..0.3,
        ) {
            let seen = ranks(n, 1.0, q, KAPPA, alpha);
            let middle = q * n as f64;
            prop_assert!(seen.lower.is_none_or(|rank| rank as f64 <= middle + 1.0));
            prop_assert!(seen.upper.is_none_or(|rank| rank as f64 >= middle));
            for wider in [ranks(n, 1.0, q, KAPPA, alpha / 10.0), ranks(n, 4.0, q, KAPPA, alpha)] {
                prop_assert!(wider.lower.unwrap_or(0) <= seen.lower.unwrap_or(0));
                prop_assert!(wider.upper.unwrap_or(u64::MAX) >= seen.upper.unwrap_or(u64::MAX));
            }
        }
    }
}
