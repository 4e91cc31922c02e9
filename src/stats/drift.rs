//! Change detectors for the mean of one stream: `statistics.md` §8.2. In: values in [0, 1], one
//! per minute or session (never per call). State: at most 16 log values of each e-detector.

use super::special::{log_add_exp, log_mean_exp};
use serde::{Deserialize, Serialize};

/// Smallest bet; the next ones double.
const LAMBDA_MIN: f64 = 0.02;
/// Largest bet.
const LAMBDA_MAX: f64 = 12.8;
/// Largest λ·m0: a factor 1 + λ·(x − m0) stays above 0.05.
const STAKE_MAX: f64 = 0.95;

/// An e-SR and an e-CUSUM detector, side by side, of "the conditional mean is at most m0" (Shin,
/// Ramdas & Rinaldo, E-detectors, NEJSDS 2024). For "at least", feed 1 − x.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Detector {
    null: f64,
    bets: Vec<Bet>,
}

/// One λ of the mixture.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Bet {
    lambda: f64,
    /// ln(1 + R): finite from the start, where R is 0.
    log_one_plus_sr: f64,
    log_cusum: f64,
    /// When the e-CUSUM last started from 1.
    restarted: u32,
}

// === impl Detector ===

impl Detector {
    /// Nothing seen yet. `null` is m0, the upper bound of the mean under "no change", clamped to
    /// [0, 1]; NaN counts as 1, which nothing can exceed. Bets are 0.02, 0.04, …, 10.24, 12.8,
    /// as far as λ·m0 ≤ 0.95, and the one that meets it.
    pub fn new(null: f64) -> Self {
        let null = if null.is_nan() { 1.0 } else { null.clamp(0.0, 1.0) };
        let cap = if null > 0.0 { (STAKE_MAX / null).min(LAMBDA_MAX) } else { LAMBDA_MAX };
        let mut bets = Vec::new();
        let mut lambda = LAMBDA_MIN;
        while lambda < cap {
            bets.push(Bet::new(lambda));
            lambda *= 2.0;
        }
        bets.push(Bet::new(cap));
        Detector { null, bets }
    }

    /// Takes one value at time `at` (any unit that grows, such as minutes). R ← (R + 1)·f and
    /// M ← max(M, 1)·f with f = 1 + λ·(x − m0), in logs. A value outside [0, 1] is clamped, NaN
    /// is left out.
    pub fn push(&mut self, x: f64, at: u32) {
        if x.is_nan() {
            return;
        }
        let above = x.clamp(0.0, 1.0) - self.null;
        self.bets.iter_mut().for_each(|bet| bet.push(above, at));
    }

    /// ln of mean_j R^j, the e-SR statistic; −∞ before the first value. An alarm at `log_sr` ≥
    /// ln A has an average run length of at least A values, and within T values a probability of
    /// a false alarm of at most T/A.
    pub fn log_sr(&self) -> f64 {
        let logs: Vec<f64> = self.bets.iter().map(Bet::log_sr).collect();
        log_mean_exp(&logs)
    }

    /// ln of mean_j M^j, the e-CUSUM statistic, at most `log_sr` after the first value, so the
    /// same alarm level is valid; 0 before it.
    pub fn log_cusum(&self) -> f64 {
        let logs: Vec<f64> = self.bets.iter().map(|bet| bet.log_cusum).collect();
        log_mean_exp(&logs)
    }

    /// When the change probably began: of the e-CUSUMs with at least half the evidence of the
    /// leading one, the earliest time at which one last started from 1. A change that grows is
    /// seen early by small bets, and the leading bet is larger. 0 before the first value;
    /// meaningful once there is an alarm.
    pub fn onset(&self) -> u32 {
        let leading = self.bets.iter().map(|bet| bet.log_cusum).fold(0.0, f64::max);
        let strong = self.bets.iter().filter(|bet| bet.log_cusum >= leading / 2.0);
        strong.map(|bet| bet.restarted).min().unwrap_or(0)
    }

    /// m0.
    pub fn null(&self) -> f64 {
        self.null
    }
}

// === impl Bet ===

impl Bet {
    fn new(lambda: f64) -> Self {
        Bet { lambda, log_one_plus_sr: 0.0, log_cusum: 0.0, restarted: 0 }
    }

