//! Run records as JSON lines: `DIR/runs/YYYY-MM-DD.jsonl`, by day of log time; a full file is
//! followed by `YYYY-MM-DD.1.jsonl` and so on. Files are only appended to. The cursor is in the
//! files themselves: the position and the runs of the last whole lines. So a record that is
//! given again after a restart is written once, and a line that was torn by a crash is cut.

use super::{Around, Failure, History, Settings, Sink};
use crate::model::delivery::{Body, Item, ItemKind};
use crate::model::record::RunRecord;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes after which a day's file is followed by another one.
pub const FILE_BYTES_MAX: u64 = 256 << 20;

/// Bytes of all files in the data folder; above, the oldest go.
const KEEP_BYTES_MAX: u64 = 4 << 30;

/// Settings.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Its folder; the data folder when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Bytes of all its files, above which the oldest are removed; when absent, 4 GiB in the data
    /// folder, and any number in a folder of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[arg(skip)]
    pub keep_bytes_max: Option<u64>,
}

/// Why records could not be written. Nothing of the batch's last line is left in the file.
#[derive(Debug, thiserror::Error)]
#[error("run records: {}: {source}; nothing is lost, it is tried again", path.display())]
pub struct Error {
    path: PathBuf,
    source: io::Error,
}

/// An open sink.
#[derive(Debug)]
pub struct Jsonl {
    dir: PathBuf,
    bytes_max: u64,
    keep_bytes_max: u64,
    name: Name,
    file: Option<File>,
    bytes: u64,
    cursor: Cursor,
}

/// What was written last: the records of one position come together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Cursor {
    position: Option<u64>,
    keys: BTreeSet<(String, u32)>,
}

/// Day and number of a file; later files are greater.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
struct Name {
    day: String,
    number: u32,
}

/// Records as JSON lines.
pub fn records_jsonl(records: &[RunRecord]) -> String {
    records.iter().map(line).collect()
}

fn line(record: &RunRecord) -> String {
    let json = serde_json::to_string(record).expect("a record has text keys and finite numbers");
    json + "\n"
}

fn key(record: &RunRecord) -> (String, u32) {
    (record.run.id.clone(), record.window.epoch)
}

/// The day of log time, UTC; the end of the run's last call stands in for it.
fn day(record: &RunRecord) -> String {
    let at = record.collector.exported_at.as_deref().unwrap_or(&record.window.last_seen);
    at.get(..10).unwrap_or("1970-01-01").to_owned()
}

// === impl Config ===

impl Settings for Config {
    fn target(&self) -> String {
        self.dir.as_ref().map_or_else(|| "data".to_owned(), |dir| dir.display().to_string())
    }

    fn faults(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn open(&self, around: &Around) -> Result<Box<dyn Sink>, Failure> {
        let opened = Jsonl::open(self.dir.as_deref().unwrap_or(&around.data));
        let mut sink = opened.map_err(|error| Failure::later(error.to_string()))?;
        let in_data = if self.dir.is_none() { KEEP_BYTES_MAX } else { u64::MAX };
        sink.keep_bytes_max = self.keep_bytes_max.unwrap_or(in_data);
        Ok(Box::new(sink))
    }
}

#[async_trait]
impl Sink for Jsonl {
    fn takes(&self, kind: ItemKind) -> bool {
        kind == ItemKind::Cut
    }

    async fn deliver(&mut self, item: &Item, _history: &dyn History) -> Result<(), Failure> {
        let Body::Cut(cut) = &item.body else { return Ok(()) };
        self.write(&cut.records).map_err(|error| Failure::later(error.to_string()))?;
        Ok(())
    }
}

// === impl Jsonl ===

impl Jsonl {
    /// Opens `dir/runs`, cuts a torn line and finds the cursor.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        Self::with_size(dir, FILE_BYTES_MAX)
    }

    fn with_size(dir: &Path, bytes_max: u64) -> Result<Self, Error> {
        let dir = dir.join("runs");
        let at = |source| Error { path: dir.clone(), source };
        std::fs::create_dir_all(&dir).map_err(at)?;
        let names = names(&dir).map_err(at)?;
        let mut cursor = Cursor::default();
        if let Some(last) = names.last() {
            cut_torn_line(&dir.join(last.text())).map_err(at)?;
        }
        // Records of one position may go over a file's end, so look back until an older one.
        for name in names.iter().rev() {
            if cursor.read(&dir.join(name.text())).map_err(at)? {
                break;
            }
        }
        let name = names.last().cloned().unwrap_or_default();
        let keep_bytes_max = u64::MAX;
        let mut sink = Jsonl { dir, bytes_max, keep_bytes_max, name, file: None, bytes: 0, cursor };
        if !sink.name.day.is_empty() {
            sink.open_file()?;
        }
        Ok(sink)
    }

    /// The position up to which records were written.
    pub fn position(&self) -> Option<u64> {
        self.cursor.position
    }

