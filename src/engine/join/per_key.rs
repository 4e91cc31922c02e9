//! PerKey by key: few keys, sorted side by side.

use serde::{Deserialize, Serialize};

/// Keys; further ones are not counted.
const KEYS_MAX: usize = 4_096;

/// PerKey by key, none zero.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PerKey<K>(Vec<(K, i64)>);

// === impl PerKey ===

impl<K> Default for PerKey<K> {
    fn default() -> Self {
        PerKey(Vec::new())
    }
}

impl<K: Ord + Copy> PerKey<K> {
    /// Adds to the count of a key; negative values take back.
    pub fn add(&mut self, key: K, count: i64) {
        match self.0.binary_search_by_key(&key, |row| row.0) {
            Ok(at) => {
                self.0[at].1 += count;
                if self.0[at].1 == 0 {
                    self.0.remove(at);
                }
            }
            Err(at) if self.0.len() < KEYS_MAX && count != 0 => self.0.insert(at, (key, count)),
            Err(_) => {}
        }
    }

    /// Gives a key this count, whatever it had.
    pub fn set(&mut self, key: K, count: i64) {
        self.add(key, count - self.get(&key).unwrap_or(0));
    }

    /// Adds (`sign` 1) or takes back (`sign` −1) all of another.
    pub fn add_all(&mut self, other: &PerKey<K>, sign: i64) {
        other.0.iter().for_each(|row| self.add(row.0, sign * row.1));
    }

    /// The count of a key.
    pub fn get(&self, key: &K) -> Option<i64> {
        self.0.binary_search_by_key(key, |row| row.0).ok().map(|at| self.0[at].1)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, i64)> {
        self.0.iter().map(|row| (&row.0, row.1))
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.iter().map(|row| &row.0)
    }

    /// The counts, in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = i64> {
        self.0.iter().map(|row| row.1)
    }

    /// Forgets everything but the room it takes.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
