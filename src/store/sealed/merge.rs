//! Merges tables of like size into one, on a thread of its own, so that a lookup asks few
//! tables. Neighbours only: parts stay in order. Older records of a key, and those of parts that
//! were dropped, are left out.

use super::table::Table;
use super::write::Writer;
use crate::model::shelf::{Family, Part, Record, ShelfError};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, TryRecvError, channel};

/// Tables of like size that make one.
const FAN: usize = 8;
/// Records of the smallest size.
const SMALL: u64 = 16_384;
/// A table with more records is not merged any more, when its records go by themselves one day;
/// those of units stay, so all but the newest record of each must go some time.
const RECORDS_MAX: u64 = 4 << 20;

/// Runs one merge at a time.
#[derive(Default)]
pub struct Merger {
    running: Option<(u64, Receiver<Done>)>,
}

/// A merge that ended.
pub struct Done {
    /// Of which family.
    pub family: Family,
    /// The new table.
    pub number: u64,
    /// The tables it replaces.
    pub inputs: Vec<u64>,
    /// Whether a table was written: none is when nothing was left.
    pub written: Result<bool, ShelfError>,
}

/// The newest neighbours that should be merged: enough of like size.
pub fn due(tables: &[Table], family: Family) -> Option<Range<usize>> {
    let largest = if family == Family::Units { u32::MAX } else { size(RECORDS_MAX) };
    let sizes: Vec<u32> = tables.iter().map(|table| size(table.records)).collect();
    let mut end = sizes.len();
    while end > 0 {
        let own = sizes[end - 1];
        // Smaller ones between larger ones go with them.
        let start = sizes[..end].iter().rposition(|size| *size > own).map_or(0, |at| at + 1);
        if end - start >= FAN && own < largest {
            return Some(start..end);
        }
        end = sizes[..end].iter().rposition(|size| *size > own)? + 1;
    }
    None
}

fn size(records: u64) -> u32 {
    (records.max(SMALL) / SMALL).ilog2() / FAN.ilog2()
}

// === impl Merger ===

impl Merger {
    /// Whether one runs.
    pub fn is_busy(&self) -> bool {
        self.running.is_some()
    }

    /// Whether this table is being written.
    pub fn is_writing(&self, number: u64) -> bool {
        self.running.as_ref().is_some_and(|running| running.0 == number)
    }

    /// The merge that ended, once.
    pub fn done(&mut self) -> Option<Done> {
        let got = self.running.as_ref()?.1.try_recv();
        if !matches!(got, Err(TryRecvError::Empty)) {
            self.running = None;
        }
        got.ok()
    }

    /// Merges tables, oldest first, into a new one.
    pub fn start(
        &mut self,
        family: Family,
        number: u64,
        path: PathBuf,
        inputs: Vec<(u64, PathBuf)>,
        oldest: Part,
    ) -> std::io::Result<()> {
        let (to, done) = channel();
        let work = move || {
            let written = merge(family, &path, &inputs, oldest);
            if !matches!(written, Ok(true)) {
                let _ = std::fs::remove_file(&path);
            }
            let inputs = inputs.into_iter().map(|input| input.0).collect();
            // Nobody waits any more when the process ends.
            let _ = to.send(Done { family, number, inputs, written });
        };
        std::thread::Builder::new().name("merge".into()).spawn(work)?;
        self.running = Some((number, done));
        Ok(())
    }
}

/// The head of one input; the least key first, of equal ones the newest part.
type Head = Reverse<(u128, Reverse<Part>, usize)>;

/// A table read from its beginning to its end.
struct Input {
    table: Table,
    block: u64,
    records: std::vec::IntoIter<Record>,
    head: Option<Record>,
}

impl Input {
    fn next(&mut self) -> Result<Option<Record>, ShelfError> {
        loop {
            if let Some(record) = self.records.next() {
                return Ok(self.head.replace(record));
            }
            if self.block == self.table.blocks {
                return Ok(self.head.take());
            }
            self.records = self.table.records_of(self.block)?.into_iter();
            self.block += 1;
        }
    }
}

fn merge(
    family: Family,
    path: &Path,
    inputs: &[(u64, PathBuf)],
    oldest: Part,
) -> Result<bool, ShelfError> {
    let mut heap: BinaryHeap<Head> = BinaryHeap::new();
    let mut open = Vec::new();
    for (at, (number, path)) in inputs.iter().enumerate() {
        let table = Table::open(path, *number, family)?;
        let records = Vec::new().into_iter();
        let mut input = Input { table, block: 0, records, head: None };
        input.next()?;
        heap.extend(head(&input, at));
        open.push(input);
    }
    let parts = open.iter().map(|input| input.table.parts);
    let parts = parts.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))).unwrap_or_default();
    let count = open.iter().map(|input| input.table.records).sum();
    let mut writer = Writer::create(path, family, parts, count)?;
    let (mut last, mut any) = (None, false);
    while let Some(Reverse((key, _, at))) = heap.pop() {
        let record = open[at].next()?;
        heap.extend(head(&open[at], at));
        let Some(record) = record.filter(|_| last != Some(key)) else { continue };
        last = Some(key);
        if record.part >= oldest {
            writer.push(key, record.part, &record.bytes)?;
            any = true;
        }
    }
    writer.finish()?;
    std::fs::File::open(path)?.sync_all()?;
    Ok(any)
}

fn head(input: &Input, at: usize) -> Option<Head> {
    let record = input.head.as_ref()?;
    Some(Reverse((record.key, Reverse(record.part), at)))
}
