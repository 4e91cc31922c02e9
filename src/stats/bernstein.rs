//! The predictable plug-in empirical Bernstein confidence sequence of values in [0, 1]:
//! `statistics.md` §1, exact routes. For scores with little variance, where asymptotics are not
//! acceptable. In: one value at a time. State: sums that merge by addition.

use super::Interval;
use serde::{Deserialize, Serialize};

/// Largest bet λ.
const LAMBDA_MAX: f64 = 0.5;

/// Sums over the values so far. Bets are made before a value is seen, so order matters within
/// one stream, and the state depends on α.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Bernstein {
    alpha: f64,
    count: u64,
    /// Σx.
    sum: f64,
    /// Σ(x − regularised mean)², for the next bet.
    squares: f64,
    /// Σλ.
    bets: f64,
    /// Σλx.
    weighted: f64,
    /// Σ(x − mean before)²·ψ(λ), of the lower bound.
    spread: f64,
    /// The same of 1 − x, of the upper bound. They differ in the first value, before which the
    /// mean is taken as 0.
    spread_above: f64,
}

// === impl Bernstein ===

impl Bernstein {
    /// Nothing seen yet. `alpha` is the two-sided error probability, kept within (0, 1].
    pub fn new(alpha: f64) -> Self {
        let alpha = if alpha.is_nan() { f64::MIN_POSITIVE } else { alpha };
        Bernstein {
            alpha: alpha.clamp(f64::MIN_POSITIVE, 1.0),
            count: 0,
            sum: 0.0,
            squares: 0.0,
            bets: 0.0,
            weighted: 0.0,
            spread: 0.0,
            spread_above: 0.0,
        }
    }

    /// Takes one value; outside [0, 1] it is clamped (and the guarantee is then about clamped
    /// values), NaN is left out. λ_t = min(sqrt(2·ln(2/α)/(σ̂²_{t−1}·t·ln(1+t))), ½) and
    /// ψ(λ) = −ln(1−λ) − λ (Waudby-Smith & Ramdas, Estimating means of bounded random variables
    /// by betting, JRSS-B 2024, Theorem 2, in the form of confseq's code).
    pub fn push(&mut self, x: f64) {
        if x.is_nan() {
            return;
        }
        let x = x.clamp(0.0, 1.0);
        let lambda = self.bet();
        let psi = -(-lambda).ln_1p() - lambda;
        // Before the first value the mean of x, and that of 1 − x, is taken as 0.
        let (below, above) = match self.mean() {
            Some(mean) => (x - mean, x - mean),
            None => (x, 1.0 - x),
        };
        self.bets += lambda;
        self.weighted += lambda * x;
        self.spread += below * below * psi;
        self.spread_above += above * above * psi;
        self.count += 1;
        self.sum += x;
        let regularised = (0.5 + self.sum) / (self.count as f64 + 1.0);
        self.squares += (x - regularised) * (x - regularised);
    }

    /// λ for the next value.
    fn bet(&self) -> f64 {
        let t = self.count as f64 + 1.0;
        let variance = (0.25 + self.squares) / t;
        (2.0 * self.log_two_over_alpha() / (variance * t * t.ln_1p())).sqrt().min(LAMBDA_MAX)
    }

    fn log_two_over_alpha(&self) -> f64 {
        std::f64::consts::LN_2 - self.alpha.ln()
    }

    /// Adds a stream of other values (another shard). The log-capital is linear in the mean, and
    /// the product of two test supermartingales in the interleaved filtration is one, so the
    /// sums add. α stays that of `self`: bets of another α are valid, only less tight.
    pub fn merge(&mut self, other: &Bernstein) {
        self.count += other.count;
        self.sum += other.sum;
        self.squares += other.squares;
        self.bets += other.bets;
        self.weighted += other.weighted;
        self.spread += other.spread;
        self.spread_above += other.spread_above;
    }

    /// Σλx/Σλ ± (ln(2/α) + Σvψ)/Σλ, within [0, 1]: holds the conditional mean at all times at
    /// once, with probability 1 − α. [0, 1] before the first value.
    pub fn interval(&self) -> Interval {
        if self.count == 0 {
            return Interval { lower: 0.0, upper: 1.0 };
        }
        let centre = self.weighted / self.bets;
        let radius = |spread: f64| (self.log_two_over_alpha() + spread) / self.bets;
        Interval {
            lower: (centre - radius(self.spread)).clamp(0.0, 1.0),
            upper: (centre + radius(self.spread_above)).clamp(0.0, 1.0),
        }
    }

    /// How many values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their plain mean, `None` before the first.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fed(values: &[f64]) -> Bernstein {
        let mut state = Bernstein::new(0.05);
        values.iter().for_each(|x| state.push(*x));
        state
    }

    #[test]
    fn edges_are_as_documented() {
        let all = Interval { lower: 0.0, upper: 1.0 };
        let mut state = Bernstein::new(f64::NAN);
        assert_eq!((state.interval(), state.mean(), state.count()), (all, None, 0));
        state.push(f64::NAN);
        assert_eq!(state.count(), 0);
        state.push(7.0);
        state.push(-7.0);
        assert_eq!((state.count(), state.mean()), (2, Some(0.5)));
        let constant = fed(&[0.5; 5000]).interval();
        assert!(constant.contains(0.5) && constant.width() < 0.02, "{constant:?}");
    }

    #[test]
    fn a_state_survives_storage() {
        let state = fed(&[0.1, 0.7, 0.33333]);
        let text = serde_json::to_string(&state).expect("written");
        assert_eq!(serde_json::from_str::<Bernstein>(&text).expect("read"), state);
    }

    proptest! {
        #[test]
        fn merging_adds_the_sums(
            one in prop::collection::vec(0.0f64..=1.0, 0..60),
            other in prop::collection::vec(0.0f64..=1.0, 0..60),
        ) {
            let (a, b) = (fed(&one), fed(&other));
            let mut merged = a;
            merged.merge(&b);
            prop_assert_eq!(merged.count, a.count + b.count);
            for (sum, parts) in [
                (merged.bets, a.bets + b.bets),
                (merged.weighted, a.weighted + b.weighted),
                (merged.spread, a.spread + b.spread),
                (merged.spread_above, a.spread_above + b.spread_above),
                (merged.sum, a.sum + b.sum),
            ] {
                prop_assert_eq!(sum, parts);
            }
            let mut swapped = b;
            swapped.merge(&a);
            prop_assert_eq!(swapped, merged);
            let interval = merged.interval();
            prop_assert!(0.0 <= interval.lower && interval.lower <= interval.upper);
            prop_assert!(interval.upper <= 1.0);
        }

        #[test]
        fn mirrored(values in prop::collection::vec(0.0f64..=1.0, 1..80)) {
            let mirror: Vec<f64> = values.iter().map(|x| 1.0 - x).collect();
            let (one, other) = (fed(&values), fed(&mirror));
            prop_assert!((one.interval().lower - (1.0 - other.interval().upper)).abs() < 1e-12);
            prop_assert!((one.interval().upper - (1.0 - other.interval().lower)).abs() < 1e-12);
        }
    }
}
