//! A table read from its beginning to its end.

use super::table::About;
use super::tournament::Head;
use crate::model::shelf::{Part, ShelfError};
use std::ops::Range;
use std::sync::Arc;

/// Blocks that are read at once.
const READ_BLOCKS: usize = 8;

/// See the module.
pub struct Scan {
    table: Arc<About>,
    /// The next block to read, and the blocks that are read, what is left of the first and all
    /// of the others, last one first.
    block: u64,
    bytes: Vec<u8>,
    blocks: Vec<Range<usize>>,
    head: Option<(u128, Part, Range<usize>)>,
}

// === impl Scan ===

impl Scan {
    /// Before its first record.
    pub fn new(table: Arc<About>) -> Result<Self, ShelfError> {
        let (bytes, blocks) = Default::default();
        let mut scan = Scan { table, block: 0, bytes, blocks, head: None };
        scan.advance()?;
        Ok(scan)
    }

    /// Key and part of the record it is at; none at the end.
    pub fn head(&self) -> Option<Head> {
        self.head.as_ref().map(|(key, part, _)| Head { key: *key, part: *part })
    }

    /// The record it is at, from its key on.
    pub fn record(&self) -> &[u8] {
        self.head.as_ref().map_or(&[], |head| &self.bytes[head.2.clone()])
    }

    /// Goes on to the next record; whether blocks were read for it.
    pub fn advance(&mut self) -> Result<bool, ShelfError> {
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
