//! A shelf over another one that is only read: what is sealed stays in memory.

use crate::model::shelf::{
    Batch, Cursor, Family, MemoryShelf, Page, Part, Record, Shelf, ShelfError,
};
use crate::store::Sealed;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Tables on disk, and above them what was sealed since.
pub struct Overlay {
    below: Sealed,
    above: MemoryShelf,
}

/// The layers of a walk.
const BELOW: u8 = 0;
const ABOVE: u8 = 1;

impl Overlay {
    /// Over these tables.
    pub fn new(below: Sealed) -> Self {
        Overlay { below, above: MemoryShelf::default() }
    }
}

impl Shelf for Overlay {
    fn put(&mut self, batch: &Arc<Batch>) -> Result<(), ShelfError> {
        self.above.put(batch)
    }

    fn get(
        &mut self,
        family: Family,
        keys: &[u128],
        oldest: Part,
    ) -> Result<Vec<Record>, ShelfError> {
        let below = self.below.get(family, keys, oldest)?;
        let above = self.above.get(family, keys, oldest)?;
        // Of two the later one holds: what was sealed since is newer.
        let all = below.into_iter().chain(above).map(|record| (record.key, record));
        Ok(all.collect::<BTreeMap<_, _>>().into_values().collect())
    }

    fn page(
        &mut self,
        family: Family,
        parts: &Range<Part>,
        from: Cursor,
    ) -> Result<Page, ShelfError> {
        if from.layer != BELOW {
            return self.above.page(family, parts, from);
        }
        let mut page = self.below.page(family, parts, from)?;
        let keys: Vec<u128> = page.records.iter().map(|record| record.key).collect();
        let newer = self.above.get(family, &keys, 0)?;
        page.records.retain(|record| newer.iter().all(|other| other.key != record.key));
        page.next = page.next.or(Some(Cursor { layer: ABOVE, at: 0 }));
        Ok(page)
    }

    fn drop_before(&mut self, family: Family, oldest: Part) {
        self.below.drop_before(family, oldest);
        self.above.drop_before(family, oldest);
    }
}
