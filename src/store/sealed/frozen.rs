//! The tables of a moment, for a snapshot that is taken beside the engine: what is not written
//! yet is waited for, what is not durable yet is synced, and the [`Manifest`] names it all.

use super::backlog::Outcome;
use super::table::{Extent, Table};
use crate::fail;
use crate::model::shelf::{Family, Part, ShelfError};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

/// What a table is called, and where it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Named {
    pub(super) family: u8,
    pub(super) number: u64,
    /// The number of its file, where it begins in that, and its bytes.
    pub(super) volume: u64,
    pub(super) base: u64,
    pub(super) bytes: u64,
}

/// The tables of a moment.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Manifest {
    pub(super) next: u64,
    pub(super) tables: Vec<Named>,
    pub(super) oldest: [Part; 3],
    /// Family, number and size; nothing rests on them.
    pub(super) catalogs: Vec<(u8, u64, u64)>,
}

/// See the module.
pub struct Frozen {
    pub(super) folder: PathBuf,
    /// What is written.
    pub(super) manifest: Manifest,
    /// Files with something of that which is not known to be durable, by number.
    pub(super) unsynced: BTreeMap<u64, Arc<File>>,
    /// What is being written.
    pub(super) waiting: Vec<Arc<Outcome>>,
}

// === impl Frozen ===

impl Frozen {
    /// Makes all of it durable, and names it.
    pub fn sync(mut self) -> Result<Manifest, ShelfError> {
        for outcome in self.waiting {
            let (named, file) = outcome.wait()?;
            self.manifest.tables.push(named);
            self.unsynced.insert(named.volume, file);
        }
        if !self.unsynced.is_empty() {
            fail::point("seal.sync");
            for file in self.unsynced.into_values() {
                file.sync_all()?;
            }
            File::open(&self.folder)?.sync_all()?;
        }
        Ok(self.manifest)
    }
}

// === impl Named ===

impl Named {
    pub(super) fn of(family: Family, table: &Table) -> Self {
        let Extent { volume, base, bytes, .. } = table.extent;
        Named { family: family as u8, number: table.number, volume, base, bytes }
    }
}

// === impl Manifest ===

impl Manifest {
    /// The numbers of all its files.
    pub(super) fn files(&self) -> BTreeSet<u64> {
        let catalogs = self.catalogs.iter().map(|catalog| catalog.1);
        self.tables.iter().map(|table| table.volume).chain(catalogs).collect()
    }
}
