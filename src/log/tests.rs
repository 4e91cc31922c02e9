//! The log against a real folder: round trips, torn tails, damage, refusals, group commit.

mod damage;

use super::files::Faults;
use super::frame::{self, HEADER, Header};
use super::*;
use crate::model::{Entry, Refused};
use proptest::prelude::*;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use tempfile::TempDir;

fn config(dir: &Path) -> Config {
    Config {
        dir: dir.to_owned(),
        segment_bytes: 4096,
        queue_bytes_max: 1 << 20,
        disk_free_min: 0,
        accept_loss: false,
    }
}

fn open(dir: &Path) -> Result<Opened, Error> {
    LocalLog::open(config(dir), Arc::default())
}

fn wait(appended: Appended) -> Result<Position, Refused> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    runtime.block_on(appended)
}

fn batch(size: usize, fill: u8) -> Body {
    Body::Batch(vec![fill; size])
}

/// Appends bodies one by one and closes.
fn fill(dir: &Path, sizes: &[usize]) {
    let (log, _tail) = open(dir).expect("opens").start().expect("starts");
    for (at, size) in sizes.iter().enumerate() {
        wait(log.append(at as u64, batch(*size, at as u8 | 128))).expect("appended");
    }
    log.close();
}

fn all(opened: &Opened, from: Position) -> Result<Vec<(Position, Entry)>, Error> {
    opened.entries(from)?.collect()
}

fn sizes(dir: &Path) -> Result<Vec<usize>, Error> {
    let opened = open(dir)?;
    let entries = all(&opened, opened.first())?;
    Ok(entries
        .iter()
        .map(|(_, entry)| match &entry.body {
            Body::Batch(bytes) => bytes.len(),
            other => panic!("{other:?}"),
        })
        .collect())
}

fn only_segment(dir: &Path) -> PathBuf {
    segments::path(&segments::folder(dir), 0)
}

#[test]
fn entries_come_back_over_segment_borders() {
    let dir = TempDir::new().expect("dir");
    let written: Vec<usize> = (0..60).map(|n| n * 37 % 900).collect();
    fill(dir.path(), &written);
    let opened = open(dir.path()).expect("opens");
    assert!(opened.firsts.len() > 5, "{:?}", opened.firsts);
    assert_eq!((opened.first(), opened.next()), (0, 60));
    let entries = all(&opened, 0).expect("reads");
    for (at, (position, entry)) in entries.into_iter().enumerate() {
        assert_eq!((position, entry.stamp), (at as u64, at as u64));
        assert_eq!(entry.body, batch(written[at], at as u8 | 128));
    }
    let late: Vec<_> = read(dir.path(), 41).expect("reads").map(|e| e.expect("entry").0).collect();
    assert_eq!(late, (41..60).collect::<Vec<_>>());
}

#[test]
fn an_entry_larger_than_a_segment_gets_its_own() {
    let dir = TempDir::new().expect("dir");
    fill(dir.path(), &[10, 20_000, 30, 9_000]);
    assert_eq!(sizes(dir.path()).expect("reads"), [10, 20_000, 30, 9_000]);
}

#[test]
fn a_write_that_stopped_at_any_byte_keeps_everything_before() {
    let dir = TempDir::new().expect("dir");
    let written = [100, 3, 0, 57, 20];
    fill(dir.path(), &written);
    let path = only_segment(dir.path());
    let whole = std::fs::read(&path).expect("segment");
    let ends: Vec<usize> = written
        .iter()
        .scan(0, |end, size| {
            *end += HEADER + size;
            Some(*end)
        })
        .collect();
    for cut in 0..=ends[4] {
        let kept = ends.iter().filter(|end| **end <= cut).count();
        // A few bytes less are what a flipped bit could be as well: no disk stops there.
        let into = cut - kept.checked_sub(1).map_or(0, |last| ends[last]);
        if into > 0 && ((29..HEADER).contains(&into) || ends[kept] - cut < 16) {
            continue;
        }
        let mut torn = whole.clone();
        torn[cut..ends[4]].fill(0);
        std::fs::write(&path, &torn).expect("cut");
        assert_eq!(sizes(dir.path()).expect("reads"), written[..kept], "cut at {cut}");
        // What is appended after the cut is read after it.
        fill(dir.path(), &[7]);
        assert_eq!(sizes(dir.path()).expect("reads")[kept..], [7], "cut at {cut}");
    }
}

