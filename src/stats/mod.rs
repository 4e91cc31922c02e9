//! Statistics: pure functions of sums and counts. No clock, no I/O, no randomness, no state but
//! what the caller holds. Formulas and their sources are those of `statistics.md`.
//!
//! All functions are total: they never panic and never return NaN. Where the data say nothing,
//! an interval is unbounded and a log e-value is 0, so "no evidence" can decide nothing.

pub mod bernstein;
pub mod beta;
pub mod contrast;
pub mod cuped;
pub mod design;
pub mod drift;
pub mod multiple;
pub mod plan;
pub mod quantile;
pub mod rare;
pub mod ratio;
pub mod sample_ratio;
pub mod sequence;
pub mod special;
pub mod weights;

/// A closed interval. Bounds may be infinite but never NaN, and `lower <= upper`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Interval {
    /// Lower bound, in the unit of what it bounds.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
}

// === impl Interval ===

impl Interval {
    /// Says nothing: from minus to plus infinity.
    pub const ALL: Interval = Interval { lower: f64::NEG_INFINITY, upper: f64::INFINITY };

    /// From two bounds in either order; a NaN bound says nothing, so the result is [`Self::ALL`].
    pub fn new(one: f64, other: f64) -> Interval {
        if one.is_nan() || other.is_nan() {
            return Interval::ALL;
        }
        Interval { lower: one.min(other), upper: one.max(other) }
    }

    /// Whether a value is inside, bounds included. NaN is nowhere.
    pub fn contains(self, value: f64) -> bool {
        self.lower <= value && value <= self.upper
    }

    /// Upper minus lower; infinite when a bound is.
    pub fn width(self) -> f64 {
        let width = self.upper - self.lower;
        // Both bounds at the same infinity.
        if width.is_nan() { f64::INFINITY } else { width }
    }

    /// The interval of `factor · x`. A negative factor swaps the bounds, 0 gives [0, 0] (what is
    /// bounded is a finite number even where its bounds are not), NaN gives [`Self::ALL`].
    pub fn scaled(self, factor: f64) -> Interval {
        if factor == 0.0 {
            return Interval { lower: 0.0, upper: 0.0 };
        }
        Interval::new(self.lower * factor, self.upper * factor)
    }

    /// The interval of `x + offset`.
    pub fn shifted(self, offset: f64) -> Interval {
        Interval::new(self.lower + offset, self.upper + offset)
    }

    /// The interval of `x + y` for x in this and y in the other: bounds add (Minkowski sum).
    /// Holds at the sum of both error probabilities. Bounds that meet as opposite infinities say
    /// nothing on their side.
    pub fn plus(self, other: Interval) -> Interval {
        let lower = self.lower + other.lower;
        let upper = self.upper + other.upper;
        Interval {
            lower: if lower.is_nan() { f64::NEG_INFINITY } else { lower },
            upper: if upper.is_nan() { f64::INFINITY } else { upper },
        }
    }

    /// What both intervals contain; `None` when that is nothing. An empty running intersection
    /// of one confidence sequence is evidence of drift (Shekhar & Ramdas, arXiv 2309.09111).
    pub fn intersect(self, other: Interval) -> Option<Interval> {
        let lower = self.lower.max(other.lower);
        let upper = self.upper.min(other.upper);
        (lower <= upper).then_some(Interval { lower, upper })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bound() -> impl Strategy<Value = f64> {
        prop_oneof![-1e6f64..1e6, Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(0.0)]
    }

    fn valid(interval: Interval) -> bool {
        interval.lower <= interval.upper
    }

    #[test]
    fn nothing_said_stays_nothing() {
        assert_eq!(Interval::ALL.shifted(5.0), Interval::ALL);
        assert_eq!(Interval::ALL.scaled(-2.0), Interval::ALL);
        assert_eq!(Interval::ALL.scaled(0.0), Interval { lower: 0.0, upper: 0.0 });
        assert_eq!(Interval::ALL.plus(Interval::ALL.scaled(-1.0)), Interval::ALL);
        assert_eq!(Interval::new(f64::NAN, 1.0), Interval::ALL);
        assert_eq!(Interval::new(f64::INFINITY, f64::INFINITY).width(), f64::INFINITY);
    }

    proptest! {
        #[test]
        fn every_operation_keeps_the_order(
            a in bound(),
            b in bound(),
            c in bound(),
            d in bound(),
            f in bound(),
        ) {
            let (one, other) = (Interval::new(a, b), Interval::new(c, d));
            prop_assert!(valid(one) && valid(one.scaled(f)) && valid(one.shifted(f)));
            prop_assert!(valid(one.plus(other)));
            prop_assert!(one.width() >= 0.0);
            if let Some(both) = one.intersect(other) {
                prop_assert!(valid(both) && one.contains(both.lower) && other.contains(both.upper));
            }
        }

        #[test]
        fn members_move_with_the_interval(
            a in -1e3f64..1e3,
            b in -1e3f64..1e3,
            t in 0.0f64..=1.0,
            f in -9.0f64..9.0,
        ) {
            let interval = Interval::new(a, b);
            let inside = (interval.lower + t * interval.width()).min(interval.upper);
            prop_assert!(interval.contains(inside));
            prop_assert!(interval.scaled(f).contains(inside * f));
            prop_assert!(interval.shifted(f).contains(inside + f));
        }
    }
}
