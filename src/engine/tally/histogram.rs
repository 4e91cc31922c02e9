//! Base-2 exponential histograms at scale 5, as OTLP and Prometheus have them: bucket `i` holds
//! the values in (2^(i/32), 2^((i+1)/32)]. The index comes from the integer value without a
//! float logarithm, counts are sparse, and nothing ever collapses, so taking back is exact.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Buckets per power of two: 2^5.
const PER_OCTAVE: usize = 32;

/// `ceil(2^63 · 2^(k/32))` for k = 0 … 31: the mantissa where sub-bucket k of an octave begins.
/// The thresholds but the first are irrational, so comparing integers with their ceilings is exact.
#[rustfmt::skip]
const STARTS: [u64; PER_OCTAVE] = [
    0x8000000000000000, 0x82cd8698ac2ba1d8, 0x85aac367cc487b15, 0x88980e8092da8528,
    0x8b95c1e3ea8bd6e7, 0x8ea4398b45cd53c1, 0x91c3d373ab11c337, 0x94f4efa8fef70962,
    0x9837f0518db8a970, 0x9b8d39b9d54e5539, 0x9ef5326091a111ae, 0xa27043030c496819,
    0xa5fed6a9b15138eb, 0xa9a15ab4ea7c0ef9, 0xad583eea42a14ac7, 0xb123f581d2ac2590,
    0xb504f333f9de6485, 0xb8fbaf4762fb9eea, 0xbd08a39f580c36bf, 0xc12c4cca66709457,
    0xc5672a115506dade, 0xc9b9bd866e2f27a3, 0xce248c151f8480e4, 0xd2a81d91f12ae45b,
    0xd744fccad69d6af5, 0xdbfbb797daf23756, 0xe0ccdeec2a94e112, 0xe5b906e77c8348a9,
    0xeac0c6e7dd24392f, 0xefe4b99bdcdaf5cc, 0xf5257d152486cc2d, 0xfa83b2db722a033b,
];

/// Sparse counts by bucket; zeros have a count of their own.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Histogram {
    zero: i64,
    counts: BTreeMap<i16, i64>,
}

/// The bucket of a positive value.
fn index(value: u64) -> i16 {
    let octave = 63 - value.leading_zeros() as i16;
    let mantissa = value << value.leading_zeros();
    if mantissa == STARTS[0] {
        // An exact power of two is the upper edge of the bucket below.
        return octave * PER_OCTAVE as i16 - 1;
    }
    let sub = STARTS.partition_point(|start| *start <= mantissa) - 1;
    octave * PER_OCTAVE as i16 + sub as i16
}

/// Lower and upper edge of a bucket.
pub fn edges(index: i16) -> (f64, f64) {
    let edge = |at: i16| (f64::from(at) / PER_OCTAVE as f64).exp2();
    (edge(index), edge(index + 1))
}

// === impl Histogram ===

impl Histogram {
    /// Adds (`sign` 1) or takes back (`sign` −1) one value.
    pub fn add(&mut self, value: u64, sign: i64) {
        if value == 0 {
            self.zero += sign;
            return;
        }
        self.add_count(index(value), sign);
    }

    fn add_count(&mut self, index: i16, count: i64) {
        let sum = self.counts.entry(index).or_default();
        *sum += count;
        if *sum == 0 {
            self.counts.remove(&index);
        }
    }

    /// Adds all of another histogram.
    pub fn merge(&mut self, other: &Histogram) {
        self.zero += other.zero;
        other.counts.iter().for_each(|(at, count)| self.add_count(*at, *count));
    }

    /// How many values it holds.
    pub fn count(&self) -> i64 {
        self.zero + self.counts.values().sum::<i64>()
    }

    /// Lower and upper edge of the bucket that holds the value of rank `ceil(q·n)`.
    pub fn quantile(&self, q: f64) -> Option<(f64, f64)> {
        self.at_rank(self.rank_of(q)?)
    }

    /// How many values are in buckets above one; all but zeros when that is none.
    pub fn above(&self, bucket: Option<i16>) -> i64 {
        match bucket {
            Some(bucket) => {
                let above = (std::ops::Bound::Excluded(bucket), std::ops::Bound::Unbounded);
                self.counts.range(above).map(|row| row.1).sum()
            }
            None => self.counts.values().sum(),
        }
    }

    /// The bucket that holds the value of a rank, from 1: `Some(None)` for zeros.
    pub fn bucket_at(&self, rank: i64) -> Option<Option<i16>> {
        let mut seen = self.zero;
        if seen >= rank {
            return Some(None);
        }
        for (at, count) in &self.counts {
            seen += count;
            if seen >= rank {
                return Some(Some(*at));
            }
        }
        None
    }

    /// The rank of a quantile, `ceil(q·n)`; none without values.
    pub fn rank_of(&self, q: f64) -> Option<i64> {
        let count = self.count();
        (count > 0).then(|| ((q * count as f64).ceil() as i64).clamp(1, count))
    }

    /// Lower and upper edge of the bucket that holds the value of a rank, from 1: counts at the
    /// edges are exact, so no coverage is lost by taking them (`statistics.md` §3).
    pub fn at_rank(&self, rank: i64) -> Option<(f64, f64)> {
        self.bucket_at(rank).map(|bucket| bucket.map_or((0.0, 0.0), edges))
    }

    /// Counts by bucket, lowest first, with the count of zeros.
    pub fn buckets(&self) -> (i64, impl Iterator<Item = (i16, i64)>) {
        (self.zero, self.counts.iter().map(|(at, count)| (*at, *count)))
    }

    /// Estimated bytes.
    pub fn bytes(&self) -> u64 {
        32 + self.counts.len() as u64 * 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn powers_of_two_are_upper_edges() {
        for octave in 0..64u32 {
            assert_eq!(index(1 << octave), octave as i16 * 32 - 1, "2^{octave}");
        }
        assert_eq!(index(3), 32 + 18, "32·log2(3) = 50.7");
    }

    proptest! {
        #[test]
        fn every_value_is_inside_its_bucket(value in 2u64..1 << 53) {
            let (lower, upper) = edges(index(value));
            // Edges are floats here; the index is exact.
            prop_assert!(lower <= value as f64 * (1.0 + 1e-12), "{lower} < {value}");
            prop_assert!(value as f64 <= upper * (1.0 + 1e-12), "{value} <= {upper}");
        }

        #[test]
        fn taking_back_is_the_inverse(values in prop::collection::vec(0u64..1 << 53, 1..50)) {
            let mut histogram = Histogram::default();
            values.iter().for_each(|v| histogram.add(*v, 1));
            prop_assert_eq!(histogram.count(), values.len() as i64);
            values.iter().rev().for_each(|v| histogram.add(*v, -1));
            prop_assert_eq!(histogram, Histogram::default());
        }

        #[test]
        fn quantiles_are_within_a_bucket(mut values in prop::collection::vec(1u64..1 << 40, 1..200)) {
            let mut histogram = Histogram::default();
            values.iter().for_each(|v| histogram.add(*v, 1));
            values.sort_unstable();
            let exact = values[(0.95 * values.len() as f64).ceil() as usize - 1] as f64;
            let (lower, upper) = histogram.quantile(0.95).expect("values");
            prop_assert!(lower <= exact * (1.0 + 1e-12) && exact <= upper * (1.0 + 1e-12));
        }
    }
}
