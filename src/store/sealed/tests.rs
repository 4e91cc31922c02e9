//! The shelf on disk answers as a map does, over merges, restarts and damage.

use super::*;
use crate::model::shelf::{Batch, Cursor, MemoryShelf, Part, Shelf};
use proptest::prelude::*;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn batch(part: Part, keys: impl Iterator<Item = u128>) -> Arc<Batch> {
    let mut records: Vec<(u128, crate::model::shelf::Value)> =
        keys.map(|key| (key, format!("{part}/{key}").repeat(4).into_bytes().into())).collect();
    records.sort_unstable();
    records.dedup_by_key(|record| record.0);
    Arc::new(Batch { family: Family::Traces, part, records })
}

fn spread(key: u128) -> u128 {
    key.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_0c1d_2e3f_5a6b)
}

/// The tables as they are now, durable.
fn synced(sealed: &mut Sealed) -> Manifest {
    sealed.freeze().and_then(Frozen::sync).expect("sync")
}

/// Waits until all is written, no merge runs and none is due.
fn settle(sealed: &mut Sealed) {
    sealed.backlog.settle().expect("written");
    sealed.take_written().expect("takes");
    let began = Instant::now();
    let due = |sealed: &Sealed| sealed.kinds[0].job().is_some();
    while sealed.worker.writing().is_some() || due(sealed) {
        sealed.tend().expect("tends");
        assert!(began.elapsed() < Duration::from_secs(60), "a merge does not end");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Everything that a walk gives, sorted.
fn walk(shelf: &mut dyn Shelf, parts: Range<Part>) -> Vec<(u128, Part, Vec<u8>)> {
    let (mut all, mut from) = (Vec::new(), Cursor::default());
    loop {
        let page = shelf.page(Family::Traces, &parts, from).expect("page");
        all.extend(page.records.into_iter().map(|r| (r.key, r.part, r.bytes)));
        match page.next {
            Some(next) => from = next,
            None => break,
        }
    }
    all.sort();
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_answers_as_a_map_does(
        batches in prop::collection::vec(prop::collection::vec(0u128..4_000, 1..600), 1..40),
        oldest in 0u32..20,
        asked in prop::collection::vec(0u128..4_200, 1..200),
    ) {
        let dir = TempDir::new().expect("dir");
        let mut sealed = Sealed::open(dir.path(), &Manifest::default(), false).expect("opens");
        let mut map = MemoryShelf::default();
        for (at, keys) in batches.iter().enumerate() {
            let batch = batch(at as Part + 1, keys.iter().map(|key| spread(*key)));
            sealed.put(&batch).expect("put");
            map.put(&batch).expect("put");
        }
        let mut asked: Vec<u128> = asked.into_iter().map(spread).collect();
        asked.sort_unstable();
        for round in 0..3 {
            let ours = sealed.get(Family::Traces, &asked, oldest).expect("get");
            prop_assert_eq!(ours, map.get(Family::Traces, &asked, oldest).expect("get"));
            let parts = oldest..oldest + 7;
            prop_assert_eq!(walk(&mut sealed, parts.clone()), walk(&mut map, parts));
            if round == 0 {
                settle(&mut sealed);
            } else {
                let manifest = synced(&mut sealed);
                drop(sealed);
                sealed = Sealed::open(dir.path(), &manifest, false).expect("opens again");
            }
        }
    }
}

#[test]
fn small_tables_become_few() {
    let dir = TempDir::new().expect("dir");
    let mut sealed = Sealed::open(dir.path(), &Manifest::default(), false).expect("opens");
    for part in 1..=200 {
        let keys = (0..200).map(|at| spread(u128::from(part) * 1_000 + at));
        sealed.put(&batch(part, keys)).expect("put");
        settle(&mut sealed);
    }
    assert!(sealed.count() < 32, "{} tables", sealed.count());
    assert_eq!(walk(&mut sealed, 0..1_000).len(), 200 * 200);
    sealed.drop_before(Family::Traces, 190);
    assert_eq!(walk(&mut sealed, 190..1_000).len(), 11 * 200);
}

#[test]
fn a_snapshot_sees_what_was_there_and_nothing_later() {
    let dir = TempDir::new().expect("dir");
    let mut sealed = Sealed::open(dir.path(), &Manifest::default(), false).expect("opens");
    sealed.put(&batch(1, 0..100)).expect("put");
    let first = synced(&mut sealed);
    sealed.saved(&first).expect("saved");
    for part in 2..30 {
        sealed.put(&batch(part, 0..100)).expect("put");
        settle(&mut sealed);
    }
    let mut back =
        Sealed::open(dir.path(), &first, false).expect("the first one's tables are kept");
    let found = back.get(Family::Traces, &[7], 0).expect("get");
    assert_eq!((found.len(), found[0].part), (1, 1));
    // What is written now takes the place of what was written after the snapshot, in a file of
    // its own: tables are never written over.
    let files = || -> BTreeSet<_> {
        let entries = std::fs::read_dir(dir.path().join("sealed")).expect("folder");
        entries.map(|entry| entry.expect("entry").path()).collect()
    };
    let before = files();
    back.put(&batch(2, 0..50)).expect("put");
    settle(&mut back);
    assert_eq!(files().difference(&before).count(), 1, "it has a file of its own");
    sealed.get(Family::Traces, &[7], 0).expect("the other tables are as they were");
    assert_eq!(back.get(Family::Traces, &[7, 70], 0).expect("get")[0].part, 2);
    assert_eq!(back.get(Family::Traces, &[70], 0).expect("get")[0].part, 1);
}

#[test]
fn tables_that_no_snapshot_names_go() {
    let dir = TempDir::new().expect("dir");
    let mut sealed = Sealed::open(dir.path(), &Manifest::default(), false).expect("opens");
    let files = || std::fs::read_dir(dir.path().join("sealed")).expect("folder").count();
    for part in 1..100 {
        sealed.put(&batch(part, 0..100)).expect("put");
        settle(&mut sealed);
        let manifest = synced(&mut sealed);
        sealed.saved(&manifest).expect("saved");
    }
    assert!(files() < 40, "{} files", files());
    sealed.drop_before(Family::Traces, 1_000);
    for _ in 0..3 {
        let manifest = synced(&mut sealed);
        sealed.saved(&manifest).expect("saved");
        settle(&mut sealed);
    }
    assert_eq!(files(), 0);
}

#[test]
fn no_wrong_byte_gives_a_wrong_answer() {
    let dir = TempDir::new().expect("dir");
    let mut sealed = Sealed::open(dir.path(), &Manifest::default(), false).expect("opens");
    sealed.put(&batch(3, (0..16).map(spread))).expect("put");
    let manifest = synced(&mut sealed);
    let mut keys: Vec<u128> = (0..24).map(spread).collect();
    keys.sort_unstable();
    let right = sealed.get(Family::Traces, &keys, 0).expect("get");
    let path = path_of(&dir.path().join("sealed"), Family::Traces, 0);
    let whole = std::fs::read(&path).expect("file");
    let mut seen = 0;
    for at in 0..whole.len() {
        let mut bad = whole.clone();
        bad[at] ^= 1 << (at % 8);
        for damaged in [&bad[..], &whole[..at]] {
            std::fs::write(&path, damaged).expect("damage");
            let read = Sealed::open(dir.path(), &manifest, false)
                .and_then(|mut sealed| sealed.get(Family::Traces, &keys, 0));
            match read {
                Ok(records) => assert_eq!(records, right, "byte {at}"),
                Err(_) => seen += 1,
            }
        }
    }
    assert!(seen > whole.len() * 2 - 64, "{seen} of {} were seen", whole.len() * 2);
    std::fs::remove_file(&path).expect("remove");
    let missing = Sealed::open(dir.path(), &manifest, false).err().expect("refused").to_string();
    assert!(missing.contains("it is missing"), "{missing}");
}

#[test]
fn what_waits_is_in_the_snapshot_that_comes_before_it_is_written() {
    let dir = TempDir::new().expect("dir");
    let mut sealed = Sealed::open(dir.path(), &Manifest::default(), false).expect("opens");
    let (told, waits) = std::sync::mpsc::channel();
    // Before anything waits: the thread that writes is quick at times.
    sealed.backlog.hold(waits);
    sealed.put(&batch(1, (0..10).map(spread))).expect("put");
    sealed.put(&batch(2, (5..20).map(spread))).expect("put");
    let found = sealed.get(Family::Traces, &[spread(7)], 0).expect("get");
    assert_eq!((sealed.backlog.len(), found[0].part), (2, 2), "it is found in memory");
    assert_eq!(walk(&mut sealed, 0..9).len(), 20);
    let frozen = sealed.freeze().expect("frozen");
    sealed.put(&batch(3, (7..30).map(spread))).expect("put");
    let thread = std::thread::spawn(move || frozen.sync());
    drop(told);
    let manifest = thread.join().expect("ends").expect("synced");
    drop(sealed);
    let mut back = Sealed::open(dir.path(), &manifest, false).expect("opens");
    assert_eq!(back.get(Family::Traces, &[spread(7)], 0).expect("get"), found);
    assert_eq!(walk(&mut back, 0..9).len(), 20);
}

#[test]
fn who_puts_more_than_may_wait_waits() {
    let dir = TempDir::new().expect("dir");
    let mut sealed = Sealed::open(dir.path(), &Manifest::default(), false).expect("opens");
    let (told, waits) = std::sync::mpsc::channel::<()>();
    sealed.backlog.hold(waits);
    let large = |part: u128| (part * 40_000..(part + 1) * 40_000).map(spread);
    let began = Instant::now();
    let goes_on = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        drop(told);
    });
    for part in 1..=6 {
        sealed.put(&batch(part, large(u128::from(part)))).expect("put");
    }
    assert!(began.elapsed() >= Duration::from_millis(300), "it did not wait");
    goes_on.join().expect("ends");
    settle(&mut sealed);
    assert_eq!(walk(&mut sealed, 0..99).len(), 6 * 40_000);
}

