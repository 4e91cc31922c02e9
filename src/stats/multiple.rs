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
