//! The lookup from attribute key to what it means, built once from the config's mapping and all
//! dialects. Earlier entries have the lower rank and win, so the order of the lists is the order
//! of precedence.

use super::dialects::{self, Target};
use super::slot::Slot;
use std::collections::BTreeMap;

/// Where an attribute was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carrier {
    /// On the resource.
    Resource,
    /// On a span or one of its events.
    Span,
    /// On a log record.
    Log,
}

/// What one key means, at one rank. A key may mean several things.
#[derive(Clone, Debug)]
pub struct Meaning {
    /// The attribute's key.
    pub key: Box<str>,
    /// Lower wins.
    pub rank: u16,
    /// Where it goes.
    pub target: Target,
    /// Only there, when set.
    pub only: Option<Carrier>,
}

/// One key and its meanings.
struct Entry {
    key: Box<[u8]>,
    first: u32,
    count: u32,
}

/// Open addressing over a hash of the key: nearly always one comparison.
pub struct Table {
    meanings: Vec<Meaning>,
    entries: Vec<Entry>,
    /// Entry + 1; 0 is free.
    buckets: Vec<u32>,
}

impl Table {
    /// From the config's rules (canonical name ← attributes, first wins) and the dialects. Rules
    /// whose name is unknown are left out: the config has refused them before.
    pub fn new(mapping: &BTreeMap<String, Vec<String>>) -> Self {
        let mut meanings = Vec::new();
        for (name, attributes) in mapping {
            if let Some(slot) = Slot::of_mapping(name) {
                attributes.iter().for_each(|attribute| meanings.push(mapped(attribute, slot)));
            }
        }
        for dialect in dialects::ALL {
            for (key, target) in dialect.keys {
                let (key, only) = ((*key).into(), None);
                meanings.push(Meaning { key, rank: 0, target: *target, only });
            }
        }
        for (rank, meaning) in meanings.iter_mut().enumerate() {
            meaning.rank = u16::try_from(rank).unwrap_or(u16::MAX);
        }
        meanings.sort_by(|a, b| a.key.cmp(&b.key).then(a.rank.cmp(&b.rank)));
        let (mut entries, mut first) = (Vec::new(), 0);
        for same in meanings.chunk_by(|a, b| a.key == b.key) {
            let count = same.len() as u32;
            entries.push(Entry { key: same[0].key.as_bytes().into(), first, count });
            first += count;
        }
        Table { buckets: bucket(&entries), meanings, entries }
    }

    /// What a key means, by its [`hash`].
    #[inline]
    pub fn find(&self, key: &[u8], hash: u64) -> Option<&[Meaning]> {
        let mask = self.buckets.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let number = (self.buckets[at] as usize).checked_sub(1)?;
            let entry = &self.entries[number];
            if *entry.key == *key {
                return self.meanings.get(entry.first as usize..)?.get(..entry.count as usize);
            }
            at = (at + 1) & mask;
        }
    }

    /// The meaning of a rank, to say where a value came from.
    pub fn of_rank(&self, rank: u16) -> Option<&Meaning> {
        self.meanings.iter().find(|meaning| meaning.rank == rank)
    }
}

fn mapped(attribute: &str, slot: Slot) -> Meaning {
    let (only, key) = match attribute.split_once('.') {
        Some(("resource", key)) => (Some(Carrier::Resource), key),
        Some(("span", key)) => (Some(Carrier::Span), key),
        Some(("log", key)) => (Some(Carrier::Log), key),
        _ => (None, attribute),
    };
    Meaning { key: key.into(), rank: 0, target: Target::Slot(slot), only }
}

/// Length and last 16 bytes tell nearly all keys apart. Only keys of ours are in the table, so
/// nobody can fill it with keys that collide.
#[inline]
pub fn hash(key: &[u8]) -> u64 {
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    let (low, high) = match key.split_last_chunk::<8>() {
        Some((rest, last)) => {
            let before = rest.last_chunk::<8>().or_else(|| key.first_chunk::<8>());
            (before.map_or(0, word), word(last))
        }
        None => (key.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)), 0),
    };
    let low = low ^ 0x9e37_79b9_7f4a_7c15;
    let high = high ^ 0xd1b5_4a32_d192_ed03 ^ key.len() as u64;
    let product = u128::from(low) * u128::from(high);
    (product >> 64) as u64 ^ product as u64
}

/// At most a quarter of the buckets is taken, so searches end and are short.
fn bucket(entries: &[Entry]) -> Vec<u32> {
    let mut buckets = vec![0; (entries.len() * 4).next_power_of_two().max(4)];
    let mask = buckets.len() - 1;
    for (number, entry) in (1..).zip(entries) {
        let mut at = hash(&entry.key) as usize & mask;
        while buckets[at] != 0 {
            at = (at + 1) & mask;
        }
        buckets[at] = number;
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_key_and_no_other() {
        let table = Table::new(&BTreeMap::new());
        let meanings =
            |key: &str| table.find(key.as_bytes(), hash(key.as_bytes())).unwrap_or_default();
        for dialect in dialects::ALL {
            for (key, _) in dialect.keys {
                assert!(meanings(key).iter().any(|found| &*found.key == *key), "{key}");
            }
        }
        assert!(meanings("gen_ai.request.modem").is_empty());
        assert!(meanings("").is_empty());
    }

    #[test]
    fn mapping_comes_before_every_dialect() {
        let rules = BTreeMap::from([
            ("arm".to_owned(), vec!["resource.service.version".to_owned()]),
            ("user".to_owned(), vec!["tenant".to_owned(), "log.user.id".to_owned()]),
        ]);
        let table = Table::new(&rules);
        let meanings = |key: &[u8]| table.find(key, hash(key)).expect("known");
        let found = meanings(b"user.id");
        assert_eq!(found[0].only, Some(Carrier::Log));
        assert!(found.len() > 1 && found[0].rank < found[1].rank);
        assert_eq!(meanings(b"service.version")[0].only, Some(Carrier::Resource));
    }
}