    /// Writes the records that are not there yet, in the order of their positions, and syncs
    /// them; says how many they were.
    pub fn write(&mut self, records: &[RunRecord]) -> Result<usize, Error> {
        let mut written = 0;
        for record in records {
            if !self.cursor.is_new(record) {
                continue;
            }
            self.append(&day(record), &line(record))?;
            self.cursor.note(record);
            written += 1;
        }
        if let Some(file) = self.file.as_mut().filter(|_| written > 0) {
            file.sync_data().map_err(|source| Error { path: self.dir.clone(), source })?;
        }
        Ok(written)
    }

    fn append(&mut self, day: &str, line: &str) -> Result<(), Error> {
        // The day never goes back, as log time does not.
        if day > self.name.day.as_str() {
            self.name = Name { day: day.to_owned(), number: 0 };
            self.open_file()?;
        } else if self.bytes > 0 && self.bytes + line.len() as u64 > self.bytes_max {
            self.name.number += 1;
            self.open_file()?;
        }
        let path = self.dir.join(self.name.text());
        let at = |source| Error { path: path.clone(), source };
        let Some(file) = self.file.as_mut() else { return Err(at(io::Error::other("not open"))) };
        if let Err(error) = file.write_all(line.as_bytes()) {
            // Half a line would be taken for a torn one, and end the next.
            let _ = file.set_len(self.bytes);
            return Err(at(error));
        }
        self.bytes += line.len() as u64;
        Ok(())
    }

    fn open_file(&mut self) -> Result<(), Error> {
        let path = self.dir.join(self.name.text());
        let at = |source| Error { path: path.clone(), source };
        if let Some(file) = &self.file {
            file.sync_data().map_err(at)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(at)?;
        self.bytes = file.metadata().map_err(at)?.len();
        self.file = Some(file);
        self.trim().map_err(at)
    }

    /// Removes the oldest files while all of them together have too many bytes.
    fn trim(&self) -> io::Result<()> {
        let mut sizes = Vec::new();
        for name in names(&self.dir)? {
            let path = self.dir.join(name.text());
            sizes.push((std::fs::metadata(&path)?.len(), path, name));
        }
        let mut bytes: u64 = sizes.iter().map(|size| size.0).sum();
        for (size, path, name) in sizes {
            if bytes <= self.keep_bytes_max || name == self.name {
                break;
            }
            std::fs::remove_file(&path)?;
            tracing::warn!(file = %path.display(), "run records too many: an old file was removed");
            bytes -= size;
        }
        Ok(())
    }
}

// === impl Cursor ===

impl Cursor {
    fn is_new(&self, record: &RunRecord) -> bool {
        match self.position {
            None => true,
            Some(last) if record.position() == last => !self.keys.contains(&key(record)),
            Some(last) => record.position() > last,
        }
    }

    fn note(&mut self, record: &RunRecord) {
        if self.position != Some(record.position()) {
            self.position = Some(record.position());
            self.keys.clear();
        }
        self.keys.insert(key(record));
    }

    /// Takes the lines of a file in; whether one of an older position was among them.
    fn read(&mut self, path: &Path) -> io::Result<bool> {
        let mut older = false;
        for line in BufReader::new(File::open(path)?).lines() {
            let Ok(record) = serde_json::from_str::<RunRecord>(&line?) else { continue };
            match self.position {
                Some(last) if record.position() < last => older = true,
                Some(last) if record.position() > last => {
                    older = true;
                    self.note(&record);
                }
                _ => self.note(&record),
            }
        }
        Ok(older)
    }
}

// === impl Name ===

impl Name {
    fn text(&self) -> String {
        match self.number {
            0 => format!("{}.jsonl", self.day),
            number => format!("{}.{number}.jsonl", self.day),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let stem = text.strip_suffix(".jsonl")?;
        let (day, number) = match stem.split_once('.') {
            Some((day, number)) => (day, number.parse().ok()?),
            None => (stem, 0),
        };
        let is_day = day.len() == 10 && day.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        is_day.then(|| Name { day: day.to_owned(), number })
    }
}

fn names(dir: &Path) -> io::Result<Vec<Name>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        names.extend(entry?.file_name().to_str().and_then(Name::parse));
    }
    names.sort();
    Ok(names)
}

