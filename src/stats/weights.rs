//! Non-uniform scoring: `statistics.md` §9. In: weights w = 1/q of scored calls. The weighted
//! (Hájek) mean itself is `ratio` of (w·score, w); here is what says how far to trust it.

/// Effective sample size (Σw)²/Σw² (Kish, Survey Sampling, 1965), in calls: between 1 and their
/// number. 0 when a sum is not positive and finite.
pub fn effective(sum_w: f64, sum_ww: f64) -> f64 {
    if !(sum_w > 0.0 && sum_ww > 0.0 && sum_w.is_finite() && sum_ww.is_finite()) {
        return 0.0;
    }
    // By the quotient, because the square may overflow.
    sum_w / sum_ww * sum_w
}

/// Largest share of one weight, max w/Σw; §9 asks for less than 5 %. 1, the worst, when an
/// argument is not positive and finite.
pub fn largest_share(w_max: f64, sum_w: f64) -> f64 {
    if !(w_max > 0.0 && sum_w > 0.0 && sum_w.is_finite()) {
        return 1.0;
    }
    (w_max / sum_w).min(1.0)
}

/// The Horvitz–Thompson term x·w/w_max of a score in [0, 1] as a value in [0, 1], for exact
/// sequences of bounded values; its mean is that of x times 1/w_max, where a call that was not
/// scored counts as 0. Clamped to [0, 1]; 0 when an argument is unusable.
pub fn horvitz(x: f64, w: f64, w_max: f64) -> f64 {
    let term = x * (w / w_max);
    if !(w >= 0.0 && w_max > 0.0) || term.is_nan() {
        return 0.0;
    }
    term.clamp(0.0, 1.0)
}

/// A weight cut to a maximum.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Clipped {
    /// What is used, at most the maximum.
    pub weight: f64,
    /// What was cut off; its sum over Σw is the clipped mass, which is reported.
    pub lost: f64,
}

/// The weight 1/q of a call that was scored with probability `q`, cut to `w_max` (1/q_min).
/// `None` when `q` is not in (0, 1] or `w_max` is below 1: such a score cannot be weighted.
pub fn clip(q: f64, w_max: f64) -> Option<Clipped> {
    if !(q > 0.0 && q <= 1.0 && w_max >= 1.0) {
        return None;
    }
    // 1/q overflows for subnormal q.
    let weight = (1.0 / q).min(f64::MAX);
    let kept = weight.min(w_max);
    Some(Clipped { weight: kept, lost: weight - kept })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn edges_are_as_documented() {
        assert_eq!(effective(0.0, 0.0), 0.0);
        assert_eq!(effective(f64::NAN, 1.0), 0.0);
        assert!((effective(1e200, 1e300) / 1e100 - 1.0).abs() < 1e-12, "no overflow");
        assert_eq!((largest_share(0.0, 0.0), largest_share(f64::NAN, 1.0)), (1.0, 1.0));
        assert_eq!((horvitz(0.5, 2.0, 4.0), horvitz(3.0, 4.0, 4.0)), (0.25, 1.0));
        assert_eq!((horvitz(f64::NAN, 1.0, 1.0), horvitz(0.5, 1.0, 0.0)), (0.0, 0.0));
        assert_eq!(clip(0.25, 10.0), Some(Clipped { weight: 4.0, lost: 0.0 }));
        assert_eq!(clip(0.01, 10.0), Some(Clipped { weight: 10.0, lost: 90.0 }));
        assert_eq!(
            (clip(0.0, 9.0), clip(1.5, 9.0), clip(f64::NAN, 9.0), clip(0.5, 0.5)),
            (None, None, None, None)
        );
    }

    proptest! {
        #[test]
        fn effective_size_is_between_one_and_all(w in prop::collection::vec(1e-3f64..1e3, 1..100)) {
            let n = effective(w.iter().sum(), w.iter().map(|w| w * w).sum());
            prop_assert!(1.0 - 1e-9 <= n && n <= w.len() as f64 * (1.0 + 1e-12));
        }

        #[test]
        fn never_nan(a in any::<f64>(), b in any::<f64>(), c in any::<f64>()) {
            prop_assert!(effective(a, b) >= 0.0);
            prop_assert!((0.0..=1.0).contains(&largest_share(a, b)));
            prop_assert!((0.0..=1.0).contains(&horvitz(a, b, c)));
            prop_assert!(clip(a, b).is_none_or(|cut| cut.weight >= 1.0 && cut.lost >= 0.0));
        }
    }
}
