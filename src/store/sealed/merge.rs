//! Merges tables of like size into one, on a thread of its own, so that a lookup asks few
//! tables. Neighbours only: parts stay in order. Older records of a key, and those of parts that
//! were dropped, are left out.
//!
//! Each merge writes all its records again. Traces and response ids go with their parts one day,
//! so they are merged once from what is put at once, and again only when their keys are not in
//! memory any more. Units stay: all but the newest record of each must go some time.

use super::filter::Filter;
use super::table::Table;
use super::tournament::{Head, Tournament};
use super::write::Writer;
use crate::model::shelf::{Family, Part, ShelfError};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread::JoinHandle;

/// Tables of like size that make one, of units …
const UNITS_FAN: usize = 4;
/// … of large ones of other families …
const LARGE_FAN: usize = 8;
/// … and of others: enough that what join memory lets go of at once is large after one merge.
pub(super) const FAN: usize = 32;
/// Records of a table that is merged again only when its filter is not in memory …
const LARGE: u64 = 1 << 19;
/// … and of one that is not merged any more.
const RECORDS_MAX: u64 = 4 << 20;
/// Blocks that are read at once.
const READ_BLOCKS: usize = 8;

/// Runs one merge at a time.
#[derive(Default)]
pub struct Merger {
    running: Option<Running>,
    stop: Arc<AtomicBool>,
}

struct Running {
    number: u64,
    done: Receiver<Done>,
    thread: JoinHandle<()>,
}

/// A merge that ended.
pub struct Done {
    /// Of which family.
    pub family: Family,
    /// The tables it replaces.
    pub inputs: Vec<u64>,
    /// The new table, durable; none when nothing was left.
    pub written: Result<Option<Table>, ShelfError>,
}

/// The newest neighbours that should be merged: enough of like size. Tables from part `since` on
/// need no filter of their own.
pub fn due(tables: &[Table], family: Family, since: Part) -> Option<Range<usize>> {
    let is_done = |table: &Table| {
        let cheap = table.parts.0 >= since || table.holds_filter();
        family != Family::Units && table.records >= if cheap { LARGE } else { RECORDS_MAX }
    };
    let size = |table: &Table| if is_done(table) { u32::MAX } else { size(table.records) };
    let sizes: Vec<u32> = tables.iter().map(size).collect();
    let mut end = sizes.len();
    while end > 0 {
        let own = sizes[end - 1];
        // Smaller ones between larger ones go with them.
        let start = sizes[..end].iter().rposition(|size| *size > own).map_or(0, |at| at + 1);
        if own < u32::MAX && end - start >= fan(family, own) {
            return Some(start..end);
        }
        end = start.min(end - 1);
    }
    None
}

fn size(records: u64) -> u32 {
    records.max(1).ilog2() / 4
}

fn fan(family: Family, own: u32) -> usize {
    match family {
        Family::Units => UNITS_FAN,
        _ if own > size(LARGE) => LARGE_FAN,
        _ => FAN,
    }
}

// === impl Merger ===

impl Merger {
    /// The number of the table that is being written, while a merge runs.
    pub fn writing(&self) -> Option<u64> {
        self.running.as_ref().map(|running| running.number)
    }

    /// The merge that ended, once.
    pub fn done(&mut self) -> Option<Done> {
        let got = self.running.as_ref()?.done.try_recv();
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
        let stop = self.stop.clone();
        let work = move || {
            let merge = Merge { family, oldest, inputs: &inputs, stop: &stop };
            let written = merge.table(&path, number);
            if !matches!(written, Ok(Some(_))) {
                let _ = std::fs::remove_file(&path);
            }
            let inputs = inputs.iter().map(|input| input.0).collect();
            // Nobody waits any more when the process ends.
            let _ = to.send(Done { family, inputs, written });
        };
        let thread = std::thread::Builder::new().name("merge".into()).spawn(work)?;
        self.running = Some(Running { number, done, thread });
        Ok(())
    }
}

impl Drop for Merger {
    /// Whoever opens the folder next must be the only one who writes there.
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(running) = self.running.take() {
            let _ = running.thread.join();
        }
    }
}

/// What is to be merged.
struct Merge<'a> {
    family: Family,
    oldest: Part,
    inputs: &'a [(u64, PathBuf)],
    stop: &'a AtomicBool,
}

impl Merge<'_> {
    fn table(&self, path: &Path, number: u64) -> Result<Option<Table>, ShelfError> {
        let Some(filter) = self.write(path)? else { return Ok(None) };
        let table = Table::written(path, number, self.family, filter)?;
        table.file().sync_all()?;
        Ok(Some(table))
    }

    fn write(&self, path: &Path) -> Result<Option<Filter>, ShelfError> {
        let mut open = Vec::new();
        for (number, path) in self.inputs {
            let mut input = Input::new(Table::open(path, *number, self.family)?);
            input.advance()?;
            open.push(input);
        }
        let mut heads = Tournament::new(open.iter().map(Input::head));
        let parts = open.iter().map(|input| input.table.parts);
        let parts = parts.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))).unwrap_or_default();
        let count = open.iter().map(|input| input.table.records).sum();
        let mut writer = Writer::create(path, self.family, parts, count)?;
        let (mut last, mut any) = (None, false);
        while let Some((at, Head { key, part })) = heads.least() {
            let input = &mut open[at];
            if last != Some(key) && part >= self.oldest {
                writer.take_over(key, part, input.record())?;
                any = true;
            }
            last = Some(key);
            if input.advance()? && self.stop.load(Relaxed) {
                return Err(ShelfError::Failed("stopped".into()));
            }
            heads.replace(at, input.head());
        }
        let filter = writer.finish()?;
        Ok(any.then_some(filter))
    }
}

/// A table read from its beginning to its end.
struct Input {
    table: Table,
    /// The next block to read, and the blocks that are read, what is left of the first and all
    /// of the others, last one first.
    block: u64,
    bytes: Vec<u8>,
    blocks: Vec<Range<usize>>,
    head: Option<(u128, Part, Range<usize>)>,
}

// === impl Input ===

impl Input {
    fn new(table: Table) -> Self {
        let (bytes, blocks) = Default::default();
        Input { table, block: 0, bytes, blocks, head: None }
    }

    fn head(&self) -> Option<Head> {
        self.head.as_ref().map(|(key, part, _)| Head { key: *key, part: *part })
    }

    /// The record at the head, from its key on.
    fn record(&self) -> &[u8] {
        self.head.as_ref().map_or(&[], |head| &self.bytes[head.2.clone()])
    }

    /// Goes on to the next record; whether blocks were read for it.
    fn advance(&mut self) -> Result<bool, ShelfError> {
        while self.blocks.last().is_some_and(Range::is_empty) {
            self.blocks.pop();
        }
        let read = self.blocks.is_empty();
        if read {
            self.blocks = self.table.blocks_from(self.block, READ_BLOCKS, &mut self.bytes)?;
            self.block += self.blocks.len() as u64;
            self.blocks.reverse();
        }
        self.head = None;
        if let Some(rest) = self.blocks.last_mut() {
            let (key, part, record) = self.table.first_of(&self.bytes[rest.clone()])?;
            let begin = rest.start;
            rest.start += record.end;
            self.head = Some((key, part, begin + record.start..begin + record.end));
        }
        Ok(read)
    }
}
