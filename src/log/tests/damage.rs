//! Files that are cut short, flipped or gone, and what an earlier version wrote.

use super::*;

#[test]
fn a_file_that_is_cut_short_anywhere_is_refused_and_named() {
    let dir = TempDir::new().expect("dir");
    fill(dir.path(), &[100, 3, 0, 57, 20]);
    let path = only_segment(dir.path());
    let whole = std::fs::read(&path).expect("segment");
    for cut in (0..700).chain(whole.len() - 70..whole.len()) {
        std::fs::write(&path, &whole[..cut]).expect("cut");
        let error = open(dir.path()).err().expect("refused").to_string();
        assert!(error.contains("damaged") && error.contains("00000000.seg"), "{cut}: {error}");
    }
    let accepting = Config { accept_loss: true, ..config(dir.path()) };
    std::fs::write(&path, &whole[..3 * HEADER + 103]).expect("cut");
    let (log, _tail) =
        LocalLog::open(accepting, Arc::default()).expect("goes on").start().expect("starts");
    wait(log.append(9, batch(8, 8))).expect("appended");
    log.close();
    assert_eq!(sizes(dir.path()).expect("without the flag"), [100, 3, 0, 8]);
}

#[test]
fn a_last_segment_that_is_gone_is_missed() {
    let dir = TempDir::new().expect("dir");
    fill(dir.path(), &[3000, 3000, 3000]);
    std::fs::remove_file(segments::path(&segments::folder(dir.path()), 2)).expect("remove");
    let error = open(dir.path()).err().expect("refused").to_string();
    assert!(error.contains("follows") && error.contains("position 2"), "{error}");
    let accepting = Config { accept_loss: true, ..config(dir.path()) };
    let (log, _tail) =
        LocalLog::open(accepting, Arc::default()).expect("goes on").start().expect("starts");
    wait(log.append(9, batch(8, 8))).expect("appended");
    log.close();
    assert_eq!(sizes(dir.path()).expect("without the flag"), [3000, 3000, 8]);
}

#[test]
fn a_log_goes_on_at_a_later_position() {
    let dir = TempDir::new().expect("dir");
    fill(dir.path(), &[30, 30]);
    let mut opened = open(dir.path()).expect("opens");
    opened.skip_to(7).expect("noted");
    let (log, _tail) = opened.start().expect("starts");
    assert_eq!(wait(log.append(9, batch(8, 8))), Ok(7));
    log.close();
    let opened = open(dir.path()).expect("opens");
    let mut entries = opened.entries(0).expect("reads");
    let positions: Vec<_> = entries.by_ref().map(|entry| entry.expect("entry").0).collect();
    assert_eq!((positions, entries.lost.len()), (vec![0, 1, 7], 1));
}

#[test]
fn what_an_earlier_version_wrote_opens_and_goes_on() {
    let dir = TempDir::new().expect("dir");
    fill(dir.path(), &[30, 31]);
    let path = only_segment(dir.path());
    let mut bytes = std::fs::read(&path).expect("segment");
    // It had no trailer, and zeros where the check of a header is now.
    let end = bytes.len() - TRAILER as usize;
    bytes[end..].fill(0);
    for (at, size) in [(0, 30), (HEADER + 30, 31)] {
        bytes[at + 41..at + 44].fill(0);
        let head: [u8; HEADER] = bytes[at..at + HEADER].try_into().expect("header");
        let crc = frame::checksum(&head, &bytes[at + HEADER..at + HEADER + size]);
        bytes[at + 8..at + 12].copy_from_slice(&crc.to_le_bytes());
    }
    std::fs::write(&path, &bytes).expect("write");
    fill(dir.path(), &[32]);
    assert_eq!(sizes(dir.path()).expect("reads"), [30, 31, 32]);
    let whole = std::fs::read(&path).expect("segment");
    std::fs::write(&path, &whole[..whole.len() - 1]).expect("cut");
    // It was begun by the earlier version, so its first frame does not promise a trailer.
    assert_eq!(sizes(dir.path()).expect("as it was"), [30, 31, 32]);
}

/// What an opening reads, without its repairs.
fn read_only(folder: &Path) -> Result<Vec<usize>, Error> {
    let entries = Entries::new(folder, 0, false)?;
    let len = |body: &Body| if let Body::Batch(bytes) = body { bytes.len() } else { 0 };
    entries.map(|entry| entry.map(|pair| len(&pair.1.body))).collect()
}

/// Every bit of every frame, and every length that is too short, in a log of several segments:
/// refused with the place named, or nothing is missing.
#[test]
fn no_damage_is_passed_over() {
    let dir = TempDir::new().expect("dir");
    let written = [900, 700, 1200, 40, 2500, 333, 1800];
    fill(dir.path(), &written);
    let folder = segments::folder(dir.path());
    let (mut cases, mut seen) = (0, 0);
    let mut check = |what: &str| {
        cases += 1;
        match read_only(&folder) {
            // Old segments go: that one is gone is seen by whoever needs it.
            Ok(read) if what == "0 gone" && written.ends_with(&read) => seen += 1,
            Ok(read) => assert_eq!(read, written, "{what}"),
            Err(error) => {
                seen += 1;
                let error = error.to_string();
                assert!(
                    error.contains(".seg") && error.contains("--accept-loss"),
                    "{what}: {error}"
                );
            }
        }
    };
    for first in segments::list(&folder).expect("lists") {
        let path = segments::path(&folder, first);
        let whole = std::fs::read(&path).expect("segment");
        for byte in 0..whole.len() {
            let mut bad = whole.clone();
            bad[byte] ^= 1 << (byte % 8);
            std::fs::write(&path, &bad).expect("damage");
            check(&format!("bit {} of byte {byte} of {first}", byte % 8));
        }
        for len in (0..whole.len()).step_by(61) {
            std::fs::write(&path, &whole[..len]).expect("cut");
            check(&format!("{first} cut to {len}"));
        }
        std::fs::remove_file(&path).expect("gone");
        check(&format!("{first} gone"));
        std::fs::write(&path, &whole).expect("mended");
    }
    assert_eq!(sizes(dir.path()).expect("mended"), written);
    assert!(cases > 10_000 && seen * 10 > cases * 6, "{seen} of {cases}");
}
