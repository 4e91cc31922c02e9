//! Records that left the engine's memory, on disk: `DIR/sealed/<family>-<number>.tab`.
//!
//! Flow: batch → one immutable table → tables of like size are merged in the background →
//! tables whose parts are all beyond the horizon go. Nothing is ever changed in place: a
//! [`Manifest`] names the tables of a moment, a snapshot of the engine carries it, and tables stay
//! as long as one of the last two snapshots names them. So a restart sees exactly the records that
//! were there when its snapshot was taken, whatever was written after.

mod filter;
mod merge;
mod table;
#[cfg(test)]
mod tests;
mod write;

use crate::fail;
use crate::model::shelf::{Batch, Cursor, Family, Page, Part, Record, Shelf, ShelfError};
use filter::Probe;
use merge::{Done, Merger};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::path::{Path, PathBuf};
use table::Table;
use write::Writer;

/// Bytes of filters that are held in memory; of further ones a line is read when it is needed.
pub const FILTER_BYTES_MAX: u64 = 16 << 20;
/// Records of a page, about.
const PAGE_RECORDS: usize = 8_192;
/// Snapshots whose tables are kept.
const KEPT: usize = 2;
const FAMILIES: [(Family, &str); 3] =
    [(Family::Traces, "traces"), (Family::Responses, "responses"), (Family::Units, "units")];

/// The tables of a moment.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Manifest {
    next: u64,
    /// Family, number, size.
    tables: Vec<(u8, u64, u64)>,
    oldest: [Part; 3],
}

/// See the module.
pub struct Sealed {
    folder: PathBuf,
    next: u64,
    /// By family, oldest parts first.
    tables: [Vec<Table>; 3],
    oldest: [Part; 3],
    merger: Merger,
    retained: VecDeque<BTreeSet<u64>>,
    /// Tables that came since the last sync.
    unsynced: BTreeSet<u64>,
}

// === impl Sealed ===

impl Sealed {
    /// Opens the tables of a manifest; what else is in the folder is left alone until snapshots
    /// no longer need it. With `accept_loss` damaged tables are named and left out.
    pub fn open(dir: &Path, manifest: &Manifest, accept_loss: bool) -> Result<Sealed, ShelfError> {
        let folder = dir.join("sealed");
        let mut tables = [Vec::new(), Vec::new(), Vec::new()];
        for (family, number, bytes) in &manifest.tables {
            let Some((of, _)) = FAMILIES.get(usize::from(*family)) else { continue };
            match open(&path_of(&folder, *of, *number), *number, *of, *bytes) {
                Ok(table) => tables[*of as usize].push(table),
                Err(error @ ShelfError::Damaged { .. }) if accept_loss => {
                    tracing::error!(%error, "goes on without it: what comes late for its records \
                        is counted anew");
                }
                Err(error) => return Err(error),
            }
        }
        // A number is used once: an older snapshot may still rest on a table that this one does
        // not name.
        let next = manifest.next.max(last_number(&folder)?.map_or(0, |last| last + 1));
        let mut sealed = Sealed {
            folder,
            next,
            tables,
            oldest: manifest.oldest,
            merger: Merger::default(),
            retained: VecDeque::from([manifest.numbers()]),
            unsynced: BTreeSet::new(),
        };
        sealed.hold_filters()?;
        Ok(sealed)
    }

    /// Names the tables as they are now.
    pub fn manifest(&self) -> Manifest {
        let mut tables = Vec::new();
        for (kind, list) in self.tables.iter().enumerate() {
            tables.extend(list.iter().map(|table| (kind as u8, table.number, table.bytes)));
        }
        Manifest { next: self.next, tables, oldest: self.oldest }
    }

    /// Makes everything durable that the manifest names.
    pub fn sync(&mut self) -> Result<(), ShelfError> {
        if self.unsynced.is_empty() {
            return Ok(());
        }
        fail::point("seal.sync");
        let written = self.tables.iter().flatten();
        for table in written.filter(|table| self.unsynced.contains(&table.number)) {
            table.sync()?;
        }
        std::fs::File::open(&self.folder)?.sync_all()?;
        self.unsynced.clear();
        Ok(())
    }

