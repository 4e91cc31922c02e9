//! Records that left the engine's memory, on disk: `DIR/sealed/<family>-<number>.tab`.
//!
//! Flow: batch → one immutable table, written on a thread → tables of like size are merged on
//! another → large ones get a catalog in common → tables whose parts are all beyond the horizon go. Nothing is ever changed in place: a
//! [`Manifest`] names the tables of a moment, a snapshot of the engine carries it, and tables stay
//! as long as one of the last two snapshots names them. So a restart sees exactly the records that
//! were there when its snapshot was taken, whatever was written after. What is asked and put is in
//! `asked`.

mod asked;
mod backlog;
mod catalog;
mod filter;
mod frozen;
mod kind;
mod merge;
mod recent;
mod scan;
mod table;
#[cfg(test)]
mod tests;
mod tournament;
mod volume;
mod worker;
mod write;

use crate::fail;
use crate::model::shelf::{Family, ShelfError};
use backlog::Backlog;
use catalog::Catalog;
use frozen::Named;
pub use frozen::{Frozen, Manifest};
use kind::Kind;
use recent::{NEVER, Recent};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use table::{Extent, Table};
use worker::{Done, Made, Worker};

/// Bytes of filters that are held in memory; of further ones a line is read when it is needed.
/// Tests need few, so that each kind of going without is tried.
pub const FILTER_BYTES_MAX: u64 = if cfg!(test) { 8 << 10 } else { 16 << 20 };
/// Snapshots whose tables are kept.
const KEPT: usize = 2;
const FAMILIES: [(Family, &str); 3] =
    [(Family::Traces, "traces"), (Family::Responses, "responses"), (Family::Units, "units")];

/// See the module.
pub struct Sealed {
    folder: PathBuf,
    next: u64,
    /// By family.
    kinds: [Kind; 3],
    backlog: Backlog,
    worker: Worker,
    retained: VecDeque<BTreeSet<u64>>,
    /// Tables that are not known to be durable.
    unsynced: BTreeSet<u64>,
}

// === impl Sealed ===

impl Sealed {
    /// Opens the tables of a manifest; what else is in the folder is left alone until snapshots
    /// no longer need it. With `accept_loss` damaged tables are named and left out.
    pub fn open(dir: &Path, manifest: &Manifest, accept_loss: bool) -> Result<Sealed, ShelfError> {
        let folder = dir.join("sealed");
        let mut kinds = FAMILIES.map(|(family, _)| {
            Kind::new(family, manifest.oldest[family as usize], Recent::new(NEVER))
        });
        let mut files = HashMap::new();
        for named in &manifest.tables {
            let Some((of, _)) = FAMILIES.get(usize::from(named.family)) else { continue };
            match open(&folder, named, *of, &mut files) {
                Ok(table) => kinds[*of as usize].push(table),
                Err(error @ ShelfError::Damaged { .. }) if accept_loss => {
                    tracing::error!(%error, "goes on without it: what comes late for its records \
                        is counted anew");
                }
                Err(error) => return Err(error),
            }
        }
        open_catalogs(&folder, manifest, &mut kinds);
        // Units come again and again, and response ids that are nowhere are hardly ever asked for:
        // the tables' own filters are better for them.
        let traces = &mut kinds[Family::Traces as usize];
        let last = traces.tables().iter().map(|table| table.parts.1).max();
        traces.recent = Recent::new(last.map_or(0, |last| last + 1));
        // A number is used once: an older snapshot may still rest on a table that this one does
        // not name.
        let next = manifest.next.max(last_number(&folder)?.map_or(0, |last| last + 1));
        let mut sealed = Sealed {
            backlog: Backlog::new(folder.clone()),
            folder,
            next,
            kinds,
            worker: Worker::default(),
            retained: VecDeque::from([manifest.files()]),
            unsynced: BTreeSet::new(),
        };
        sealed.hold_filters()?;
        Ok(sealed)
    }

    /// What there is now, for a snapshot: it has to be durable before one may rest on it.
    pub fn freeze(&mut self) -> Result<Frozen, ShelfError> {
        self.take_written()?;
        let (mut tables, mut catalogs, mut unsynced) = (Vec::new(), Vec::new(), BTreeMap::new());
        for (kind, (family, _)) in self.kinds.iter().zip(FAMILIES) {
            tables.extend(kind.tables().iter().map(|table| Named::of(family, table)));
            catalogs.extend(kind.catalogs().iter().map(|c| (family as u8, c.number, c.bytes)));
            for table in kind.tables().iter().filter(|t| self.unsynced.contains(&t.number)) {
                unsynced.insert(table.extent.volume, table.extent.file.clone());
            }
        }
        let waiting = self.backlog.outcomes().collect();
        let oldest = [0, 1, 2].map(|kind| self.kinds[kind].oldest);
        let manifest = Manifest { next: self.next, tables, oldest, catalogs };
        Ok(Frozen { folder: self.folder.clone(), manifest, unsynced, waiting })
    }

    /// A snapshot with this manifest is durable: removes what none of the kept ones names, on a
    /// thread.
    pub fn saved(&mut self, manifest: &Manifest) -> Result<(), ShelfError> {
        for table in &manifest.tables {
            self.unsynced.remove(&table.number);
        }
        self.retained.push_back(manifest.files());
        while self.retained.len() > KEPT {
            self.retained.pop_front();
        }
        if self.retained.len() < KEPT || !self.folder.exists() {
            return Ok(());
        }
        let mut needed: BTreeSet<u64> = self.retained.iter().flatten().copied().collect();
        needed.extend(self.kinds.iter().flat_map(Kind::tables).map(|t| t.extent.volume));
        needed.extend(self.kinds.iter().flat_map(Kind::catalogs).map(|c| c.number));
        // Their file is not known yet.
        needed.extend(FAMILIES.iter().flat_map(|of| self.backlog.of(of.0)).map(|one| one.number));
        needed.extend(self.worker.writing());
        self.backlog.clean(needed, self.next)
    }