#[test]
fn what_cannot_be_written_is_an_error_and_no_snapshot_names_it() {
    let dir = TempDir::new().expect("dir");
    let mut sealed = Sealed::open(dir.path(), &Manifest::default(), false).expect("opens");
    let path = path_of(&dir.path().join("sealed"), Family::Traces, 0);
    std::fs::create_dir_all(path).expect("a folder where the table should be");
    sealed.put(&batch(1, 0..10)).expect("put");
    let synced = sealed.freeze().and_then(Frozen::sync);
    assert!(matches!(synced, Err(ShelfError::Failed(_))), "{synced:?}");
    let put = sealed.put(&batch(2, 0..10));
    assert!(matches!(put, Err(ShelfError::Failed(_))), "{put:?}");
}

#[test]
fn a_table_that_ends_with_a_piece_of_its_index_is_merged() {
    let dir = TempDir::new().expect("dir");
    let mut sealed = Sealed::open(dir.path(), &Manifest::default(), false).expect("opens");
    // One block each.
    let records = |part: u32| {
        let key = move |at: u128| u128::from(part) * 1_000 + at;
        (0..table::PIECE as u128).map(move |at| (key(at), vec![part as u8; 9_000].into())).collect()
    };
    for part in 1..=merge::FAN as Part {
        let batch = Batch { family: Family::Traces, part, records: records(part) };
        sealed.put(&Arc::new(batch)).expect("put");
    }
    settle(&mut sealed);
    assert_eq!(sealed.count(), 1);
    assert_eq!(walk(&mut sealed, 0..99).len(), merge::FAN * table::PIECE);
}

