//! The tables of a moment, for a snapshot that is taken beside the engine: what is not written
//! yet is waited for, what is not durable yet is synced, and the [`Manifest`] names it all.

use super::backlog::Outcome;
use crate::fail;
use crate::model::shelf::{Part, ShelfError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

/// The tables of a moment.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Manifest {
    pub(super) next: u64,
    /// Family, number, size.
    pub(super) tables: Vec<(u8, u64, u64)>,
    pub(super) oldest: [Part; 3],
    /// Catalogs in the same way; nothing rests on them.
    pub(super) catalogs: Vec<(u8, u64, u64)>,
}

/// See the module.
pub struct Frozen {
    pub(super) folder: PathBuf,
    /// What is written.
    pub(super) manifest: Manifest,
    /// Of that, what is not known to be durable.
    pub(super) unsynced: Vec<Arc<File>>,
    /// What is being written, by family and number.
    pub(super) waiting: Vec<(u8, u64, Arc<Outcome>)>,
}

// === impl Frozen ===

impl Frozen {
    /// Makes all of it durable, and names it.
    pub fn sync(mut self) -> Result<Manifest, ShelfError> {
        for (family, number, outcome) in self.waiting {
            let (file, bytes) = outcome.wait()?;
            self.manifest.tables.push((family, number, bytes));
            self.unsynced.push(file);
        }
        if !self.unsynced.is_empty() {
            fail::point("seal.sync");
            for file in self.unsynced {
                file.sync_all()?;
            }
            File::open(&self.folder)?.sync_all()?;
        }
        Ok(self.manifest)
    }
}

// === impl Manifest ===

impl Manifest {
    /// Of all its files.
    pub(super) fn numbers(&self) -> BTreeSet<u64> {
        self.tables.iter().chain(&self.catalogs).map(|file| file.1).collect()
    }
}
