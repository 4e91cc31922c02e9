//! Sums of one metric in 1,024 unit buckets: numerator and denominator of a ratio. Units are
//! independent, so buckets are, and their spread gives the variance (`statistics.md` §2).
//! Sums are `i64` with checked addition; a tally that would overflow is promoted to `i128`.

use crate::model::UnitHash;
use serde::{Deserialize, Serialize};

/// How many buckets. Their salt is the key of the unit hash.
pub const BUCKETS: usize = 1_024;
/// Touched buckets above which the dense form is smaller.
const SPARSE_MAX: usize = 64;

/// Numerator and denominator by bucket.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Buckets {
    /// Touched buckets only, sorted.
    Sparse(Vec<(u16, i64, i64)>),
    /// All of them.
    Dense(Vec<(i64, i64)>),
    /// All of them, after an overflow.
    Wide(Vec<(i128, i128)>),
}

/// The bucket of a unit.
pub fn bucket_of(unit: UnitHash) -> u16 {
    (unit.0 >> 54) as u16
}

impl Default for Buckets {
    fn default() -> Self {
        Buckets::Sparse(Vec::new())
    }
}

impl PartialEq for Buckets {
    /// Equal when all sums are equal, whatever the form.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Buckets {
    /// Adds to the bucket of a unit; negative values take back.
    #[inline]
    pub fn add(&mut self, bucket: u16, y: i64, w: i64) {
        if let Buckets::Dense(list) = self {
            let row = &mut list[usize::from(bucket)];
            if let Some(sums) = add_checked(*row, y, w) {
                *row = sums;
                return;
            }
        }
        if !self.try_add(bucket, y, w) {
            self.widen();
            self.try_add(bucket, y, w);
        }
    }

    /// Reads some buckets one right after the other: the waits for memory overlap, and adding finds
    /// them near.
    #[inline]
    pub fn glance(&self, buckets: impl Iterator<Item = u16>) {
        if let Buckets::Dense(list) = self {
            let read = |bucket: u16| list.get(usize::from(bucket)).map_or(0, |row| row.1);
            std::hint::black_box(buckets.map(read).fold(0, |all, w| all ^ w));
        }
    }

    fn try_add(&mut self, bucket: u16, y: i64, w: i64) -> bool {
        match self {
            Buckets::Sparse(list) => match list.binary_search_by_key(&bucket, |row| row.0) {
                Ok(at) => {
                    let row = &mut list[at];
                    let Some(sums) = add_checked((row.1, row.2), y, w) else { return false };
                    (row.1, row.2) = sums;
                    if sums == (0, 0) {
                        list.remove(at);
                    }
                }
                Err(at) if list.len() < SPARSE_MAX => list.insert(at, (bucket, y, w)),
                Err(_) => {
                    self.densify();
                    return self.try_add(bucket, y, w);
                }
            },
            Buckets::Dense(list) => {
                let row = &mut list[usize::from(bucket)];
                let Some(sums) = add_checked(*row, y, w) else { return false };
                *row = sums;
            }
            Buckets::Wide(list) => {
                let row = &mut list[usize::from(bucket)];
                *row = (row.0 + i128::from(y), row.1 + i128::from(w));
            }
        }
        true
    }

    fn densify(&mut self) {
        if let Buckets::Sparse(list) = self {
            let mut dense = vec![(0, 0); BUCKETS];
            list.iter().for_each(|row| dense[usize::from(row.0)] = (row.1, row.2));
            *self = Buckets::Dense(dense);
        }
    }

    fn widen(&mut self) {
        let mut wide = vec![(0, 0); BUCKETS];
        self.iter().for_each(|(bucket, y, w)| wide[usize::from(bucket)] = (y, w));
        *self = Buckets::Wide(wide);
    }

