//! Makes a catalog of tables that have none, and of catalogs that are not much larger: each key is
//! written again a few times while there is more of it, and two or three catalogs cover all tables.

use super::write::Writer;
use super::{Catalog, LINE, NAME_BITS, PLACE_BITS, TABLES_MAX, place_in, place_of, table_of};
use crate::model::shelf::{Family, ShelfError};
use crate::store::sealed::scan::Scan;
use crate::store::sealed::table::About;
use crate::store::sealed::worker::{Job, Made};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Keys of a stretch, about: they stay where a processor has them at hand.
const STRETCH_KEYS: u64 = 1 << 14;
const NAMES: u64 = TABLES_MAX as u64 - 1;
/// Lines that are read at once.
const READ_LINES: u64 = 128;
/// How many times the lines that are needed, at first and when too many keys are alike.
const SPARE: [u64; 3] = [1, 4, 16];

/// What is to be made.
pub struct Build {
    /// Of which family.
    pub family: Family,
    /// The catalogs, oldest first.
    pub catalogs: Vec<(u64, PathBuf)>,
    /// The tables, oldest first.
    pub tables: Vec<Arc<About>>,
    /// The tables that it covers, oldest first: those of the catalogs that are still there, and the
    /// tables.
    pub covers: Vec<u64>,
    /// Its keys, at most.
    pub keys: u64,
}

/// An older catalog goes into a new one when it has at most so many times its keys. Each trace that
/// is new is asked for in all catalogs, a response id only when a score names it.
fn ratio(family: Family) -> u64 {
    match family {
        Family::Traces => 8,
        Family::Responses | Family::Units => 2,
    }
}

/// How many of the newest catalogs go into one that begins with so many tables and keys.
pub fn taken(catalogs: &[Catalog], family: Family, mut tables: usize, mut keys: u64) -> usize {
    let goes = |catalog: &&Catalog| {
        tables += catalog.tables.len();
        let goes = catalog.keys <= keys * ratio(family) && tables <= TABLES_MAX;
        keys += catalog.keys;
        goes
    };
    catalogs.iter().rev().take_while(goes).count()
}

// === impl Build ===

impl Job for Build {
    fn inputs(&self) -> Vec<u64> {
        self.catalogs.iter().map(|input| input.0).collect()
    }

    fn make(&self, path: &Path, number: u64, stop: &AtomicBool) -> Result<Made, ShelfError> {
        for spare in SPARE {
            if self.write(path, spare, stop)? {
                let catalog = Catalog::open(path, number, self.family)?;
                return Ok(Made::Catalog(Box::new(catalog)));
            }
        }
        Err(ShelfError::Failed("too many keys are nearly the same".into()))
    }
}

impl Build {
    /// A stretch of places after the other: what all sources have of it is sorted together, which
    /// takes few steps as each one's is sorted.
    fn write(&self, path: &Path, spare: u64, stop: &AtomicBool) -> Result<bool, ShelfError> {
        let mut sources = self.sources()?;
        let mut writer = Writer::create(path, self.keys, spare)?;
        let stretches = self.keys.div_ceil(STRETCH_KEYS).max(1);
        let mut keys = Vec::with_capacity(2 * STRETCH_KEYS as usize);
        for stretch in 1..=stretches {
            let end = ((u128::from(stretch) << PLACE_BITS) / u128::from(stretches)) as u64;
            for source in &mut sources {
                source.take_until(end, self.family, &mut keys)?;
            }
            keys.sort();
            for key in keys.drain(..) {
                if !writer.push(key >> NAME_BITS, (key & NAMES) as u16)? {
                    return Ok(false);
                }
            }
            if stop.load(Relaxed) {
                return Err(ShelfError::Failed("stopped".into()));
            }
        }
        writer.finish(self.family, &self.covers)?;
        Ok(true)
    }

    fn sources(&self) -> Result<Vec<Source>, ShelfError> {
        let names = self.covers.iter().enumerate().map(|(at, number)| (*number, at as u16));
        let names: HashMap<u64, u16> = names.collect();
        let mut sources = Vec::new();
        for (number, path) in &self.catalogs {
            let catalog = Catalog::open(path, *number, self.family)?;
            let names = catalog.tables.iter().map(|table| names.get(table).copied()).collect();
            sources.push(Source::Catalog(Lines::new(catalog, names)));
        }
        for table in &self.tables {
            let name = names.get(&table.number).copied().unwrap_or_default();
            sources.push(Source::Table(Scan::new(table.clone())?, name));
        }
        Ok(sources)
    }
}

/// Where keys come from, in the order of their places.
enum Source {
    Table(Scan, u16),
    Catalog(Lines),
}

/// A catalog read from its beginning to its end.
struct Lines {
    catalog: Catalog,
    /// What its tables are called now; those that are gone are left out.
    names: Vec<Option<u16>>,
    next: u64,
    bytes: Vec<u8>,
    /// Places and names that were read, and how many of them are taken.
    read: Vec<u64>,
    taken: usize,
}

// === impl Source ===

impl Source {
    /// Gives the keys whose place is before this one, each as its place and its table's name.
    fn take_until(
        &mut self,
        end: u64,
        family: Family,
        out: &mut Vec<u64>,
    ) -> Result<(), ShelfError> {
        match self {
            Source::Table(scan, name) => {
                while let Some(head) = scan.head() {
                    let place = place_of(family, head.key);
                    if place >= end {
                        break;
                    }
                    out.push(place << NAME_BITS | u64::from(*name));
                    scan.advance()?;
                }
            }
            Source::Catalog(lines) => loop {
                let rest = &lines.read[lines.taken..];
                let count = rest.partition_point(|key| key >> NAME_BITS < end);
                out.extend_from_slice(&rest[..count]);
                lines.taken += count;
                if lines.taken < lines.read.len() || !lines.fill()? {
                    break;
                }
            },
        }
        Ok(())
    }
}

// === impl Lines ===

impl Lines {
    fn new(catalog: Catalog, names: Vec<Option<u16>>) -> Self {
        let (bytes, read) = Default::default();
        Lines { catalog, names, next: 0, bytes, read, taken: 0 }
    }

    /// Reads the next lines when all is taken; whether there were any.
    fn fill(&mut self) -> Result<bool, ShelfError> {
        let count = READ_LINES.min(self.catalog.lines - self.next);
        self.catalog.read(self.next, count, &mut self.bytes)?;
        self.read.clear();
        self.taken = 0;
        for (at, line) in self.bytes.chunks_exact(LINE).enumerate() {
            let least = self.catalog.layout.least_of(self.next + at as u64);
            for entry in self.catalog.entries_of(line)? {
                let place = place_in(least, *entry);
                let name = self.names.get(usize::from(table_of(*entry))).copied().flatten();
                self.read.extend(name.map(|name| place << NAME_BITS | u64::from(name)));
            }
        }
        self.next += count;
        Ok(count > 0)
    }
}
