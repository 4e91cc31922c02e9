//! Files to which batches are appended as tables, one after the other. A table of its own file each
//! would be thousands of files, or be written again to make fewer.

use super::path_of;
use super::table::{Extent, Table};
use super::write;
use crate::model::shelf::{Batch, Family, ShelfError};
use crate::store::steady::Steady;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes after which a file is full.
const BYTES_MAX: u64 = if cfg!(test) { 64 << 10 } else { 32 << 20 };

/// The file of each family that is written.
pub struct Volumes {
    folder: PathBuf,
    open: [Option<Volume>; 3],
}

struct Volume {
    number: u64,
    path: Arc<Path>,
    /// To write it …
    out: Steady,
    at: u64,
    /// … and for its tables.
    file: Arc<File>,
    tables: Vec<u64>,
}

// === impl Volumes ===

impl Volumes {
    /// In a folder.
    pub fn new(folder: PathBuf) -> Self {
        Volumes { folder, open: Default::default() }
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The numbers of their files. One is ended when no table in it is needed: the first one has its
    /// number.
    pub fn numbers(&mut self, needed: &BTreeSet<u64>) -> BTreeSet<u64> {
        for open in &mut self.open {
            drop(open.take_if(|one| !one.tables.iter().any(|table| needed.contains(table))));
        }
        self.open.iter().flatten().map(|volume| volume.number).collect()
    }

    /// Appends a batch; its table has this number, and a new file, too.
    pub fn append(&mut self, batch: &Batch, number: u64) -> Result<Table, ShelfError> {
        let open = &mut self.open[batch.family as usize];
        // After an error nobody knows what is in it.
        let mut volume = match open.take() {
            Some(volume) => volume,
            None => Volume::create(&self.folder, batch.family, number)?,
        };
        let table = volume.append(batch, number).inspect_err(|_| volume.undo())?;
        *open = Some(volume).filter(|volume| volume.at < BYTES_MAX);
        Ok(table)
    }
}

// === impl Volume ===

impl Volume {
    fn create(folder: &Path, family: Family, number: u64) -> Result<Self, ShelfError> {
        let path: Arc<Path> = path_of(folder, family, number).into();
        let out = Steady::new(File::create(&path)?);
        let file = Arc::new(File::open(&path)?);
        Ok(Volume { number, path, out, at: 0, file, tables: Vec::new() })
    }

    fn append(&mut self, batch: &Batch, number: u64) -> Result<Table, ShelfError> {
        let (filter, bytes) = write::table(&mut self.out, batch)?;
        let (file, path) = (self.file.clone(), self.path.clone());
        let extent = Extent { file, path, volume: self.number, base: self.at, bytes };
        let table = Table::written(extent, number, batch.family, filter)?;
        self.at += bytes;
        self.tables.push(number);
        Ok(table)
    }

    /// Half a table is of no use, and its space may be what is missing.
    fn undo(&mut self) {
        let _ = match self.at {
            0 => std::fs::remove_file(&self.path),
            at => self.out.file().set_len(at),
        };
    }
}