/// Cuts what follows the last line break.
fn cut_torn_line(path: &Path) -> io::Result<()> {
    const STEP: u64 = 64 << 10;
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(STEP);
        file.seek(SeekFrom::Start(start))?;
        let mut block = vec![0; (end - start) as usize];
        file.read_exact(&mut block)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            end = start + at as u64 + 1;
            break;
        }
        end = start;
    }
    if end < length {
        file.set_len(end)?;
        file.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(id: &str, position: u64, at: &str) -> RunRecord {
        serde_json::from_value(json!({
            "schema": "armspan/run-record/v1",
            "run": {"id": id, "experiment": "bot", "arm": "A", "control": true, "site": "answer",
                    "mode": "online", "fingerprint": "sha256:00"},
            "config": {}, "observed": [],
            "evidence": {"grade": "B", "calls": 3, "facets": []},
            "window": {"first_seen": at, "last_seen": at, "epoch": 1},
            "traffic": {"calls": 3, "units": 2, "unit": "user.id", "duplicates": 0, "late": 0,
                        "crossover_units": 0},
            "metrics": [], "changes": [], "links": [],
            "collector": {"version": "0.1.0", "config": "sha256:00", "position": {"0": position},
                          "exported_at": at}
        }))
        .expect("record")
    }

    const MONDAY: &str = "2026-11-23T14:02:11Z";
    const TUESDAY: &str = "2026-11-24T00:00:01Z";

    fn batch() -> Vec<RunRecord> {
        vec![
            record("aa", 1, MONDAY),
            record("aa", 5, MONDAY),
            record("bb", 5, MONDAY),
            record("cc", 5, MONDAY),
        ]
    }

    fn everything(dir: &Path) -> String {
        let names = names(&dir.join("runs")).expect("folder");
        let read = |name: &Name| std::fs::read_to_string(dir.join("runs").join(name.text()));
        names.iter().map(|name| read(name).expect("file")).collect()
    }

    #[test]
    fn lines_can_be_read_back() {
        let text = records_jsonl(&batch());
        let read: Vec<RunRecord> =
            text.lines().map(|line| serde_json::from_str(line).expect("record")).collect();
        assert_eq!(read, batch());
    }

    #[test]
    fn files_change_with_the_day_and_with_their_size() {
        let dir = tempfile::tempdir().expect("folder");
        let size = records_jsonl(&batch()[..2]).len() as u64;
        let mut sink = Jsonl::with_size(dir.path(), size).expect("open");
        sink.write(&batch()).expect("written");
        sink.write(&[record("aa", 9, TUESDAY)]).expect("written");
        let texts: Vec<String> =
            names(&dir.path().join("runs")).expect("names").iter().map(Name::text).collect();
        assert_eq!(texts, ["2026-11-23.jsonl", "2026-11-23.1.jsonl", "2026-11-24.jsonl"]);
    }

    #[test]
    fn the_oldest_files_go_when_all_are_too_large() {
        let dir = tempfile::tempdir().expect("folder");
        let size = records_jsonl(&batch()[..2]).len() as u64;
        let mut sink = Jsonl::with_size(dir.path(), size).expect("open");
        sink.keep_bytes_max = 2 * size;
        sink.write(&batch()).expect("written");
        sink.write(&[record("aa", 9, TUESDAY)]).expect("written");
        let texts = || -> Vec<String> {
            names(&dir.path().join("runs")).expect("names").iter().map(Name::text).collect()
        };
        assert_eq!(texts(), ["2026-11-23.jsonl", "2026-11-23.1.jsonl", "2026-11-24.jsonl"]);
        sink.keep_bytes_max = size;
        sink.write(&[record("aa", 11, "2026-11-25T00:00:01Z")]).expect("written");
        assert_eq!(texts(), ["2026-11-24.jsonl", "2026-11-25.jsonl"]);
        // The cursor is in what is left.
        drop(sink);
        let mut sink = Jsonl::open(dir.path()).expect("open");
        assert_eq!(sink.write(&[record("aa", 11, "2026-11-25T00:00:01Z")]).expect("written"), 0);
    }

    #[test]
    fn a_crash_in_any_line_neither_loses_nor_doubles_a_record() {
        let whole = records_jsonl(&batch());
        for size in [FILE_BYTES_MAX, 700] {
            for cut in (0..=whole.len()).rev().step_by(17) {
                let dir = tempfile::tempdir().expect("folder");
                Jsonl::with_size(dir.path(), size).expect("open").write(&batch()).expect("written");
                cut_to(dir.path(), cut);
                let mut sink = Jsonl::with_size(dir.path(), size).expect("reopened");
                sink.write(&batch()).expect("written again");
                assert_eq!(everything(dir.path()), whole, "cut at {cut}, files of {size}");
                assert_eq!(sink.write(&batch()).expect("nothing new"), 0);
                assert_eq!(sink.position(), Some(5));
            }
        }
    }

    /// Leaves only the first `keep` bytes of all files together.
    fn cut_to(dir: &Path, mut keep: usize) {
        for name in names(&dir.join("runs")).expect("names") {
            let path = dir.join("runs").join(name.text());
            let length = std::fs::metadata(&path).expect("file").len() as usize;
            match keep {
                0 => std::fs::remove_file(&path).expect("removed"),
                _ if keep < length => {
                    let file = OpenOptions::new().write(true).open(&path).expect("open");
                    file.set_len(keep as u64).expect("cut");
                }
                _ => {}
            }
            keep = keep.saturating_sub(length);
        }
    }
}