#[test]
fn a_flipped_bit_before_the_end_is_refused_and_named() {
    let dir = TempDir::new().expect("dir");
    fill(dir.path(), &[30, 30, 30]);
    let path = only_segment(dir.path());
    let whole = std::fs::read(&path).expect("segment");
    let frame = HEADER + 30;
    for byte in 0..2 * frame {
        let mut bad = whole.clone();
        bad[byte] ^= 1 << (byte % 8);
        std::fs::write(&path, &bad).expect("damage");
        let error = open(dir.path()).err().expect("refused").to_string();
        let place = format!("damaged at byte {}", byte / frame * frame);
        assert!(error.contains(&place), "{error}");
        assert!(error.contains("00000000.seg") && error.contains("--accept-loss"), "{error}");
    }
}

#[test]
fn damage_and_gaps_in_earlier_segments_are_refused_and_named() {
    let dir = TempDir::new().expect("dir");
    fill(dir.path(), &[3000, 3000, 3000, 3000]);
    let second = segments::path(&segments::folder(dir.path()), 1);
    let whole = std::fs::read(&second).expect("segment");
    let mut bad = whole.clone();
    bad[2000] ^= 4;
    std::fs::write(&second, &bad).expect("damage");
    let opened = open(dir.path()).expect("the end is fine");
    let error = all(&opened, 0).expect_err("damaged").to_string();
    assert!(error.contains("byte 0 of") && error.contains("positions 1 to 2"), "{error}");
    assert_eq!(all(&opened, 2).expect("not touched").len(), 2);
    std::fs::remove_file(&second).expect("remove");
    let error = all(&open(dir.path()).expect("opens"), 0).expect_err("gap").to_string();
    assert!(error.contains("missing") && error.contains("positions 1 to 2"), "{error}");
}

#[test]
fn an_accepted_loss_is_named_once_and_stays_accepted() {
    let dir = TempDir::new().expect("dir");
    fill(dir.path(), &[30, 31, 32, 33]);
    let path = only_segment(dir.path());
    let mut bytes = std::fs::read(&path).expect("segment");
    bytes[HEADER + 30 + 9] ^= 1;
    std::fs::write(&path, &bytes).expect("damage");
    assert!(sizes(dir.path()).is_err());
    let accepting = Config { accept_loss: true, ..config(dir.path()) };
    let opened = LocalLog::open(accepting, Arc::default()).expect("goes on");
    let mut entries = opened.entries(0).expect("reads");
    let positions: Vec<_> = entries.by_ref().map(|entry| entry.expect("entry").0).collect();
    assert_eq!(positions, [0, 2, 3]);
    assert_eq!((entries.lost[0].from, entries.lost[0].to), (1, 2));
    assert_eq!(sizes(dir.path()).expect("without the flag"), [30, 32, 33]);
}

#[test]
fn stale_bytes_of_an_earlier_epoch_do_not_validate() {
    let dir = TempDir::new().expect("dir");
    fill(dir.path(), &[30, 30]);
    let path = only_segment(dir.path());
    let mut bytes = std::fs::read(&path).expect("segment");
    let end = 2 * (HEADER + 30);
    let stale = Header { len: 0, crc: 0, epoch: 1, seq: 2, stamp: 0, group: 0, kind: 1 };
    let mut framed = Vec::new();
    frame::append(&mut framed, stale, b"stale");
    bytes[end..end + framed.len()].copy_from_slice(&framed);
    std::fs::write(&path, &bytes).expect("write");
    let opened = open(dir.path()).expect("opens");
    assert_eq!(opened.cut, Some((path, end as u64)));
    assert_eq!(opened.next(), 2);
}

