//! Base-2 exponential histograms at scale 5, as OTLP and Prometheus have them: bucket `i` holds
//! the values in (2^(i/32), 2^((i+1)/32)]. The index comes from the integer value without a
//! float logarithm, and nothing ever collapses, so taking back is exact.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

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

/// The sub-bucket of an octave in which each of the 32 equal parts of the mantissa begins: at most
/// two steps from there is the one that holds a value.
const FIRST: [u8; PER_OCTAVE] = {
    let mut first = [0; PER_OCTAVE];
    let mut part = 0;
    while part < PER_OCTAVE {
        let begins = (PER_OCTAVE as u64 + part as u64) << 58;
        let mut sub = PER_OCTAVE - 1;
        while STARTS[sub] > begins {
            sub -= 1;
        }
        first[part] = sub as u8;
        part += 1;
    }
    first
};

/// Counts by bucket, those between the lowest and the highest one side by side; zeros have a count
/// of their own.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    zero: i64,
    counts: Counts,
}

/// A few buckets far from each other are listed; many close to each other are an array.
#[derive(Clone, Debug)]
enum Counts {
    /// Sorted, none zero.
    Sparse(Vec<(i16, i64)>),
    /// From this bucket on.
    Dense(i16, Vec<i64>),
}

/// Buckets that are listed, at most, while an array would be no larger than this many times.
const SPARSE_MAX: usize = 8;
const SPREAD_MAX: usize = 6;

/// The bucket of a value; `None` for zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bucket(Option<i16>);

impl Bucket {
    /// Of a value.
    #[inline]
    pub fn of(value: u64) -> Self {
        Bucket((value > 0).then(|| index(value)))
    }
}

/// The bucket of a positive value.
#[inline]
fn index(value: u64) -> i16 {
    let octave = 63 - value.leading_zeros() as i16;
    let mantissa = value << value.leading_zeros();
    if mantissa == STARTS[0] {
        // An exact power of two is the upper edge of the bucket below.
        return octave * PER_OCTAVE as i16 - 1;
    }
    let mut sub = usize::from(FIRST[(mantissa >> 58) as usize & (PER_OCTAVE - 1)]);
    while sub + 1 < PER_OCTAVE && STARTS[sub + 1] <= mantissa {
        sub += 1;
    }
    octave * PER_OCTAVE as i16 + sub as i16
}

/// Lower and upper edge of a bucket.
pub fn edges(index: i16) -> (f64, f64) {
    let edge = |at: i16| (f64::from(at) / PER_OCTAVE as f64).exp2();
    (edge(index), edge(index + 1))
}

// === impl Counts ===

impl Default for Counts {
    fn default() -> Self {
        Counts::Sparse(Vec::new())
    }
}

impl Counts {
    #[inline]
    fn add(&mut self, index: i16, count: i64) {
        if let Counts::Dense(low, list) = self
            && let Some(sum) = usize::try_from(index - *low).ok().and_then(|at| list.get_mut(at))
        {
            *sum += count;
            return;
        }
        self.add_slowly(index, count);
    }

    fn add_slowly(&mut self, index: i16, count: i64) {
        match self {
            Counts::Sparse(list) => match list.binary_search_by_key(&index, |row| row.0) {
                Ok(at) => {
                    list[at].1 += count;
                    if list[at].1 == 0 {
                        list.remove(at);
                    }
                }
                Err(at) => {
                    list.insert(at, (index, count));
                    self.fit();
                }
            },
            Counts::Dense(low, list) => {
                let end = low.saturating_add(list.len() as i16);
                let (from, to) = (index.min(*low), (index + 1).max(end));
                let mut wider = vec![0; (to - from) as usize];
                let at = (*low - from) as usize;
                wider[at..at + list.len()].copy_from_slice(list);
                wider[(index - from) as usize] += count;
                *self = Counts::Dense(from, wider);
                self.fit();
            }
        }
    }