    /// A snapshot with this manifest is durable: removes what none of the kept ones names.
    pub fn saved(&mut self, manifest: &Manifest) -> Result<(), ShelfError> {
        self.retained.push_back(manifest.numbers());
        while self.retained.len() > KEPT {
            self.retained.pop_front();
        }
        if self.retained.len() < KEPT || !self.folder.exists() {
            return Ok(());
        }
        let mut needed = self.manifest().numbers();
        self.retained.iter().for_each(|numbers| needed.extend(numbers));
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let number = number_of(&path);
            fail::point("seal.clean");
            if number.is_some_and(|n| !needed.contains(&n) && !self.merger.is_writing(n)) {
                std::fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Puts a damaged file aside, so that the next start sees that it cannot be used.
    pub fn set_aside(error: &ShelfError) -> std::io::Result<()> {
        let ShelfError::Damaged { file, .. } = error else { return Ok(()) };
        std::fs::rename(file, format!("{file}.damaged"))
    }

    /// Bytes of all tables, and of the filters in memory.
    pub fn bytes(&self) -> (u64, u64) {
        let all = || self.tables.iter().flatten();
        let filters: u64 = all().map(Table::filter_bytes).sum();
        (all().map(|table| table.bytes).sum(), filters.min(FILTER_BYTES_MAX))
    }

    /// Tables there are.
    pub fn count(&self) -> usize {
        self.tables.iter().map(Vec::len).sum()
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// Newer tables first, as far as there is room.
    fn hold_filters(&mut self) -> Result<(), ShelfError> {
        let mut left = FILTER_BYTES_MAX;
        let mut all: Vec<&mut Table> = self.tables.iter_mut().flatten().collect();
        all.sort_by_key(|table| std::cmp::Reverse(table.number));
        for table in all {
            let fits = table.filter_bytes() <= left;
            left -= if fits { table.filter_bytes() } else { 0 };
            table.hold_filter(fits)?;
        }
        Ok(())
    }

    /// Takes over a merge that is done.
    fn install(&mut self, done: Done) -> Result<(), ShelfError> {
        let kind = done.family as usize;
        let merged = match done.written {
            Ok(true) => {
                let path = path_of(&self.folder, done.family, done.number);
                Some(Table::open(&path, done.number, done.family)?)
            }
            Ok(false) => None,
            Err(error) => {
                // The inputs are still there; the next batch tries again.
                tracing::warn!(%error, "sealed tables could not be merged");
                return Ok(());
            }
        };
        fail::point("seal.merged");
        let list = &mut self.tables[kind];
        let at = list.iter().position(|table| done.inputs.contains(&table.number));
        list.retain(|table| !done.inputs.contains(&table.number));
        if let (Some(at), Some(merged)) = (at, merged) {
            list.insert(at, merged);
            self.unsynced.insert(done.number);
        }
        self.hold_filters()
    }

    fn tend(&mut self, family: Family) -> Result<(), ShelfError> {
        if let Some(done) = self.merger.done() {
            self.install(done)?;
        }
        let list = &self.tables[family as usize];
        let Some(range) = merge::due(list, family) else { return Ok(()) };
        if self.merger.is_busy() {
            return Ok(());
        }
        let inputs = list[range].iter().map(|t| (t.number, t.path().to_owned())).collect();
        let number = self.number();
        let path = path_of(&self.folder, family, number);
        let oldest = self.oldest[family as usize];
        self.merger.start(family, number, path, inputs, oldest)?;
        Ok(())
    }
}

impl Shelf for Sealed {
    fn put(&mut self, batch: &Batch) -> Result<(), ShelfError> {
        if batch.records.is_empty() {
            return Ok(());
        }
        std::fs::create_dir_all(&self.folder)?;
        let number = self.number();
        let path = path_of(&self.folder, batch.family, number);
        fail::point("seal.put");
        let written = write(&path, batch).map_err(ShelfError::from);
        fail::point("seal.written");
        let opened = written.and_then(|()| Table::open(&path, number, batch.family));
        let table = match opened {
            Ok(table) => table,
            Err(error) => {
                // Half a table is of no use, and its space may be what is missing.
                let _ = std::fs::remove_file(&path);
                return Err(error);
            }
        };
        self.tables[batch.family as usize].push(table);
        self.unsynced.insert(number);
        self.hold_filters()?;
        self.tend(batch.family)
    }

    fn get(
        &mut self,
        family: Family,
        keys: &[u128],
        oldest: Part,
    ) -> Result<Vec<Record>, ShelfError> {
        let mut found = Vec::new();
        for key in keys {
            found.extend(newest(&mut self.tables[family as usize], *key, oldest)?);
        }
        Ok(found)
    }

    fn page(
        &mut self,
        family: Family,
        parts: &Range<Part>,
        from: Cursor,
    ) -> Result<Page, ShelfError> {
        let list = &mut self.tables[family as usize];
        let mut page = Page::default();
        let (mut at, mut block) = ((from.at >> 64) as u64, from.at as u64);
        while (at as usize) < list.len() {
            let (older, newer) = list.split_at_mut(at as usize + 1);
            let table = &older[at as usize];
            let apart = table.parts.1 < parts.start || table.parts.0 >= parts.end;
            if apart || block == table.blocks {
                (at, block) = (at + 1, 0);
                continue;
            }
            if page.records.len() >= PAGE_RECORDS {
                let at = u128::from(at) << 64 | u128::from(block);
                page.next = Some(Cursor { at, ..from });
                break;
            }
            for record in table.records_of(block)? {
                let wanted = parts.contains(&record.part);
                if wanted && newest(newer, record.key, 0)?.is_none() {
                    page.records.push(record);
                }
            }
            block += 1;
        }
        Ok(page)
    }

    fn drop_before(&mut self, family: Family, oldest: Part) {
        self.oldest[family as usize] = oldest;
        self.tables[family as usize].retain(|table| table.parts.1 >= oldest);
    }
}

impl Manifest {
    fn numbers(&self) -> BTreeSet<u64> {
        self.tables.iter().map(|table| table.1).collect()
    }
}

impl From<std::io::Error> for ShelfError {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        const NO_HANDLES: [i32; 2] = [23, 24];
        let full = matches!(error.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem)
            || error.raw_os_error().is_some_and(|code| NO_HANDLES.contains(&code));
        let text = error.to_string();
        if full { ShelfError::Full(text) } else { ShelfError::Failed(text) }
    }
}

fn open(path: &Path, number: u64, family: Family, bytes: u64) -> Result<Table, ShelfError> {
    let damaged = |what| ShelfError::Damaged { file: path.display().to_string(), what };
    if !path.exists() {
        return Err(damaged("it is missing"));
    }
    match Table::open(path, number, family)? {
        table if table.bytes == bytes => Ok(table),
        _ => Err(damaged("it has another size than when it was written")),
    }
}

fn write(path: &Path, batch: &Batch) -> std::io::Result<()> {
    let count = batch.records.len() as u64;
    let mut writer = Writer::create(path, batch.family, (batch.part, batch.part), count)?;
    for (key, bytes) in &batch.records {
        writer.push(*key, batch.part, bytes)?;
    }
    writer.finish()
}

/// The newest record of a key, when its part is not too old.
fn newest(tables: &mut [Table], key: u128, oldest: Part) -> Result<Option<Record>, ShelfError> {
    let probe = Probe::new(key);
    for table in tables.iter_mut().rev().take_while(|table| table.parts.1 >= oldest) {
        if !table.may_have(probe)? {
            continue;
        }
        if let Some(record) = table.get(key)? {
            return Ok((record.part >= oldest).then_some(record));
        }
    }
    Ok(None)
}

fn path_of(folder: &Path, family: Family, number: u64) -> PathBuf {
    folder.join(format!("{}-{number:012}.tab", FAMILIES[family as usize].1))
}

/// The greatest number in the folder.
fn last_number(folder: &Path) -> Result<Option<u64>, ShelfError> {
    if !folder.exists() {
        return Ok(None);
    }
    let mut last = None;
    for entry in std::fs::read_dir(folder)? {
        last = last.max(number_of(&entry?.path()));
    }
    Ok(last)
}

fn number_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.trim_end_matches(".damaged");
    name.strip_suffix(".tab")?.rsplit_once('-')?.1.parse().ok()
}
