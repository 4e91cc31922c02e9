//! A catalog names the tables of a key, over merges and damage.

use super::write::Writer;
use super::*;
use crate::store::sealed::worker::{Job, Made};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use tempfile::TempDir;

/// A catalog of tables that have these places.
fn written(dir: &TempDir, number: u64, tables: &[u64], keys: &[(u64, u16)]) -> Catalog {
    let path = dir.path().join(number.to_string());
    let mut writer = Writer::create(&path, keys.len() as u64, 1).expect("created");
    for (place, table) in keys {
        assert!(writer.push(*place, *table).expect("pushed"), "{place} is crowded");
    }
    writer.finish(Family::Traces, tables).expect("written");
    Catalog::open(&path, number, Family::Traces).expect("opens")
}

fn found(catalog: &Catalog, place: u64) -> Vec<u64> {
    let mut names = Vec::new();
    catalog.find(place, &mut names).expect("read");
    names.iter().map(|name| catalog.tables[usize::from(*name)]).collect()
}

/// As they come out when a catalog is read from its beginning.
fn merged(dir: &TempDir, catalogs: &[Catalog], covers: &[u64]) -> Catalog {
    let build = build::Build {
        family: Family::Traces,
        catalogs: catalogs.iter().map(|one| (one.number, one.path().to_owned())).collect(),
        tables: Vec::new(),
        covers: covers.to_vec(),
        keys: catalogs.iter().map(|one| one.keys).sum(),
    };
    let made = build.make(&dir.path().join("made"), 99, &AtomicBool::new(false));
    match made.expect("made") {
        Made::Catalog(catalog) => *catalog,
        _ => panic!("no catalog was made"),
    }
}

fn places() -> impl Strategy<Value = Vec<(u64, u16)>> {
    // Evenly, and so near one another that lines go on in the next.
    let near = (1u64 << PLACE_BITS) / 3;
    let place = prop_oneof![0u64..1 << PLACE_BITS, near..near + 15];
    prop::collection::btree_set((place, 0u16..5), 0..2_000)
        .prop_map(|all| all.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_place_names_its_tables(old in places(), new in places()) {
        let dir = TempDir::new().expect("dir");
        let catalogs = [
            written(&dir, 1, &[10, 11, 12, 13, 14], &old),
            written(&dir, 2, &[20, 21, 22, 23, 24], &new),
        ];
        // Tables 10 and 11 are gone.
        let covers = [12, 13, 14, 20, 21, 22, 23, 24];
        let merged = merged(&dir, &catalogs, &covers);
        let named = |keys: &[(u64, u16)], ten: u64| -> BTreeSet<(u64, u64)> {
            keys.iter().map(|(place, table)| (*place, ten + u64::from(*table))).collect()
        };
        let (old, new) = (named(&old, 10), named(&new, 20));
        let places = old.iter().chain(&new).map(|key| key.0).chain(0..50);
        let (mut all, mut wrong) = (0, 0);
        for place in places {
            let right = |keys: &BTreeSet<(u64, u64)>| -> Vec<u64> {
                keys.range((place, 0)..=(place, 99)).rev().map(|key| key.1).collect()
            };
            let still = right(&new).into_iter().chain(right(&old)).filter(|one| *one >= 12);
            let asked = [(&catalogs[0], right(&old)), (&catalogs[1], right(&new))];
            for (catalog, right) in asked.into_iter().chain([(&merged, still.collect())]) {
                let mut named = found(catalog, place);
                prop_assert!(named.is_sorted_by(|newer, older| newer >= older));
                all += named.len();
                named.retain(|table| !right.contains(table));
                wrong += named.len();
                prop_assert!(right.iter().all(|table| found(catalog, place).contains(table)));
            }
        }
        // Where lines are full, an entry may look like one of a place two lines before.
        prop_assert!(wrong * 20 <= all, "{} of {}", wrong, all);
    }
}

#[test]
fn too_many_that_are_nearly_the_same_are_refused() {
    let dir = TempDir::new().expect("dir");
    let mut writer = Writer::create(&dir.path().join("it"), 10_000, 1).expect("created");
    let crowded = (0..10_000).find(|_| !writer.push(1 << 16, 0).expect("pushed"));
    // Those of a line, and of some after it.
    assert!(crowded.is_some_and(|at| at > 2 * CAPACITY), "{crowded:?}");
}

#[test]
fn no_wrong_byte_gives_a_wrong_answer() {
    let dir = TempDir::new().expect("dir");
    let keys: Vec<(u64, u16)> = (0..300).map(|at| (at << 13, (at % 3) as u16)).collect();
    let catalog = written(&dir, 1, &[10, 11, 12], &keys);
    let right: Vec<Vec<u64>> = keys.iter().map(|key| found(&catalog, key.0)).collect();
    let whole = std::fs::read(catalog.path()).expect("file");
    let mut seen = 0;
    for at in 0..whole.len() {
        let mut bad = whole.clone();
        bad[at] ^= 1 << (at % 8);
        for damaged in [&bad[..], &whole[..at]] {
            std::fs::write(catalog.path(), damaged).expect("damage");
            let read = Catalog::open(catalog.path(), 1, Family::Traces);
            let mut names = Vec::new();
            let mut ask = |key: &(u64, u16)| {
                let read = read.as_ref().map_err(Clone::clone)?;
                read.find(key.0, &mut names)?;
                Ok(names.iter().map(|name| read.tables[usize::from(*name)]).collect())
            };
            let read: Result<Vec<Vec<u64>>, ShelfError> = keys.iter().map(&mut ask).collect();
            match read {
                Ok(read) => assert_eq!(read, right, "byte {at}"),
                Err(_) => seen += 1,
            }
        }
    }
    assert!(seen > whole.len(), "{seen} of {} were seen", whole.len() * 2);
}