    /// Takes the form that is smaller by now.
    fn fit(&mut self) {
        let filled: Vec<(i16, i64)> = self.iter().collect();
        let (Some(first), Some(last)) = (filled.first(), filled.last()) else { return };
        let spread = (last.0 - first.0) as usize + 1;
        let few = filled.len() <= SPARSE_MAX || spread > filled.len() * SPREAD_MAX;
        match (few, &self) {
            (true, Counts::Dense(..)) => *self = Counts::Sparse(filled),
            (false, Counts::Sparse(_)) => {
                let mut list = vec![0; spread];
                filled.iter().for_each(|row| list[(row.0 - first.0) as usize] = row.1);
                *self = Counts::Dense(first.0, list);
            }
            _ => {}
        }
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = (i16, i64)> {
        let (sparse, low, dense) = match self {
            Counts::Sparse(list) => (&list[..], 0, &[][..]),
            Counts::Dense(low, list) => (&[][..], *low, &list[..]),
        };
        let dense = dense.iter().enumerate().map(move |(at, count)| (low + at as i16, *count));
        sparse.iter().copied().chain(dense).filter(|row| row.1 != 0)
    }

    fn bytes(&self) -> u64 {
        match self {
            Counts::Sparse(list) => list.len() as u64 * 16,
            Counts::Dense(_, list) => list.len() as u64 * 8,
        }
    }
}

// === impl Histogram ===

impl PartialEq for Histogram {
    /// Equal when all counts are equal, whatever the form.
    fn eq(&self, other: &Self) -> bool {
        self.zero == other.zero && self.counts.iter().eq(other.counts.iter())
    }
}

impl Eq for Histogram {}

impl Serialize for Histogram {
    /// The filled buckets, whatever the form: equal histograms give equal bytes.
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        (self.zero, self.counts.iter().collect::<Vec<_>>()).serialize(out)
    }
}

impl<'de> Deserialize<'de> for Histogram {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let (zero, list) = Deserialize::deserialize(input)?;
        let mut counts = Counts::Sparse(list);
        counts.fit();
        Ok(Histogram { zero, counts })
    }
}

impl Histogram {
    /// Adds (`sign` 1) or takes back (`sign` −1) one value.
    pub fn add(&mut self, value: u64, sign: i64) {
        self.count_in(Bucket::of(value), sign);
    }

    /// Adds or takes back one value of this bucket: several histograms hold it.
    #[inline]
    pub fn count_in(&mut self, bucket: Bucket, sign: i64) {
        match bucket.0 {
            None => self.zero += sign,
            Some(index) => self.counts.add(index, sign),
        }
    }

    /// Adds or takes back many values.
    pub fn count_all(&mut self, values: &[(Bucket, i64)]) {
        values.iter().for_each(|(bucket, sign)| self.count_in(*bucket, *sign));
    }

    /// Adds all of another histogram.
    pub fn merge(&mut self, other: &Histogram) {
        self.zero += other.zero;
        other.counts.iter().for_each(|(at, count)| self.counts.add(at, count));
    }

    /// How many values it holds.
    pub fn count(&self) -> i64 {
        self.zero + self.counts.iter().map(|row| row.1).sum::<i64>()
    }

    /// Lower and upper edge of the bucket that holds the value of rank `ceil(q·n)`.
    pub fn quantile(&self, q: f64) -> Option<(f64, f64)> {
        self.at_rank(self.rank_of(q)?)
    }

    /// How many values are in buckets above one; all but zeros when that is none.
    pub fn above(&self, bucket: Option<i16>) -> i64 {
        let above = self.counts.iter().filter(|row| bucket.is_none_or(|bucket| row.0 > bucket));
        above.map(|row| row.1).sum()
    }

    /// The bucket that holds the value of a rank, from 1: `Some(None)` for zeros.
    pub fn bucket_at(&self, rank: i64) -> Option<Option<i16>> {
        let mut seen = self.zero;
        if seen >= rank {
            return Some(None);
        }
        for (at, count) in self.counts.iter() {
            seen += count;
            if seen >= rank {
                return Some(Some(at));
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
        (self.zero, self.counts.iter())
    }

    /// Estimated bytes.
    pub fn bytes(&self) -> u64 {
        48 + self.counts.bytes()
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
