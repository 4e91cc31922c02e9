//! Recovery of the log. Whatever is done to its files: what comes back was written, at its own
//! position; without `--accept-loss` it is all that was written up to some place, or the damage is
//! named; and what is appended afterwards comes after it.

use armspan::log::{Config, Error, LocalLog, Opened};
use armspan::model::{Body, Entry, Log, Position};
use std::path::Path;
use std::sync::OnceLock;
use tempfile::TempDir;

/// Bytes before the payload of a frame.
const HEADER: usize = 44;

struct Template {
    files: Vec<(String, Vec<u8>)>,
    entries: Vec<Entry>,
}

fn config(dir: &Path, accept_loss: bool) -> Config {
    Config {
        dir: dir.to_owned(),
        segment_bytes: 1024,
        queue_bytes_max: 1 << 20,
        disk_free_min: 0,
        accept_loss,
    }
}

fn open(dir: &Path, accept_loss: bool) -> Result<Opened, Error> {
    LocalLog::open(config(dir, accept_loss), Default::default())
}

/// In memory where there is such a folder.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
    made.expect("a folder")
}

fn append(dir: &Path, accept_loss: bool, bodies: Vec<(u64, Body)>) {
    let (log, tail) = open(dir, accept_loss).expect("opens").start().expect("starts");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for (stamp, body) in bodies {
        runtime.block_on(log.append(stamp, body)).expect("appended");
    }
    log.close();
    drop(tail);
}

fn template() -> &'static Template {
    static MADE: OnceLock<Template> = OnceLock::new();
    MADE.get_or_init(|| {
        let dir = folder();
        let body = |n: u64| match n % 7 {
            5 => Body::Tick,
            6 => Body::Config("{}".into()),
            _ => Body::Batch(vec![n as u8; (n as usize * 31) % 200]),
        };
        append(dir.path(), false, (0..12).map(|n| (n, body(n))).collect());
        append(dir.path(), false, (12..20).map(|n| (n, body(n))).collect());
        let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(dir.path().join("log"))
            .expect("segments")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.extension().is_some_and(|kind| kind == "seg"))
            .map(|path| {
                let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                (name, std::fs::read(path).expect("a segment"))
            })
            .collect();
        files.sort();
        assert!(files.len() > 2, "several segments");
        let entries = (0..20).map(|n| Entry { stamp: n, body: body(n) }).collect();
        Template { files, entries }
    })
}

/// The first byte chooses: damage to a log that was written, frames with right checksums that
/// nobody wrote, or any bytes.
pub fn run(bytes: &[u8]) {
    let Some((choice, rest)) = bytes.split_first() else { return };
    match choice & 3 {
        0 | 1 => damaged(rest, choice >> 2 & 15 == 0),
        2 => anything(&frames(rest)),
        _ => anything(rest),
    }
}

fn put(dir: &Path, files: &[(String, Vec<u8>)]) {
    let log = dir.join("log");
    std::fs::create_dir_all(&log).expect("a folder");
    files.iter().for_each(|(name, bytes)| std::fs::write(log.join(name), bytes).expect("a file"));
}

fn damaged(operations: &[u8], also_append: bool) {
    let template = template();
    let mut files = template.files.clone();
    operations.chunks_exact(8).take(16).for_each(|operation| damage(&mut files, operation));
    let dir = folder();
    put(dir.path(), &files);
    let written = |position: Position, entry: &Entry| {
        assert_eq!(template.entries.get(position as usize), Some(entry), "at {position}");
    };
    let read = open(dir.path(), false).and_then(|opened| {
        opened.entries(opened.first())?.collect::<Result<Vec<_>, _>>().map(|all| (opened, all))
    });
    match read {
        Ok((opened, all)) => {
            let first = opened.first();
            all.iter().for_each(|(position, entry)| written(*position, entry));
            assert!(all.iter().map(|pair| pair.0).eq(first..opened.next()), "without a gap");
            drop(opened);
            if also_append {
                append(dir.path(), false, vec![(99, Body::Batch(vec![7; 33]))]);
                let opened = open(dir.path(), false).expect("opens again");
                let after: Vec<_> =
                    opened.entries(first).expect("reads").map(|e| e.expect("one")).collect();
                assert_eq!(&after[..all.len()], &all[..]);
                assert_eq!(after.len(), all.len() + 1);
            }
        }
        Err(Error::Damaged { from, to, .. }) => assert!(from <= to),
        Err(other) => panic!("{other}"),
    }
    let dir = folder();
    put(dir.path(), &files);
    let opened = open(dir.path(), true).expect("opens with losses accepted");
    for entry in opened.entries(opened.first()).expect("reads") {
        let (position, entry) = entry.expect("losses are accepted");
        if position < template.entries.len() as u64 {
            written(position, &entry);
        }
    }
}

/// kind, file, place (2), length (2), another place (2).
fn damage(files: &mut Vec<(String, Vec<u8>)>, operation: &[u8]) {
    if files.is_empty() {
        return;
    }
    let two = |at: usize| usize::from(u16::from_le_bytes([operation[at], operation[at + 1]]));
    let which = usize::from(operation[1]) % files.len();
    let (place, length, other) = (two(2), two(4), two(6));
    let from = files[usize::from(operation[1] >> 4) % files.len()].1.clone();
    let bytes = &mut files[which].1;
    let place = place.min(bytes.len());
    let end = (place + length % 300).min(bytes.len());
    match operation[0] % 7 {
        0 if place < bytes.len() => bytes[place] ^= 1 << (length % 8),
        1 => bytes[place..end].fill(0),
        2 => bytes.truncate(place),
        3 => bytes[place..end].fill(other as u8),
        4 => {
            let other = other.min(from.len());
            let count = (end - place).min(from.len() - other);
            bytes[place..place + count].copy_from_slice(&from[other..other + count]);
        }
        5 => bytes.resize((bytes.len() + length).min(8192), 0),
        _ => drop(files.remove(which)),
    }
}

/// Frames with right lengths and checksums; everything else as the bytes say.
fn frames(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<6>() {
        let [epoch, seq, stamp, group, kind, length] = *head;
        let (payload, rest) = rest.split_at(rest.len().min(usize::from(length)));
        bytes = rest;
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&[0xF5, b'A', b'S', 0xFF]);
        header[4..8].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        (header[12], header[20], header[28], header[36], header[40]) =
            (epoch, seq, stamp, group, kind);
        let crc = crc32c::crc32c_append(crc32c::crc32c(&header[4..8]), &header[12..]);
        let crc = crc32c::crc32c_append(crc, payload);
        header[8..12].copy_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&header);
        out.extend_from_slice(payload);
    }
    out
}

fn anything(segment: &[u8]) {
    for accept_loss in [false, true] {
        let dir = folder();
        put(dir.path(), &[(format!("{:020}.seg", 0), segment.to_vec())]);
        let Ok(opened) = open(dir.path(), accept_loss) else { continue };
        let Ok(entries) = opened.entries(0) else { continue };
        let mut expected = None;
        for entry in entries {
            let Ok((position, _)) = entry else { break };
            let follows = expected.is_none_or(|next| position == next);
            assert!(follows || accept_loss && expected < Some(position), "{position}");
            expected = Some(position + 1);
        }
    }
}