    /// Puts a damaged file aside, so that the next start sees that it cannot be used.
    pub fn set_aside(error: &ShelfError) -> std::io::Result<()> {
        let ShelfError::Damaged { file, .. } = error else { return Ok(()) };
        std::fs::rename(file, format!("{file}.damaged"))
    }

    /// Bytes of all tables that are written and of their catalogs, and of the filters in memory.
    pub fn bytes(&self) -> (u64, u64) {
        let tables = self.kinds.iter().flat_map(Kind::tables);
        let catalogs = self.kinds.iter().flat_map(Kind::catalogs);
        let catalogs: u64 = catalogs.map(|catalog| catalog.bytes).sum();
        let held = tables.clone().filter(|table| table.holds_filter());
        let held: u64 = held.map(|table| table.filter_bytes()).sum();
        let recent: u64 = self.kinds.iter().map(|kind| kind.recent.bytes()).sum();
        (tables.map(|table| table.extent.bytes).sum::<u64>() + catalogs, held + recent)
    }

    /// Tables there are.
    pub fn count(&self) -> usize {
        self.kinds.iter().map(|kind| kind.tables().len()).sum::<usize>() + self.backlog.len()
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// Keeps filters within their limit: first those of units, newer tables first, up to five eighths
    /// of it, then those of traces without a catalog, up to a quarter of the rest, then what was put
    /// lately, then response ids.
    fn hold_filters(&mut self) -> Result<(), ShelfError> {
        let [traces, responses, units] = &mut self.kinds;
        let mut left = FILTER_BYTES_MAX;
        left -= hold(units, left / 8 * 5)?;
        left -= hold(traces, left / 4)?;
        while traces.recent.bytes() > left {
            traces.recent.forget_oldest();
        }
        left -= traces.recent.bytes();
        hold(responses, left).map(drop)
    }

    /// Takes over tables that are written.
    fn take_written(&mut self) -> Result<(), ShelfError> {
        let mut any = false;
        while let Some((family, table)) = self.backlog.written()? {
            self.unsynced.insert(table.number);
            self.kinds[family as usize].push(table);
            any = true;
        }
        if any { self.hold_filters() } else { Ok(()) }
    }

    /// Takes over what was made of tables.
    fn install(&mut self, done: Done) -> Result<(), ShelfError> {
        let made = match done.made {
            Ok(made) => made,
            Err(error) => {
                // The inputs are still there; the next batch tries again.
                tracing::warn!(%error, "sealed tables could not be merged");
                self.kinds[done.family as usize].failed(&done.inputs, &error);
                return Ok(());
            }
        };
        fail::point("seal.merged");
        let kind = &mut self.kinds[done.family as usize];
        match made {
            Made::Nothing => kind.replace(&done.inputs, None),
            Made::Table(table) => {
                self.unsynced.insert(table.number);
                kind.replace(&done.inputs, Some(*table));
            }
            Made::Catalog(catalog) => kind.replace_catalogs(&done.inputs, *catalog),
        }
        self.hold_filters()
    }

    fn tend(&mut self) -> Result<(), ShelfError> {
        if let Some(done) = self.worker.done() {
            self.install(done)?;
        }
        if self.worker.writing().is_some() {
            return Ok(());
        }
        // Every unit that is new is asked for in all of their tables.
        for family in [Family::Units, Family::Traces, Family::Responses] {
            let Some(job) = self.kinds[family as usize].job() else { continue };
            let number = self.number();
            let path = path_of(&self.folder, family, number);
            return Ok(self.worker.start(family, number, path, job)?);
        }
        Ok(())
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

/// Opens a table; its file is opened once.
fn open(
    folder: &Path,
    named: &Named,
    family: Family,
    files: &mut HashMap<u64, Extent>,
) -> Result<Table, ShelfError> {
    let Named { number, volume, base, bytes, .. } = *named;
    let path = path_of(folder, family, volume);
    let damaged = |what| ShelfError::Damaged { file: path.display().to_string(), what };
    let whole = match files.entry(volume) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(_) if !path.exists() => return Err(damaged("it is missing")),
        Entry::Vacant(new) => new.insert(Extent::whole(&path, volume)?),
    };
    if base.checked_add(bytes).is_none_or(|end| end > whole.bytes) {
        return Err(damaged("it is shorter than when it was written"));
    }
    Table::open(Extent { base, bytes, ..whole.clone() }, number, family)
}

/// Catalogs that cannot be read are left out: there will be new ones.
fn open_catalogs(folder: &Path, manifest: &Manifest, kinds: &mut [Kind; 3]) {
    for (family, number, bytes) in &manifest.catalogs {
        let Some((of, _)) = FAMILIES.get(usize::from(*family)) else { continue };
        match Catalog::open(&path_of(folder, *of, *number), *number, *of) {
            Ok(catalog) if catalog.bytes == *bytes => kinds[*of as usize].push_catalog(catalog),
            Ok(_) => tracing::warn!(number, "goes on without a catalog that has another size"),
            Err(error) => tracing::warn!(%error, "goes on without a catalog of sealed records"),
        }
    }
}

/// Holds the filters of newer tables that no catalog covers, as far as there is room; gives what
/// they take.
fn hold(kind: &mut Kind, room: u64) -> Result<u64, ShelfError> {
    let mut taken = 0;
    for table in kind.uncovered_mut().iter_mut().rev() {
        if taken + table.filter_bytes() <= room {
            table.hold_filter()?;
            taken += table.filter_bytes();
        } else {
            table.forget_filter();
        }
    }
    Ok(taken)
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
