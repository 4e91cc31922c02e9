//! Makes a catalog of tables that have none, and of catalogs that are not much larger: each key is
//! written again a few times while there is more of it, and two or three catalogs cover all tables.

use super::write::Writer;
use super::{Catalog, LINE, TABLES_MAX, place_of};
use crate::model::shelf::{Family, ShelfError};
use crate::store::sealed::scan::Scan;
use crate::store::sealed::table::Table;
use crate::store::sealed::tournament::{Head, Tournament};
use crate::store::sealed::worker::{Job, Made};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A catalog goes into the next one when it has at most so many times its keys.
const RATIO: u64 = 4;
/// Lines that are read at once.
const READ_LINES: u64 = 64;
/// How many times the lines that are needed, at first and when too many keys are alike.
const SPARE: [u64; 3] = [1, 4, 16];

/// What is to be made.
pub struct Build {
    /// Of which family.
    pub family: Family,
    /// The catalogs, oldest first.
    pub catalogs: Vec<(u64, PathBuf)>,
    /// The tables, oldest first.
    pub tables: Vec<(u64, PathBuf)>,
    /// The tables that it covers, oldest first: those of the catalogs that are still there, and the
    /// tables.
    pub covers: Vec<u64>,
    /// Its keys, at most.
    pub keys: u64,
}

/// How many of the newest catalogs go into one that begins with so many tables and keys.
pub fn taken(catalogs: &[Catalog], mut tables: usize, mut keys: u64) -> usize {
    let goes = |catalog: &&Catalog| {
        tables += catalog.tables.len();
        let goes = catalog.keys <= keys * RATIO && tables <= TABLES_MAX;
        keys += catalog.keys;
        goes
    };
    catalogs.iter().rev().take_while(goes).count()
}

// === impl Build ===

impl Job for Build {
    fn inputs(&self) -> Vec<u64> {
        self.catalogs.iter().chain(&self.tables).map(|input| input.0).collect()
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
    fn write(&self, path: &Path, spare: u64, stop: &AtomicBool) -> Result<bool, ShelfError> {
        let mut sources = self.sources()?;
        let mut writer = Writer::create(path, self.keys, spare)?;
        let mut heads = Tournament::new(sources.iter().map(|source| source.head(self.family)));
        while let Some((at, head)) = heads.least() {
            let source = &mut sources[at];
            if !writer.push(head.key as u64, source.table())? {
                return Ok(false);
            }
            if source.advance()? && stop.load(Relaxed) {
                return Err(ShelfError::Failed("stopped".into()));
            }
            heads.replace(at, source.head(self.family));
        }
        writer.finish(self.family, &self.covers)?;
        Ok(true)
    }

    fn sources(&self) -> Result<Vec<Source>, ShelfError> {
        let name = |number: u64| self.covers.iter().position(|one| *one == number);
        let mut sources = Vec::new();
        for (number, path) in &self.catalogs {
            let catalog = Catalog::open(path, *number, self.family)?;
            let names = catalog.tables.iter().map(|table| name(*table)).collect();
            sources.push(Source::Catalog(Lines::new(catalog, names)?));
        }
        for (number, path) in &self.tables {
            let scan = Scan::new(Table::open(path, *number, self.family)?)?;
            sources.push(Source::Table(scan, name(*number).unwrap_or_default() as u8));
        }
        Ok(sources)
    }
}

/// Where keys come from, in the order of their places.
enum Source {
    Table(Scan, u8),
    Catalog(Lines),
}

/// A catalog read from its beginning to its end.
struct Lines {
    catalog: Catalog,
    /// What its tables are called now; those that are gone are left out.
    names: Vec<Option<usize>>,
    next: u64,
    bytes: Vec<u8>,
    /// What was read, last one first.
    read: Vec<(u64, u8)>,
}

// === impl Source ===

impl Source {
    /// The place it is at, and as nothing is older or newer, no part.
    fn head(&self, family: Family) -> Option<Head> {
        let place = match self {
            Source::Table(scan, _) => place_of(family, scan.head()?.key),
            Source::Catalog(lines) => lines.read.last()?.0,
        };
        Some(Head { key: place.into(), part: 1 })
    }

    /// Which table may have the key it is at.
    fn table(&self) -> u8 {
        match self {
            Source::Table(_, name) => *name,
            Source::Catalog(lines) => lines.read.last().map_or(0, |last| last.1),
        }
    }

    /// Goes on; whether something was read for it.
    fn advance(&mut self) -> Result<bool, ShelfError> {
        match self {
            Source::Table(scan, _) => scan.advance(),
            Source::Catalog(lines) => {
                lines.read.pop();
                lines.fill()
            }
        }
    }
}

// === impl Lines ===

impl Lines {
    fn new(catalog: Catalog, names: Vec<Option<usize>>) -> Result<Self, ShelfError> {
        let (bytes, read) = Default::default();
        let mut lines = Lines { catalog, names, next: 0, bytes, read };
        lines.fill()?;
        Ok(lines)
    }

    fn fill(&mut self) -> Result<bool, ShelfError> {
        let before = self.next;
        while self.read.is_empty() && self.next < self.catalog.lines {
            let count = READ_LINES.min(self.catalog.lines - self.next);
            self.catalog.read(self.next, count, &mut self.bytes)?;
            for (at, line) in self.bytes.chunks_exact(LINE).enumerate() {
                let at = self.next + at as u64;
                for entry in self.catalog.entries_of(line)? {
                    let place = self.catalog.layout.place_of(at, u32::from_le_bytes(*entry));
                    let name = self.names.get(usize::from(entry[0])).copied().flatten();
                    self.read.extend(name.map(|name| (place, name as u8)));
                }
            }
            self.read.reverse();
            self.next += count;
        }
        Ok(self.next > before)
    }
}
