//! A large map in parts that are shared until they are changed: cloning the whole costs nothing,
//! so a snapshot can be written elsewhere while entries go on. What is changed meanwhile is copied
//! one part at a time, and a part is let go of as soon as it is written. Written part by part, each
//! in the order of its keys: equal maps give equal bytes.

use crate::model::{Sym, TraceId, UnitHash};
use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::io::Write;
use std::marker::PhantomData;
use std::sync::Arc;

/// Parts: copying one of a million entries takes well under a millisecond.
const SHARDS: usize = 1 << SHARD_BITS;
const SHARD_BITS: u32 = 7;
/// Bytes of rows that are written together.
const WRITTEN_AT_ONCE: usize = 32 << 10;
/// The odd number next to 2⁶⁴ over the golden ratio: Fibonacci hashing.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// What can be a key of a large map.
pub trait Key: Hash + Eq + Ord + Clone {
    /// Bits that differ between keys. They say in which part a key is, which has to be the same in
    /// every process; whoever chooses keys so that all are in one part makes that part large, and
    /// no more.
    fn bits(&self) -> u64;
}

impl Key for TraceId {
    fn bits(&self) -> u64 {
        (self.0 >> 64 ^ self.0) as u64
    }
}

impl Key for UnitHash {
    fn bits(&self) -> u64 {
        self.0
    }
}

impl Key for (Sym, UnitHash) {
    fn bits(&self) -> u64 {
        self.0.0 ^ self.1.0
    }
}

/// See the module.
#[derive(Clone)]
pub struct Shards<K, V> {
    parts: Vec<Arc<HashTable<(K, V)>>>,
    hasher: DefaultHashBuilder,
    len: usize,
}

// === impl Shards ===

impl<K, V> Default for Shards<K, V> {
    fn default() -> Self {
        let parts = (0..SHARDS).map(|_| Arc::new(HashTable::new())).collect();
        Shards { parts, hasher: DefaultHashBuilder::default(), len: 0 }
    }
}

impl<K: Key, V: Clone> Shards<K, V> {
    /// The short hash of a key, by which its place can be named; other keys may have the same.
    pub fn short(&self, key: &K) -> u32 {
        short_of(&self.hasher, key)
    }

