//! The lookup from attribute key to what it means, built once from the config's mapping and all
//! dialects. Earlier entries have the lower rank and win, so the order of the lists is the order
//! of precedence.

use super::dialects::{self, Target};
use super::slot::Slot;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

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

/// Open addressing over the hash of the key: one hash and, nearly always, one comparison.
pub struct Table {
    meanings: Vec<Meaning>,
    /// First meaning + 1 and how many there are; 0 is free.
    buckets: Vec<(u32, u32)>,
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
        Table { buckets: bucket(&meanings), meanings }
    }

    /// What a key means.
    #[inline]
    pub fn find(&self, key: &[u8]) -> &[Meaning] {
        let mask = self.buckets.len() - 1;
        let mut at = xxh3_64(key) as usize & mask;
        loop {
            let (first, count) = self.buckets[at];
            let Some(first) = first.checked_sub(1) else { return &[] };
            let found = &self.meanings[first as usize..(first + count) as usize];
            if found[0].key.as_bytes() == key {
                return found;
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

/// At most a quarter of the buckets is taken, so searches end and are short.
fn bucket(meanings: &[Meaning]) -> Vec<(u32, u32)> {
    let mut buckets = vec![(0, 0); (meanings.len() * 4).next_power_of_two().max(4)];
    let mask = buckets.len() - 1;
    let mut first = 0;
    for same in meanings.chunk_by(|a, b| a.key == b.key) {
        let mut at = xxh3_64(same[0].key.as_bytes()) as usize & mask;
        while buckets[at].0 != 0 {
            at = (at + 1) & mask;
        }
        buckets[at] = (first + 1, same.len() as u32);
        first += same.len() as u32;
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_key_and_no_other() {
        let table = Table::new(&BTreeMap::new());
        for dialect in dialects::ALL {
            for (key, _) in dialect.keys {
                assert!(
                    table.find(key.as_bytes()).iter().any(|found| &*found.key == *key),
                    "{key}"
                );
            }
        }
        assert!(table.find(b"gen_ai.request.modem").is_empty());
        assert!(table.find(b"").is_empty());
    }

    #[test]
    fn mapping_comes_before_every_dialect() {
        let rules = BTreeMap::from([
            ("arm".to_owned(), vec!["resource.service.version".to_owned()]),
            ("user".to_owned(), vec!["tenant".to_owned(), "log.user.id".to_owned()]),
        ]);
        let table = Table::new(&rules);
        let found = table.find(b"user.id");
        assert_eq!(found[0].only, Some(Carrier::Log));
        assert!(found.len() > 1 && found[0].rank < found[1].rank);
        assert_eq!(table.find(b"service.version")[0].only, Some(Carrier::Resource));
    }
}