/// A group that the disk wrote out of order: later blocks are there, an earlier one is zeros.
fn torn_group(durable_before_last: u64) -> (TempDir, Vec<u8>, usize) {
    let dir = TempDir::new().expect("dir");
    fill(dir.path(), &[30]);
    let mut bytes = std::fs::read(only_segment(dir.path())).expect("segment");
    let mut framed = Vec::new();
    for (seq, group) in [(1, 0), (2, 1), (3, 3 - durable_before_last)] {
        let header = Header {
            len: 0,
            crc: 0,
            epoch: u64::MAX / 2,
            seq,
            stamp: 0,
            group: group as u32,
            kind: 1,
        };
        frame::append(&mut framed, header, &[77; 900]);
    }
    let end = HEADER + 30;
    bytes[end..end + framed.len()].copy_from_slice(&framed);
    std::fs::write(only_segment(dir.path()), &bytes).expect("write");
    assert_eq!(sizes(dir.path()).expect("whole").len(), 4);
    (dir, bytes, end)
}

#[test]
fn a_group_torn_out_of_order_is_cut() {
    let (dir, mut bytes, _) = torn_group(1);
    bytes[512..1024].fill(0);
    std::fs::write(only_segment(dir.path()), &bytes).expect("write");
    assert_eq!(sizes(dir.path()).expect("cut"), [30]);
}

#[test]
fn a_hole_in_what_was_durable_is_damage() {
    let (dir, mut bytes, end) = torn_group(2);
    bytes[512..1024].fill(0);
    std::fs::write(only_segment(dir.path()), &bytes).expect("write");
    let error = open(dir.path()).err().expect("refused").to_string();
    assert!(error.contains(&format!("byte {end} of")), "{error}");
}

#[test]
fn many_requests_share_a_sync_and_arrive_in_order() {
    let dir = TempDir::new().expect("dir");
    let files = Files::default();
    let roomy = Config { segment_bytes: 1 << 20, ..config(dir.path()) };
    let opened = Opened::with(roomy, Arc::default(), files.clone()).expect("opens");
    let (log, mut tail) = opened.start().expect("starts");
    wait(log.append(0, Body::Tick)).expect("first");
    let before = files.faults.syncs.load(SeqCst);
    let appended: Vec<Appended> = (0..500).map(|n| log.append(n, batch(200, 1))).collect();
    let mut positions: Vec<_> = appended.into_iter().map(|a| wait(a).expect("appended")).collect();
    positions.sort_unstable();
    assert_eq!(positions, (1..=500).collect::<Vec<_>>());
    let syncs = files.faults.syncs.load(SeqCst) - before;
    assert!(syncs < 250, "{syncs} syncs for 500 appends");
    log.close();
    for expected in 0..=500 {
        match tail.recv_timeout(Duration::from_secs(5)) {
            Next::Entry(position, _) => assert_eq!(position, expected),
            other => panic!("{other:?} at {expected}"),
        }
    }
    assert!(matches!(tail.recv_timeout(Duration::ZERO), Next::Closed));
    assert_eq!(log.depth(), (501, 0));
    assert_eq!(wait(log.append(0, Body::Tick)), Err(Refused::Closing));
}

#[test]
fn the_queue_is_bounded_until_the_engine_takes() {
    let dir = TempDir::new().expect("dir");
    let small = Config { queue_bytes_max: 1000, ..config(dir.path()) };
    let (log, mut tail) =
        LocalLog::open(small, Arc::default()).expect("opens").start().expect("starts");
    wait(log.append(1, batch(5_000, 1))).expect("one alone goes through");
    assert_eq!(wait(log.append(2, batch(10, 2))), Err(Refused::Busy));
    assert!(matches!(tail.recv_timeout(Duration::from_secs(5)), Next::Entry(0, _)));
    assert_eq!(wait(log.append(2, batch(10, 2))), Ok(1));
    assert!(matches!(tail.recv_timeout(Duration::from_secs(5)), Next::Entry(1, _)));
    assert!(matches!(tail.recv_timeout(Duration::from_millis(1)), Next::Idle));
    assert_eq!(log.depth().1, 0);
}