    /// All whose key has this short hash.
    pub fn with_short(&self, short: u32) -> impl Iterator<Item = (&K, &V)> {
        let hash = spread(short);
        let alike = self.parts[part_of(short)].iter_hash(hash).map(|row| (&row.0, &row.1));
        alike.filter(move |row| self.short(row.0) == short)
    }

    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        let short = self.short(key);
        let part = &self.parts[part_of(short)];
        part.find(spread(short), |row| row.0 == *key).map(|row| &row.1)
    }

    /// Reads something of some values one right after the other: the waits for memory overlap, and
    /// what is done with them next finds them near.
    #[inline]
    pub fn glance(&self, keys: impl Iterator<Item = K>, read: impl Fn(&V) -> u64) {
        let seen = keys.map(|key| self.get(&key).map_or(0, &read));
        std::hint::black_box(seen.fold(0, |all, one| all ^ one));
    }

    /// Whether a key is there.
    pub fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let short = self.short(key);
        let (hash, part) = (spread(short), &mut self.parts[part_of(short)]);
        if Arc::get_mut(part).is_none() && part.find(hash, |row| row.0 == *key).is_none() {
            return None;
        }
        Arc::make_mut(part).find_mut(hash, |row| row.0 == *key).map(|row| &mut row.1)
    }

    /// Where a key is or goes, and how many rows there are.
    #[inline]
    fn slot(&mut self, key: &K) -> (Entry<'_, (K, V)>, &mut usize) {
        let short = self.short(key);
        let Shards { parts, hasher, len } = self;
        let hash_of = |row: &(K, V)| spread(short_of(hasher, &row.0));
        let (hash, part) = (spread(short), Arc::make_mut(&mut parts[part_of(short)]));
        sweep(part, hash_of);
        (part.entry(hash, |row| row.0 == *key, hash_of), len)
    }

    /// The value of a key, made when there is none; and whether it was made.
    pub fn entry(&mut self, key: K, make: impl FnOnce() -> V) -> (&mut V, bool) {
        let (slot, len) = self.slot(&key);
        match slot {
            Entry::Occupied(taken) => (&mut taken.into_mut().1, false),
            Entry::Vacant(free) => {
                *len += 1;
                (&mut free.insert((key, make())).into_mut().1, true)
            }
        }
    }

    /// Puts a value in place of the one that was there.
    pub fn insert(&mut self, key: K, value: V) {
        let (slot, len) = self.slot(&key);
        match slot {
            Entry::Occupied(mut taken) => taken.get_mut().1 = value,
            Entry::Vacant(free) => {
                *len += 1;
                free.insert((key, value));
            }
        }
    }

    /// Takes a value out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.remove_if(key, |_| true)
    }

    /// Takes a value out if it is one that should go.
    pub fn remove_if(&mut self, key: &K, goes: impl Fn(&V) -> bool) -> Option<V> {
        let short = self.short(key);
        let (hash, part) = (spread(short), &mut self.parts[part_of(short)]);
        let same = |row: &(K, V)| row.0 == *key && goes(&row.1);
        if Arc::get_mut(part).is_none() && part.find(hash, same).is_none() {
            return None;
        }
        let found = Arc::make_mut(part).find_entry(hash, same).ok()?;
        self.len -= 1;
        Some(found.remove().0.1)
    }

    /// Takes out what `gone` says, in no order.
    pub fn extract(&mut self, mut gone: impl FnMut(&V) -> bool) -> Vec<(K, V)> {
        let mut out = Vec::new();
        for part in &mut self.parts {
            if part.iter().any(|row| gone(&row.1)) {
                out.extend(Arc::make_mut(part).extract_if(|row| gone(&row.1)));
            }
        }
        self.len -= out.len();
        out
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.parts.iter().flat_map(|part| part.iter()).map(|row| (&row.0, &row.1))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes all of them as a list of pairs, and lets go of each part once it is written.
    pub fn write(self, mut out: &mut dyn Write) -> Result<(), postcard::Error>
    where
        K: Serialize,
        V: Serialize,
    {
        postcard::to_io(&self.len, &mut out)?;
        let mut bytes = Vec::new();
        for part in self.parts {
            let mut rows: Vec<&(K, V)> = part.iter().collect();
            rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            for row in rows {
                bytes = postcard::to_extend(row, bytes)?;
                if bytes.len() >= WRITTEN_AT_ONCE {
                    flush(&mut bytes, out)?;
                }
            }
        }
        flush(&mut bytes, out)
    }
}

/// Makes a part anew in the same size when nothing but places of removed rows fills it; growing
/// would leave it half empty for ever.
fn sweep<R>(part: &mut HashTable<R>, hash: impl Fn(&R) -> u64) {
    if part.len() < part.capacity() || part.len() * 4 > part.num_buckets() * 3 {
        return;
    }
    let mut fresh = HashTable::with_capacity(part.num_buckets() / 8 * 7);
    for row in part.drain() {
        fresh.insert_unique(hash(&row), row, &hash);
    }
    *part = fresh;
}

fn flush(bytes: &mut Vec<u8>, out: &mut dyn Write) -> Result<(), postcard::Error> {
    // The format's writers have no room for what went wrong either.
    out.write_all(bytes).map_err(|_| postcard::Error::SerializeBufferFull)?;
    bytes.clear();
    Ok(())
}

/// In its highest bits the part of a key, in the others a hash that nobody can foresee.
#[inline]
fn short_of(hasher: &DefaultHashBuilder, key: &impl Key) -> u32 {
    let hash = hasher.hash_one(key);
    let part = key.bits().wrapping_mul(GOLDEN) >> (u64::BITS - SHARD_BITS);
    ((hash ^ hash >> 32) as u32) >> SHARD_BITS | (part as u32) << (u32::BITS - SHARD_BITS)
}

/// The part that a short hash names.
fn part_of(short: u32) -> usize {
    (short >> (u32::BITS - SHARD_BITS)) as usize
}

