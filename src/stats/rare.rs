//! Rare events between two arms with a known assignment share: the conditional binomial
//! e-process, `statistics.md` §1. In: first events of units by arm, per allocation. Out: log
//! e-value against any ratio of the two event rates, and the interval of that ratio.

use super::Interval;
use super::special::ln_beta_mixture_odds;

/// Weight of the mixture, in events.
pub const KAPPA: f64 = 20.0;
/// Largest |ln ratio| that is looked at; e^700 is near the largest double.
const LN_RATIO_MAX: f64 = 700.0;
/// Halvings of an interval of ln ratio: 1,400 · 2^−56 is below 1e-13.
const STEPS: u32 = 56;

/// Events of the units that first appeared under one allocation.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Arrivals {
    /// Planned share of the treated arm among the two arms, inside (0, 1).
    pub share: f64,
    /// Units of the treated arm with an event.
    pub treated: u64,
    /// Units of the control arm with an event.
    pub control: u64,
}

/// Log e-value against "the event rate of the treated arm is `ratio` times that of control".
/// Given that an event happens, it is the treated arm's with p = πr/(πr + 1 − π), whatever the
/// rate is and however it moves, as long as it moves in both arms alike and the units of both
/// are exposed for as long. The mixture is Beta(κπ, κ(1−π)) for every ratio; `ratio` = 1 is the
/// sequential test of Lindon & Malek (2022, inhomogeneous Bernoulli; savvi). Exact, not
/// asymptotic. One row per allocation in which the units first appeared; e-values multiply.
///
/// A row whose share is not inside (0, 1) says nothing. 0 without events, and when `kappa` or
/// `ratio` is not positive and finite.
pub fn log_e(arrivals: &[Arrivals], kappa: f64, ratio: f64) -> f64 {
    if !(ratio > 0.0 && ratio.is_finite()) {
        return 0.0;
    }
    log_e_at(arrivals, kappa, ratio.ln())
}

fn log_e_at(arrivals: &[Arrivals], kappa: f64, ln_ratio: f64) -> f64 {
    arrivals.iter().filter(|row| informs(row)).map(|row| row_log_e(row, kappa, ln_ratio)).sum()
}

fn informs(row: &Arrivals) -> bool {
    0.0 < row.share && row.share < 1.0
}

fn row_log_e(row: &Arrivals, kappa: f64, ln_ratio: f64) -> f64 {
    let (treated, control) = (row.treated as f64, row.control as f64);
    let (a, b) = (kappa * row.share, kappa * (1.0 - row.share));
    ln_beta_mixture_odds(treated, control, a, b, shares_at(row, ln_ratio))
}

/// Probabilities that an event is the treated arm's and that it is control's.
fn shares_at(row: &Arrivals, ln_ratio: f64) -> (f64, f64) {
    let treated = row.share * (0.5 * ln_ratio).exp();
    let control = (1.0 - row.share) * (-0.5 * ln_ratio).exp();
    (treated / (treated + control), control / (treated + control))
}

/// The ratios of event rates, treated over control, against which the evidence is below
/// ln(1/α): a confidence sequence in [0, ∞]. Solved in ln ratio, in which the log e-value is
/// convex; roots to 1e-12 relative, taken from outside.
///
/// [0, ∞] without events, with unusable `kappa` or `alpha`, and when every ratio is rejected
/// (the allocations contradict each other, so there is no one ratio to bound).
pub fn ratio_interval(arrivals: &[Arrivals], kappa: f64, alpha: f64) -> Interval {
    let all = Interval { lower: 0.0, upper: f64::INFINITY };
    let limit = -alpha.ln();
    let best = most_likely(arrivals);
    let usable = 0.0 < alpha && alpha < 1.0 && kappa > 0.0 && kappa.is_finite();
    if !usable || log_e_at(arrivals, kappa, best) >= limit {
        return all;
    }
    let bound = |end: f64| bound(arrivals, kappa, limit, best, end);
    Interval {
        lower: bound(-LN_RATIO_MAX).map_or(0.0, f64::exp),
        upper: bound(LN_RATIO_MAX).map_or(f64::INFINITY, f64::exp),
    }
}

/// The ln ratio with the least evidence against it. The derivative of the log e-value,
/// Σ n·p(θ) − treated, grows with θ.
fn most_likely(arrivals: &[Arrivals]) -> f64 {
    let (mut low, mut high) = (-LN_RATIO_MAX, LN_RATIO_MAX);
    let excess = |row: &Arrivals, ln_ratio: f64| {
        let (treated, control) = shares_at(row, ln_ratio);
        row.control as f64 * treated - row.treated as f64 * control
    };
    for _ in 0..STEPS {
        let middle = 0.5 * (low + high);
        let slope: f64 =
            arrivals.iter().filter(|row| informs(row)).map(|row| excess(row, middle)).sum();
        if slope < 0.0 { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// Where the evidence crosses `limit` between `inside` and `outside`; `None` when it does not.
fn bound(
    arrivals: &[Arrivals],
    kappa: f64,
    limit: f64,
    mut inside: f64,
    mut outside: f64,
) -> Option<f64> {
    if log_e_at(arrivals, kappa, outside) < limit {
        return None;
    }
    for _ in 0..STEPS {
        let middle = 0.5 * (inside + outside);
        if log_e_at(arrivals, kappa, middle) < limit {
            inside = middle;
        } else {
            outside = middle;
        }
    }
    Some(outside)
}