fn faulty(dir: &Path) -> (LocalLog, Tail, Arc<Faults>) {
    let files = Files::default();
    let opened = Opened::with(config(dir), Arc::default(), files.clone()).expect("opens");
    let (log, tail) = opened.start().expect("starts");
    (log, tail, files.faults)
}

#[test]
fn a_full_disk_refuses_for_now_and_keeps_nothing() {
    let dir = TempDir::new().expect("dir");
    let (log, _tail, faults) = faulty(dir.path());
    wait(log.append(0, batch(50, 1))).expect("appended");
    faults.write.store(true, SeqCst);
    for _ in 0..3 {
        assert_eq!(wait(log.append(1, batch(70, 2))), Err(Refused::Disk));
    }
    faults.write.store(false, SeqCst);
    assert_eq!(wait(log.append(2, batch(33, 3))), Ok(1));
    assert!(!log.poisoned());
    log.close();
    assert_eq!(sizes(dir.path()).expect("reads"), [50, 33]);
}

#[test]
fn a_segment_that_cannot_be_made_is_tried_again() {
    let dir = TempDir::new().expect("dir");
    let (log, _tail, faults) = faulty(dir.path());
    wait(log.append(0, batch(3000, 1))).expect("appended");
    wait(log.append(0, batch(3000, 1))).expect("the one made ahead, at the latest");
    faults.create.store(true, SeqCst);
    // The next one may have been made ahead already.
    let refused = (0..3).any(|_| wait(log.append(1, batch(3000, 2))) == Err(Refused::Disk));
    assert!(refused);
    faults.create.store(false, SeqCst);
    // One answer of the preparer may still be the failure from before.
    let taken = (0..2).any(|_| wait(log.append(1, batch(3000, 2))).is_ok());
    assert!(taken);
    let next = log.next();
    log.close();
    assert_eq!(sizes(dir.path()).expect("reads").len() as u64, next);
}

#[test]
fn a_disk_with_too_little_left_refuses() {
    let dir = TempDir::new().expect("dir");
    let greedy = Config { disk_free_min: u64::MAX / 2, ..config(dir.path()) };
    let opened = LocalLog::open(greedy, Arc::default()).expect("opens");
    let (log, _tail) = opened.start().expect("starts");
    assert_eq!(wait(log.append(0, Body::Tick)), Err(Refused::Disk));
}

#[test]
fn a_failed_sync_poisons_for_good() {
    let dir = TempDir::new().expect("dir");
    let (log, mut tail, faults) = faulty(dir.path());
    wait(log.append(0, batch(50, 1))).expect("appended");
    faults.sync.store(true, SeqCst);
    assert_eq!(wait(log.append(1, batch(50, 2))), Err(Refused::Failed));
    faults.sync.store(false, SeqCst);
    assert!(log.poisoned());
    assert_eq!(wait(log.append(2, batch(50, 3))), Err(Refused::Failed));
    assert!(matches!(tail.recv_timeout(Duration::from_secs(5)), Next::Entry(0, _)));
    assert!(matches!(tail.recv_timeout(Duration::from_millis(1)), Next::Idle));
    log.close();
    assert!(matches!(tail.recv_timeout(Duration::from_millis(1)), Next::Closed));
}