/// 32 bits of a hash as 64, all of which differ: tables look at the lowest and the highest.
pub fn spread(short: u32) -> u64 {
    u64::from(short).wrapping_mul(GOLDEN)
}

impl<K: Key, V: Clone + PartialEq> PartialEq for Shards<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Shards<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.parts.iter().flat_map(|part| part.iter());
        f.debug_map().entries(all.map(|row| (&row.0, &row.1))).finish()
    }
}

impl<'de, K, V> Deserialize<'de> for Shards<K, V>
where
    K: Key + Deserialize<'de>,
    V: Clone + Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Rows<K, V>(PhantomData<(K, V)>);
        impl<'de, K, V> Visitor<'de> for Rows<K, V>
        where
            K: Key + Deserialize<'de>,
            V: Clone + Deserialize<'de>,
        {
            type Value = Shards<K, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("pairs")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Shards<K, V>, A::Error> {
                let mut all = Shards::default();
                while let Some((key, value)) = rows.next_element()? {
                    all.insert(key, value);
                }
                Ok(all)
            }
        }
        input.deserialize_seq(Rows(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    impl Key for u16 {
        fn bits(&self) -> u64 {
            (*self).into()
        }
    }

    impl Key for u32 {
        fn bits(&self) -> u64 {
            (*self).into()
        }
    }

    #[test]
    fn a_map_that_always_changes_does_not_grow() {
        let mut shards = Shards::default();
        for key in 0..100_000u32 {
            shards.insert(key, key);
            if key >= 8_000 {
                assert_eq!(shards.remove(&(key - 8_000)), Some(key - 8_000));
            }
        }
        assert_eq!(shards.len(), 8_000);
        assert!((92_000..100_000).all(|key| shards.get(&key) == Some(&key)));
        // 62.5 rows a part, in 128 places at the most; without sweeping there are 256.
        let buckets: usize = shards.parts.iter().map(|part| part.num_buckets()).sum();
        assert!(buckets <= 128 * SHARDS, "{buckets}");
    }

    proptest! {
        #[test]
        fn a_clone_stays_as_it_was(
            before in prop::collection::vec((0u16..300, any::<u8>()), 0..200),
            after in prop::collection::vec((0u16..300, prop::option::of(any::<u8>())), 0..200),
        ) {
            let (mut shards, mut plain) = (Shards::default(), BTreeMap::new());
            for (key, value) in before {
                shards.insert(key, value);
                plain.insert(key, value);
            }
            let (kept, was) = (shards.clone(), plain.clone());
            for (key, value) in after {
                match value {
                    Some(value) => {
                        shards.insert(key, value);
                        plain.insert(key, value);
                    }
                    None => prop_assert_eq!(shards.remove(&key), plain.remove(&key)),
                }
            }
            let list = |shards: &Shards<u16, u8>| -> Vec<(u16, u8)> {
                let mut rows: Vec<(u16, u8)> = shards.iter().map(|row| (*row.0, *row.1)).collect();
                rows.sort_unstable();
                rows
            };
            prop_assert_eq!(list(&kept), was.into_iter().collect::<Vec<_>>());
            for (key, value) in &plain {
                let alike = shards.with_short(shards.short(key));
                prop_assert!(alike.map(|row| (*row.0, *row.1)).any(|row| row == (*key, *value)));
            }
            prop_assert_eq!(list(&shards), plain.clone().into_iter().collect::<Vec<_>>());
            prop_assert_eq!(shards.len(), plain.len());
            let mut bytes = Vec::new();
            shards.clone().write(&mut bytes).expect("bytes");
            let back: Shards<u16, u8> = postcard::from_bytes(&bytes).expect("shards");
            prop_assert_eq!(&back, &shards);
            let mut again = Vec::new();
            back.write(&mut again).expect("bytes");
            prop_assert_eq!(again, bytes, "whatever was in it before");
            prop_assert!(shards.extract(|value| *value < 128).iter().all(|row| row.1 < 128));
            prop_assert!(shards.iter().all(|row| *row.1 >= 128));
        }
    }
}