/// Large tables of 600 keys each, with a catalog of the oldest.
fn with_catalogs(dir: &TempDir, tables: Part) -> Sealed {
    let mut sealed = Sealed::open(dir.path(), &Manifest::default(), false).expect("opens");
    for part in 1..=tables {
        let keys = (0..600).map(|at| spread(u128::from(part) * 500 + at));
        sealed.put(&batch(part, keys)).expect("put");
        settle(&mut sealed);
    }
    sealed
}

fn catalogs(sealed: &Sealed) -> &[Catalog] {
    sealed.kinds[Family::Traces as usize].catalogs()
}

/// The parts of the newest records of keys that were put by `with_catalogs`, and of others.
fn parts(sealed: &mut Sealed, tables: Part) -> Vec<Option<Part>> {
    let newest = |part: Part| {
        let key = spread(u128::from(part) * 500 + 50);
        let found = sealed.get(Family::Traces, &[key], 0).expect("get");
        found.first().map(|record| record.part)
    };
    (0..=tables + 1).map(newest).collect()
}

#[test]
fn few_catalogs_cover_all_large_tables_and_are_there_after_a_restart() {
    let dir = TempDir::new().expect("dir");
    let mut sealed = with_catalogs(&dir, 40);
    let covered: usize = catalogs(&sealed).iter().map(|one| one.tables.len()).sum();
    assert!((38..=40).contains(&covered), "{covered} of 40 tables");
    assert!(catalogs(&sealed).len() <= 4, "{} catalogs", catalogs(&sealed).len());
    assert_eq!(sealed.kinds[0].uncovered_mut().len(), 40 - covered);
    // A key of two parts is that of the later one.
    let right: Vec<_> = (0..=41).map(|part| (1..=41).contains(&part).then_some(part)).collect();
    let shifted = |part: &Option<Part>| part.map(|part| part.min(40));
    let right: Vec<_> = right.iter().map(shifted).collect();
    assert_eq!(parts(&mut sealed, 40), right);
    let manifest = synced(&mut sealed);
    drop(sealed);
    let mut sealed = Sealed::open(dir.path(), &manifest, false).expect("opens again");
    assert_eq!(parts(&mut sealed, 40), right);
    let tables =
        |sealed: &Sealed| -> usize { catalogs(sealed).iter().map(|one| one.tables.len()).sum() };
    assert_eq!(tables(&sealed), covered, "no catalog was left out");
    sealed.drop_before(Family::Traces, 30);
    assert_eq!(parts(&mut sealed, 40)[30..], right[30..]);
    assert_eq!(parts(&mut sealed, 40)[..29], [None; 29]);
}

#[test]
fn a_damaged_catalog_is_gone_without_and_made_again() {
    let dir = TempDir::new().expect("dir");
    let mut sealed = with_catalogs(&dir, 20);
    let right = parts(&mut sealed, 20);
    for missing in [false, true] {
        let manifest = synced(&mut sealed);
        for catalog in catalogs(&sealed) {
            // All but its end.
            let whole = std::fs::metadata(catalog.path()).expect("file").len();
            let file = std::fs::OpenOptions::new().write(true).open(catalog.path()).expect("file");
            use std::os::unix::fs::FileExt;
            (0..whole - 1_000).for_each(|at| file.write_all_at(&[7], at).expect("damage"));
            if missing {
                std::fs::remove_file(catalog.path()).expect("removed");
            }
        }
        drop(sealed);
        sealed = Sealed::open(dir.path(), &manifest, false).expect("opens all the same");
        assert_eq!(catalogs(&sealed).is_empty(), missing);
        assert_eq!(parts(&mut sealed, 20), right);
        assert!(catalogs(&sealed).is_empty(), "what is damaged is not asked again");
        settle(&mut sealed);
        assert!(!catalogs(&sealed).is_empty());
        assert_eq!(parts(&mut sealed, 20), right);
    }
}