#[test]
fn segments_go_when_they_are_not_needed_and_old_or_too_many() {
    let dir = TempDir::new().expect("dir");
    // Stamps are 0, 1, 2, 3, 4: a segment each.
    fill(dir.path(), &[3000; 5]);
    let (log, _tail) = open(dir.path()).expect("opens").start().expect("starts");
    let trim = |from, since, bytes_max| log.trim(Keep { from, since, bytes_max }).expect("trims");
    let never = u64::MAX;
    assert_eq!(trim(0, never, 0), 0, "all of it is needed");
    assert_eq!(trim(5, 0, never), 0, "nothing is old");
    assert_eq!((trim(5, 1, never), log.first()), (1, 1));
    assert_eq!((trim(2, never, never), log.first()), (1, 2), "no more than is not needed");
    assert_eq!((trim(5, 0, 2 * 4096), log.first()), (1, 3), "too many bytes, old or not");
    assert_eq!(trim(5, 0, 2 * 4096), 0);
    assert_eq!(trim(100, never, 0), 1, "never the last");
    log.close();
    let opened = open(dir.path()).expect("opens");
    assert_eq!((opened.first(), opened.next()), (4, 5));
    assert_eq!(all(&opened, 0).expect("reads").len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Rounds of appending, then losing some bytes at the end: the log always holds a prefix of
    /// what was written, and never less than what is before the cut.
    #[test]
    fn a_torn_log_is_a_prefix(
        rounds in prop::collection::vec((prop::collection::vec(0usize..1500, 1..8), 0u64..3000), 1..5)
    ) {
        let dir = TempDir::new().expect("dir");
        let mut model: Vec<usize> = Vec::new();
        for (written, tear) in rounds {
            fill(dir.path(), &written);
            model.extend(&written);
            prop_assert_eq!(&sizes(dir.path()).expect("whole"), &model);
            let kept = tear_last(dir.path(), tear);
            model.truncate(kept);
            prop_assert_eq!(&sizes(dir.path()).expect("torn"), &model);
        }
    }
}

/// Takes the last bytes of the last segment's frames away, as if they had not been written; says
/// how many entries of the whole log are before that.
fn tear_last(dir: &Path, tear: u64) -> usize {
    let opened = open(dir).expect("opens");
    let path = segments::path(&opened.folder, *opened.firsts.last().expect("segment"));
    let mut bytes = std::fs::read(&path).expect("segment");
    let end = opened.end.offset as usize;
    // Disks write whole sectors.
    let from = end.saturating_sub(tear as usize) / 512 * 512;
    bytes[from..end].fill(0);
    let first = *opened.firsts.last().expect("segment");
    let mut kept = first as usize;
    let mut at = 0;
    for (_, entry) in all(&opened, first).expect("reads") {
        let Body::Batch(payload) = entry.body else { panic!("a batch") };
        at += HEADER + payload.len();
        kept += usize::from(at <= from);
    }
    std::fs::write(&path, &bytes).expect("tear");
    kept
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Power loss in the middle of a group: any of its sectors may be on the disk or not. What
    /// was durable stays, what is kept of the group is a prefix, and the start is never refused.
    #[test]
    fn power_loss_in_a_group_keeps_what_was_durable(
        durable in prop::collection::vec(0usize..400, 1..4),
        group in prop::collection::vec(0usize..900, 1..6),
        written in prop::collection::vec(any::<bool>(), 12),
    ) {
        let dir = TempDir::new().expect("dir");
        fill(dir.path(), &durable);
        let path = only_segment(dir.path());
        let mut bytes = std::fs::read(&path).expect("segment");
        bytes.resize(12 * 512, 0);
        let end = bytes.len() - TRAILER as usize;
        bytes[4096 - TRAILER as usize..4096].fill(0);
        bytes[end..].copy_from_slice(&trailer::open(12 * 512));
        let before = bytes.clone();
        let mut at: usize = durable.iter().map(|size| HEADER + size).sum();
        for (index, size) in group.iter().enumerate() {
            let seq = (durable.len() + index) as u64;
            let (epoch, group) = (u64::MAX / 2, index as u32);
            let header = Header { len: 0, crc: 0, epoch, seq, stamp: 0, group, kind: 1 };
            let mut framed = Vec::new();
            frame::append(&mut framed, header, &vec![77; *size]);
            bytes[at..at + framed.len()].copy_from_slice(&framed);
            at += framed.len();
        }
        for (sector, _) in written.iter().enumerate().filter(|(_, kept)| !**kept) {
            let range = sector * 512..(sector + 1) * 512;
            bytes[range.clone()].copy_from_slice(&before[range]);
        }
        std::fs::write(&path, &bytes).expect("write");
        let whole: Vec<usize> = durable.iter().chain(&group).copied().collect();
        let kept = sizes(dir.path()).expect("never refused");
        prop_assert!(kept.len() >= durable.len());
        prop_assert_eq!(&kept[..], &whole[..kept.len()]);
    }
}
