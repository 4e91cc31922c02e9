//! Rare events between two arms with a known assignment share: the conditional binomial
//! e-process, `statistics.md` §1. In: first events of units by arm, per allocation. Out: log
//! e-value against any ratio of the two event rates, and the interval of that ratio.

use super::Interval;
use super::special::{convex_root, ln_beta_mixture_odds};

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
    // Counts beyond 2^53 leave the evidence with noise; the most likely ratio stays inside.
    Interval {
        lower: bound(-LN_RATIO_MAX).map_or(0.0, |root| root.min(best).exp()),
        upper: bound(LN_RATIO_MAX).map_or(f64::INFINITY, |root| root.max(best).exp()),
    }
}

/// The ln ratio with the least evidence against it. The derivative of the log e-value,
/// Σ n·p(θ) − treated, grows with θ.
fn most_likely(arrivals: &[Arrivals]) -> f64 {
    let rows: Vec<&Arrivals> = arrivals.iter().filter(|row| informs(row)).collect();
    if let [row] = rows.as_slice() {
        let odds = row.treated as f64 / row.control as f64 * (1.0 - row.share) / row.share;
        let best = odds.ln();
        return if best.is_nan() { 0.0 } else { best.clamp(-LN_RATIO_MAX, LN_RATIO_MAX) };
    }
    let (mut low, mut high) = (-LN_RATIO_MAX, LN_RATIO_MAX);
    let excess = |row: &Arrivals, ln_ratio: f64| {
        let (treated, control) = shares_at(row, ln_ratio);
        row.control as f64 * treated - row.treated as f64 * control
    };
    for _ in 0..STEPS {
        let middle = 0.5 * (low + high);
        let slope: f64 = rows.iter().map(|row| excess(row, middle)).sum();
        if slope < 0.0 { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// Where the evidence crosses `limit` between `inside` and the end of all ratios on one side;
/// `None` when it does not. Newton's method from the first place beyond it.
fn bound(arrivals: &[Arrivals], kappa: f64, limit: f64, inside: f64, end: f64) -> Option<f64> {
    let toward = end.signum();
    let mut step = 0.5;
    let mut outside = inside + toward * step;
    while log_e_at(arrivals, kappa, outside) < limit {
        if outside * toward >= LN_RATIO_MAX {
            return None;
        }
        step *= 2.0;
        outside = (inside + toward * step).clamp(-LN_RATIO_MAX, LN_RATIO_MAX);
    }
    let slope = |ln_ratio: f64| -> f64 {
        let rows = arrivals.iter().filter(|row| informs(row));
        rows.map(|row| {
            let (treated, control) = shares_at(row, ln_ratio);
            row.control as f64 * treated - row.treated as f64 * control
        })
        .sum()
    };
    let root = convex_root(outside, |t| (log_e_at(arrivals, kappa, t) - limit, slope(t)));
    Some(root + toward * 1e-13 * root.abs().max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::special::ln_beta_mixture;
    use proptest::prelude::*;

    fn arrivals() -> impl Strategy<Value = Vec<Arrivals>> {
        let row = (0.01f64..0.99, 0u64..300, 0u64..300);
        let row = row.prop_map(|(share, treated, control)| Arrivals { share, treated, control });
        prop::collection::vec(row, 1..4)
    }

    #[test]
    fn edges_are_as_documented() {
        let all = Interval { lower: 0.0, upper: f64::INFINITY };
        let row = |share, treated, control| Arrivals { share, treated, control };
        assert_eq!(log_e(&[], KAPPA, 1.0), 0.0);
        assert_eq!(ratio_interval(&[], KAPPA, 0.05), all);
        assert_eq!(ratio_interval(&[row(0.5, 0, 0)], KAPPA, 0.05), all);
        for share in [0.0, 1.0, -1.0, f64::NAN] {
            assert_eq!(log_e(&[row(share, 50, 1)], KAPPA, 1.0), 0.0);
        }
        for ratio in [0.0, -1.0, f64::INFINITY, f64::NAN] {
            assert_eq!(log_e(&[row(0.5, 50, 1)], KAPPA, ratio), 0.0);
        }
        assert_eq!(ratio_interval(&[row(0.5, 50, 1)], f64::NAN, 0.05), all);
        assert_eq!(ratio_interval(&[row(0.5, 50, 1)], KAPPA, 0.0), all);
        // A hundredfold in one allocation and a hundredth in the next: no ratio fits both.
        let torn = [row(0.5, 1000, 10), row(0.5, 10, 1000)];
        assert_eq!(ratio_interval(&torn, KAPPA, 0.05), all);
    }

    #[test]
    fn without_events_of_an_arm_one_bound_is_left() {
        let none = ratio_interval(&[Arrivals { share: 0.5, treated: 0, control: 60 }], KAPPA, 0.05);
        assert!(none.lower == 0.0 && none.upper < 0.5, "{none:?}");
        let only = ratio_interval(&[Arrivals { share: 0.5, treated: 60, control: 0 }], KAPPA, 0.05);
        assert!(only.lower > 2.0 && only.upper == f64::INFINITY, "{only:?}");
    }

    proptest! {
        #[test]
        fn at_ratio_one_it_is_the_formula_of_section_one(rows in arrivals()) {
            let wanted: f64 = rows.iter().map(|row| {
                let n = (row.treated + row.control) as f64;
                let (a, b) = (KAPPA * row.share, KAPPA * (1.0 - row.share));
                ln_beta_mixture(n, row.treated as f64, a, b, row.share)
            }).sum();
            prop_assert!((log_e(&rows, KAPPA, 1.0) - wanted).abs() < 1e-9 * wanted.abs().max(1.0));
        }

        #[test]
        fn interval_and_evidence_agree(
            rows in arrivals(),
            ln_ratio in -4.0f64..4.0,
            alpha in 1e-6f64..0.2,
        ) {
            let seen = ratio_interval(&rows, KAPPA, alpha);
            if seen == (Interval { lower: 0.0, upper: f64::INFINITY }) {
                // The allocations contradict each other.
                return Ok(());
            }
            let margin = log_e(&rows, KAPPA, ln_ratio.exp()) + alpha.ln();
            prop_assert!(margin.abs() < 1e-6 || seen.contains(ln_ratio.exp()) == (margin < 0.0));
            let wider = ratio_interval(&rows, KAPPA, alpha / 10.0);
            prop_assert!(seen.lower <= seen.upper);
            prop_assert!(wider.lower <= seen.lower && seen.upper <= wider.upper);
        }

        #[test]
        fn swapping_the_arms_inverts_the_ratio(rows in arrivals()) {
            let swap = |row: &Arrivals| {
                let share = 1.0 - row.share;
                Arrivals { share, treated: row.control, control: row.treated }
            };
            let swapped: Vec<Arrivals> = rows.iter().map(swap).collect();
            let one = ratio_interval(&rows, KAPPA, 0.05);
            let other = ratio_interval(&swapped, KAPPA, 0.05);
            let near = |a: f64, b: f64| a == b || (a / b - 1.0).abs() < 1e-9;
            prop_assert!(near(one.lower, 1.0 / other.upper) && near(one.upper, 1.0 / other.lower));
        }

        #[test]
        fn never_nan(
            share in any::<f64>(),
            treated in any::<u64>(),
            control in any::<u64>(),
            kappa in any::<f64>(),
            ratio in any::<f64>(),
        ) {
            let row = Arrivals { share, treated, control };
            let rows = [row, Arrivals { share: 0.3, ..row }];
            prop_assert!(!log_e(&rows, kappa, ratio).is_nan());
            let seen = ratio_interval(&rows, kappa, 0.05);
            prop_assert!(0.0 <= seen.lower && seen.lower <= seen.upper);
        }
    }
}
