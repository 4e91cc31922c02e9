//! Many arms, metrics and epochs under one error probability: `statistics.md` §6.

/// e-BH (Wang & Ramdas, False discovery rate control with e-values, JRSS-B 2022): rejects the
/// k* hypotheses with the largest e-values, k* = max{k: e_(k) ≥ K/(αk)}. It controls the false
/// discovery rate at `alpha` however the e-values depend on each other. They must be current
/// values: the running maximum of an e-process is no e-value.
///
/// `log_e` are natural logs, one per hypothesis; the answer is in the same order. A NaN is
/// never rejected. Nothing is when `alpha` is not positive.
pub fn e_bh(log_e: &[f64], alpha: f64) -> Vec<bool> {
    let mut sorted: Vec<f64> = log_e.iter().copied().filter(|value| !value.is_nan()).collect();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let total = log_e.len() as f64;
    let passes = |k: usize| alpha > 0.0 && sorted[k - 1] >= (total / (alpha * k as f64)).ln();
    let Some(last) = (1..=sorted.len()).rev().find(|k| passes(*k)) else {
        return vec![false; log_e.len()];
    };
    // Ties with the last one are no question: they would have passed as well.
    log_e.iter().map(|value| *value >= sorted[last - 1]).collect()
}

/// Share of α with which an epoch is tested: 0.8 for epoch 1 and 0.2/((k−1)·k) for epoch k ≥ 2,
/// which sum to 1 over all epochs. 0 for epoch 0, which there is not.
pub fn epoch_share(epoch: u32) -> f64 {
    match epoch {
        0 => 0.0,
        1 => 0.8,
        _ => 0.2 / ((f64::from(epoch) - 1.0) * f64::from(epoch)),
    }
}

/// Weighted Bonferroni: α_i = α·w_i/Σw, so that any of the claims is false with probability at
/// most α. A weight that is negative or not finite counts as 0; all are 0 when no weight is
/// positive or `alpha` is not in (0, 1).
pub fn bonferroni(alpha: f64, weights: &[f64]) -> Vec<f64> {
    let usable = |weight: &f64| if weight.is_finite() { weight.max(0.0) } else { 0.0 };
    // By the largest weight first, so that the sum cannot overflow.
    let largest = weights.iter().map(usable).fold(0.0, f64::max);
    if !(largest > 0.0 && 0.0 < alpha && alpha < 1.0) {
        return vec![0.0; weights.len()];
    }
    let total: f64 = weights.iter().map(|weight| usable(weight) / largest).sum();
    weights.iter().map(|weight| alpha * (usable(weight) / largest / total)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn edges_are_as_documented() {
        assert!(e_bh(&[], 0.05).is_empty());
        assert_eq!(e_bh(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY], 0.05), [false, true, false]);
        assert_eq!(e_bh(&[99.0], f64::NAN), [false]);
        assert_eq!(e_bh(&[99.0], 0.0), [false]);
        // One hypothesis: 1/α exactly is enough.
        assert_eq!(e_bh(&[16f64.ln()], 0.0625), [true]);
        assert_eq!((epoch_share(0), epoch_share(1), epoch_share(2)), (0.0, 0.8, 0.1));
        assert!(epoch_share(u32::MAX) > 0.0);
        assert_eq!(bonferroni(0.05, &[]), Vec::<f64>::new());
        assert_eq!(bonferroni(0.05, &[0.0, f64::NAN, -1.0]), [0.0; 3]);
        let levels = bonferroni(0.05, &[3.0, 1.0, f64::INFINITY]);
        assert!((levels[0] - 0.0375).abs() < 1e-15 && (levels[1] - 0.0125).abs() < 1e-15);
        assert_eq!(levels[2], 0.0);
        assert_eq!(bonferroni(1.5, &[1.0]), [0.0]);
    }

    proptest! {
        #[test]
        fn rejects_the_largest_and_more_at_a_larger_level(
            logs in prop::collection::vec(-3.0f64..9.0, 0..30),
        ) {
            let (strict, lax) = (e_bh(&logs, 0.05), e_bh(&logs, 0.2));
            let count = strict.iter().filter(|r| **r).count();
            for (at, one) in logs.iter().enumerate() {
                prop_assert!(!strict[at] || lax[at]);
                let kept = logs.iter().zip(&strict).filter(|(_, rejected)| !**rejected);
                prop_assert!(!strict[at] || kept.into_iter().all(|(other, _)| other < one));
                let threshold = (logs.len() as f64 / (0.05 * count as f64)).ln();
                prop_assert!(!strict[at] || *one >= threshold);
            }
        }

        #[test]
        fn levels_sum_to_alpha(
            weights in prop::collection::vec(0.0f64..1e300, 1..20),
            alpha in 1e-6f64..0.5,
        ) {
            let sum: f64 = bonferroni(alpha, &weights).iter().sum();
            prop_assume!(weights.iter().any(|w| *w > 0.0));
            prop_assert!((sum / alpha - 1.0).abs() < 1e-12);
        }
    }
}
