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
