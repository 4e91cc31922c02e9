//! Merges tables of like size into one, so that a lookup asks few tables. Neighbours only: parts
//! stay in order. Older records of a key, and those of parts that were dropped, are left out.
//!
//! Each merge writes all its records again. Traces and response ids go with their parts one day,
//! so they are merged until a table is large; from then on a catalog says where they are. Units
//! stay: all but the newest record of each must go some time.

use super::recent::span;
use super::scan::Scan;
use super::table::{About, Extent, Table};
use super::tournament::{Head, Tournament};
use super::worker::{Job, Made};
use super::write::Writer;
use crate::model::shelf::{Family, Part, ShelfError};
use crate::store::steady::Steady;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Tables of like size that make one, of units …
const UNITS_FAN: usize = 4;
/// … and of others.
pub(super) const FAN: usize = 32;
/// Records of a table that is not merged any more, unless it is one of units: what join memory lets
/// go of at once has as many when it is in a hurry.
const LARGE: u64 = if cfg!(test) { 1 << 9 } else { 1 << 14 };

/// What is to be merged.
pub struct Merge {
    /// Of which family.
    pub family: Family,
    /// Older parts are left out.
    pub oldest: Part,
    /// The tables, oldest first.
    pub inputs: Vec<Arc<About>>,
}

/// The newest neighbours that should be merged: enough of like size.
pub fn due(tables: &[Table], family: Family) -> Option<Range<usize>> {
    let size = |table: &Table| if is_large(table, family) { u32::MAX } else { size(table.records) };
    let sizes: Vec<u32> = tables.iter().map(size).collect();
    let fan = if family == Family::Units { UNITS_FAN } else { FAN };
    let mut end = sizes.len();
    while end > 0 {
        let own = sizes[end - 1];
        // Smaller ones between larger ones go with them.
        let start = sizes[..end].iter().rposition(|size| *size > own).map_or(0, |at| at + 1);
        if own < u32::MAX && end - start >= fan {
            return Some(start..end);
        }
        end = start.min(end - 1);
    }
    None
}

/// Whether a table is not merged any more.
pub fn is_large(table: &Table, family: Family) -> bool {
    family != Family::Units && table.records >= LARGE
}

fn size(records: u64) -> u32 {
    records.max(1).ilog2() / 4
}

// === impl Merge ===

impl Job for Merge {
    fn inputs(&self) -> Vec<u64> {
        self.inputs.iter().map(|input| input.number).collect()
    }

    fn make(&self, path: &Path, number: u64, stop: &AtomicBool) -> Result<Made, ShelfError> {
        let parts = span(self.inputs.iter().map(|input| input.parts)).unwrap_or_default();
        let count = self.inputs.iter().map(|input| input.records).sum();
        let mut steady = Steady::new(File::create(path)?);
        let mut writer = Writer::new(&mut steady, self.family, parts, count);
        if !self.copy(&mut writer, stop)? {
            return Ok(Made::Nothing);
        }
        let (filter, _) = writer.finish()?;
        steady.file().sync_all()?;
        let extent = Extent::whole(path, number)?;
        Ok(Made::Table(Box::new(Table::written(extent, number, self.family, filter)?)))
    }
}

impl Merge {
    /// Whether there was anything.
    fn copy(
        &self,
        writer: &mut Writer<&mut Steady>,
        stop: &AtomicBool,
    ) -> Result<bool, ShelfError> {
        let open = self.inputs.iter().map(|input| Scan::new(input.clone()));
        let mut open = open.collect::<Result<Vec<Scan>, ShelfError>>()?;
        let mut heads = Tournament::new(open.iter().map(Scan::head));
        let (mut last, mut any) = (None, false);
        while let Some((at, Head { key, part })) = heads.least() {
            let input = &mut open[at];
            if last != Some(key) && part >= self.oldest {
                writer.take_over(key, part, input.record())?;
                any = true;
            }
            last = Some(key);
            if input.advance()? && stop.load(Relaxed) {
                return Err(ShelfError::Failed("stopped".into()));
            }
            heads.replace(at, input.head());
        }
        Ok(any)
    }
}
