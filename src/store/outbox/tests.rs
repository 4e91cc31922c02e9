//! Items, cursors, repeats, restarts and trimming of the outbox.

use super::*;
use crate::model::delivery::{EVENT_SCHEMA, HOUR, Why};
use tempfile::TempDir;

fn cut(position: u64, hour: u64) -> Cut {
    let text = include_str!("../../../tests/fixtures/cut.json");
    let cut: Cut = serde_json::from_str(text).expect("fixture");
    let mut cut = Cut { position, at: hour * HOUR + 5, why: Why::Hour, ..cut };
    for record in &mut cut.records {
        record.collector.position.insert("0".into(), position);
        record.collector.exported_at = Some(format!("{hour}"));
    }
    cut
}

fn event(id: &str) -> Event {
    Event {
        schema: EVENT_SCHEMA.into(),
        id: id.into(),
        at: "2026-11-24T10:00:00Z".into(),
        ..Event::default()
    }
}

fn all(outbox: &Outbox) -> Vec<Item> {
    let mut out: Vec<Item> = Vec::new();
    while let Some(item) = outbox.next(out.last().map(|i| i.key), &|_| true).expect("reads") {
        out.push(item);
    }
    out
}

#[test]
fn items_come_back_in_order_after_a_restart() {
    let dir = TempDir::new().expect("dir");
    let first = cut(7, 100);
    {
        let outbox = Outbox::open(dir.path()).expect("opens");
        let put = outbox.put(7, &[event("a"), event("b")], Some(&first)).expect("puts");
        assert_eq!(put, Put { items: 3, records: 7 });
        outbox.put(9, &[event("c")], None).expect("puts");
        outbox.sync(12).expect("syncs");
    }
    let outbox = Outbox::open(dir.path()).expect("opens");
    assert_eq!(outbox.position().expect("reads"), 12);
    assert_eq!(*outbox.newest().borrow(), Some(ItemKey { position: 9, ordinal: 0 }));
    let items = all(&outbox);
    let keys: Vec<_> = items.iter().map(|i| (i.key.position, i.key.ordinal)).collect();
    assert_eq!(keys, [(7, 0), (7, 1), (7, 2), (9, 0)]);
    assert_eq!(items[2].body, Body::Cut(Box::new(first)));
    let cuts = outbox.waiting(None, &|kind| kind == ItemKind::Cut).expect("counts");
    assert_eq!((cuts, outbox.waiting(Some(items[1].key), &|_| true).expect("counts")), (1, 2));
}

#[test]
fn what_is_put_again_is_ignored() {
    let dir = TempDir::new().expect("dir");
    let outbox = Outbox::open(dir.path()).expect("opens");
    outbox.put(7, &[event("a")], Some(&cut(7, 100))).expect("puts");
    let before = all(&outbox);
    for position in [7, 3] {
        let put = outbox.put(position, &[event("z")], Some(&cut(position, 99))).expect("puts");
        assert_eq!(put, Put::default());
    }
    assert_eq!(all(&outbox), before);
}

#[test]
fn a_record_that_says_the_same_is_left_out() {
    let dir = TempDir::new().expect("dir");
    let outbox = Outbox::open(dir.path()).expect("opens");
    outbox.put(7, &[], Some(&cut(7, 100))).expect("puts");
    let mut later = cut(9, 101);
    later.records[0].traffic.calls += 1;
    // The sample ratio of the experiment is no news of a run.
    later.records[1].sample_ratio = None;
    let put = outbox.put(9, &[], Some(&later)).expect("puts");
    assert_eq!(put, Put { items: 1, records: 1 });
    let run = later.records[0].run.id.clone();
    let history = |position| outbox.history(&run, 2, position).expect("reads");
    let hours: Vec<u64> = history(u64::MAX).iter().map(|row| row.0).collect();
    assert_eq!(hours, [99, 100]);
    assert_eq!(history(8).len(), 1);
    assert_eq!(history(9)[1].1, later.records[0]);
}

#[test]
fn sinks_keep_their_place() {
    let dir = TempDir::new().expect("dir");
    let done = Some(ItemKey { position: 7, ordinal: 2 });
    let progress = Progress { done, delivered: 3, ..Progress::default() };
    {
        let outbox = Outbox::open(dir.path()).expect("opens");
        assert_eq!(outbox.progress("mlflow:x").expect("reads"), None);
        outbox.set_progress("mlflow:x", &progress).expect("writes");
    }
    let outbox = Outbox::open(dir.path()).expect("opens");
    assert_eq!(outbox.progress("mlflow:x").expect("reads"), Some(progress));
}

#[test]
fn old_items_go_with_their_records() {
    let dir = TempDir::new().expect("dir");
    let outbox = Outbox::open(dir.path()).expect("opens");
    for at in 0..5u64 {
        let mut cut = cut(10 + at, 100 + at);
        cut.records.iter_mut().for_each(|record| record.traffic.calls += at as i64);
        outbox.put(10 + at, &[], Some(&cut)).expect("puts");
    }
    assert_eq!(outbox.trim(50 * HOUR, u64::MAX).expect("trims"), None);
    let last = outbox.trim(102 * HOUR, u64::MAX).expect("trims");
    assert_eq!(last, Some(ItemKey { position: 11, ordinal: 0 }));
    assert_eq!(outbox.trimmed().expect("reads"), last);
    let run = cut(10, 100).records[0].run.id.clone();
    assert_eq!(all(&outbox).len(), 3);
    assert_eq!(outbox.history(&run, 2, u64::MAX).expect("reads").len(), 3);
}

#[test]
fn a_damaged_outbox_says_so() {
    let dir = TempDir::new().expect("dir");
    std::fs::write(dir.path().join("outbox"), b"no folder").expect("writes");
    let error = Outbox::open(dir.path()).map(|_| ()).expect_err("a file is there");
    assert!(error.to_string().contains("outbox"), "{error}");
}

#[test]
fn too_many_bytes_go_and_the_newest_stay() {
    let dir = TempDir::new().expect("dir");
    let outbox = Outbox::open(dir.path()).expect("opens");
    // Names that do not compress: each event has a few kilobytes.
    let noise = |seed: u64| -> String {
        let mut x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut next = || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            format!("{x:016x}")
        };
        (0..256).map(|_| next()).collect()
    };
    for position in 1..4_000u64 {
        outbox.put(position, &[event(&noise(position))], None).expect("puts");
    }
    outbox.sync(4_000).expect("syncs");
    let bound = 2 << 20;
    while outbox.disk_bytes() <= bound {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let mut rounds = 0;
    while outbox.disk_bytes() > bound {
        outbox.trim(0, bound).expect("trims");
        rounds += 1;
        assert!(rounds < 100, "{} bytes", outbox.disk_bytes());
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let left = all(&outbox);
    assert_eq!(left.last().expect("the newest").key.position, 3_999);
    assert!(left.len() > 300 && left.len() < 3_000, "{} of 3,999 stay", left.len());
}