    /// Touched buckets with their sums, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u16, i128, i128)> {
        let (sparse, dense, wide) = match self {
            Buckets::Sparse(list) => (&list[..], &[][..], &[][..]),
            Buckets::Dense(list) => (&[][..], &list[..], &[][..]),
            Buckets::Wide(list) => (&[][..], &[][..], &list[..]),
        };
        let sparse = sparse.iter().map(|row| (row.0, i128::from(row.1), i128::from(row.2)));
        let dense = dense.iter().enumerate();
        let dense = dense.map(|(at, row)| (at as u16, i128::from(row.0), i128::from(row.1)));
        let wide = wide.iter().enumerate().map(|(at, row)| (at as u16, row.0, row.1));
        sparse.chain(dense).chain(wide).filter(|row| (row.1, row.2) != (0, 0))
    }

    /// All rows, when they are held that way: without a copy.
    pub fn dense(&self) -> Option<&[(i64, i64)]> {
        match self {
            Buckets::Dense(list) => Some(list),
            _ => None,
        }
    }

    /// Adds its rows to dense ones; false when that overflows.
    pub fn add_to(&self, rows: &mut [(i64, i64)]) -> bool {
        let mut fits = true;
        let mut add = |at: usize, y: i64, w: i64| match add_checked(rows[at], y, w) {
            Some(sum) => rows[at] = sum,
            None => fits = false,
        };
        match self {
            Buckets::Sparse(list) => list.iter().for_each(|row| add(row.0.into(), row.1, row.2)),
            Buckets::Dense(list) => {
                list.iter().enumerate().for_each(|(at, row)| add(at, row.0, row.1));
            }
            Buckets::Wide(_) => return false,
        }
        fits
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Buckets) {
        for (bucket, y, w) in other.iter() {
            match (i64::try_from(y), i64::try_from(w)) {
                (Ok(y), Ok(w)) => self.add(bucket, y, w),
                _ => {
                    self.widen();
                    if let Buckets::Wide(list) = self {
                        let row = &mut list[usize::from(bucket)];
                        *row = (row.0 + y, row.1 + w);
                    }
                }
            }
        }
    }

    /// Estimated bytes.
    pub fn bytes(&self) -> u64 {
        match self {
            Buckets::Sparse(list) => list.len() as u64 * 24,
            Buckets::Dense(_) => BUCKETS as u64 * 16,
            Buckets::Wide(_) => BUCKETS as u64 * 32,
        }
    }
}

fn add_checked(row: (i64, i64), y: i64, w: i64) -> Option<(i64, i64)> {
    Some((row.0.checked_add(y)?, row.1.checked_add(w)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Rows = Vec<(u16, i64, i64)>;

    fn rows() -> impl Strategy<Value = Rows> {
        let extreme = prop_oneof![any::<i64>(), Just(i64::MAX), Just(i64::MIN + 1), -9i64..9];
        prop::collection::vec((0u16..BUCKETS as u16, extreme, 0i64..1 << 40), 0..150)
    }

    fn filled(rows: &Rows) -> Buckets {
        let mut buckets = Buckets::default();
        rows.iter().for_each(|(b, y, w)| buckets.add(*b, *y, *w));
        buckets
    }

    proptest! {
        #[test]
        fn merging_is_associative_and_commutative(a in rows(), b in rows(), c in rows()) {
            let merged = |list: &[&Rows]| {
                let mut sum = Buckets::default();
                list.iter().for_each(|rows| sum.merge(&filled(rows)));
                sum
            };
            let whole = filled(&[a.clone(), b.clone(), c.clone()].concat());
            let mut right = filled(&b);
            right.merge(&filled(&c));
            let mut left_to_right = filled(&a);
            left_to_right.merge(&right);
            prop_assert_eq!(&left_to_right, &whole);
            prop_assert_eq!(&merged(&[&c, &a, &b]), &whole);
        }

        #[test]
        fn taking_back_is_the_inverse(kept in rows(), gone in rows()) {
            let mut buckets = filled(&kept);
            gone.iter().for_each(|(b, y, w)| buckets.add(*b, *y, *w));
            gone.iter().rev().for_each(|(b, y, w)| buckets.add(*b, -*y, -*w));
            prop_assert_eq!(buckets, filled(&kept));
        }
    }
}