    fn push(&mut self, above: f64, at: u32) {
        let gain = (self.lambda * above).ln_1p();
        self.log_one_plus_sr = log_add_exp(0.0, self.log_one_plus_sr + gain);
        if self.log_cusum <= 0.0 {
            self.restarted = at;
        }
        self.log_cusum = self.log_cusum.max(0.0) + gain;
    }

    fn log_sr(&self) -> f64 {
        self.log_one_plus_sr + (-(-self.log_one_plus_sr).exp()).ln_1p()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bets_double_and_stay_solvent() {
        for null in [0.0, 0.01, 0.07, 0.5, 0.95, 1.0] {
            let bets = Detector::new(null).bets;
            assert!(bets.len() <= 16 && bets[0].lambda == LAMBDA_MIN, "{null}");
            assert!(bets.iter().all(|bet| bet.lambda * null <= STAKE_MAX * (1.0 + 1e-15)));
            assert!(bets.windows(2).all(|pair| pair[0].lambda < pair[1].lambda));
        }
        assert_eq!(Detector::new(0.0).bets.last().map(|bet| bet.lambda), Some(LAMBDA_MAX));
        assert_eq!((Detector::new(f64::NAN).null(), Detector::new(-3.0).null()), (1.0, 0.0));
    }

    #[test]
    fn finds_a_change_and_when_it_began() {
        let mut detector = Detector::new(0.1);
        assert_eq!(
            (detector.log_sr(), detector.log_cusum(), detector.onset()),
            (f64::NEG_INFINITY, 0.0, 0)
        );
        (0..300).for_each(|at| detector.push(0.05, at));
        assert!(detector.log_sr() < 5.0 && detector.log_cusum() < 1.0);
        (300..400).for_each(|at| detector.push(0.3, at));
        assert!(detector.log_sr() > 1e6f64.ln(), "{}", detector.log_sr());
        assert_eq!(detector.onset(), 300);
    }

    #[test]
    fn long_streams_do_not_overflow() {
        let (mut up, mut down) = (Detector::new(0.0), Detector::new(1.0));
        for at in 0..20_000 {
            up.push(1.0, at);
            down.push(0.0, at);
        }
        assert!(up.log_sr() > 50_000.0 && up.log_sr().is_finite());
        // R settles at f/(1 − f), 49 for the smallest bet.
        assert!(down.log_sr().is_finite() && down.log_sr() < 5.0 && down.log_cusum() < 0.0);
    }

    #[test]
    fn a_state_survives_storage() {
        let mut detector = Detector::new(0.3);
        let stored = |detector: &Detector| -> Detector {
            let text = serde_json::to_string(detector).expect("written");
            serde_json::from_str(&text).expect("read")
        };
        assert_eq!(stored(&detector), detector);
        detector.push(0.7, 5);
        assert_eq!(stored(&detector), detector);
    }

    proptest! {
        #[test]
        fn logs_equal_the_plain_recursion(
            null in 0.0f64..=1.0,
            values in prop::collection::vec(0.0f64..=1.0, 1..60),
        ) {
            let mut detector = Detector::new(null);
            let lambdas: Vec<f64> = detector.bets.iter().map(|bet| bet.lambda).collect();
            let (mut sr, mut cusum) = (vec![0.0; lambdas.len()], vec![1.0f64; lambdas.len()]);
            for (at, x) in values.iter().enumerate() {
                detector.push(*x, at as u32);
                for (j, lambda) in lambdas.iter().enumerate() {
                    let factor = 1.0 + lambda * (x - null);
                    sr[j] = (sr[j] + 1.0) * factor;
                    cusum[j] = cusum[j].max(1.0) * factor;
                }
                let mean = |of: &[f64]| (of.iter().sum::<f64>() / of.len() as f64).ln();
                prop_assert!((detector.log_sr() - mean(&sr)).abs() < 1e-9);
                prop_assert!((detector.log_cusum() - mean(&cusum)).abs() < 1e-9);
                prop_assert!(detector.log_cusum() <= detector.log_sr() + 1e-12);
            }
        }

        #[test]
        fn never_nan(null in any::<f64>(), values in prop::collection::vec(any::<f64>(), 0..20)) {
            let mut detector = Detector::new(null);
            values.iter().for_each(|x| detector.push(*x, 1));
            prop_assert!(!detector.log_sr().is_nan() && !detector.log_cusum().is_nan());
        }
    }
}
