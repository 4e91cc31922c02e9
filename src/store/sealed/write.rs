//! Writes a table: records in the order of their keys, in blocks.

use super::filter::{self, Filter, Probe};
use super::table::{FOOT, Foot, PIECE, key_bytes};
use crate::model::shelf::{Batch, Family, Part};
use crate::model::varint;
use std::io::{BufWriter, Write};

/// Bytes of a block, about. A unit that comes again is looked up: a block of theirs is read, checked
/// and searched for one record. Others are mostly read by merges, one block after the other.
fn block_bytes(family: Family) -> usize {
    match family {
        Family::Units => 1 << 10,
        Family::Traces | Family::Responses => 8 << 10,
    }
}

const BUFFER_BYTES: usize = 256 << 10;
/// Keys that are added to the filter together.
const PROBES: usize = 1 << 16;

/// A table that is being written.
pub struct Writer<W: Write> {
    out: BufWriter<W>,
    at: u64,
    block: Vec<u8>,
    block_bytes: usize,
    first: u128,
    /// Entries of the index, in pieces with their checksums.
    index: Vec<u8>,
    piece: Vec<u8>,
    top: Vec<u8>,
    filter: Filter,
    /// Keys that are not in the filter yet.
    probes: Vec<Probe>,
    foot: Foot,
}

impl<W: Write> Writer<W> {
    /// Of records of these parts, at most so many.
    pub fn new(out: W, family: Family, parts: (Part, Part), count: u64) -> Self {
        let out = BufWriter::with_capacity(BUFFER_BYTES, out);
        let foot = Foot {
            family,
            records: 0,
            parts,
            blocks: 0,
            index_at: 0,
            top_at: 0,
            filter_at: 0,
            lines: 0,
            top_crc: 0,
        };
        let (block, index, piece, top, probes) = Default::default();
        let (filter, block_bytes) = (Filter::new(count), block_bytes(family));
        let (at, first) = (0, 0);
        Writer { out, at, block, block_bytes, first, index, piece, top, filter, probes, foot }
    }

    /// Appends a record; its key is above all before.
    pub fn push(&mut self, key: u128, part: Part, bytes: &[u8]) -> std::io::Result<()> {
        self.begin(key, part);
        let length = key_bytes(self.foot.family);
        self.block.extend_from_slice(&key.to_le_bytes()[..length]);
        varint::put(&mut self.block, bytes.len() as u64);
        self.block.extend_from_slice(bytes);
        self.end(key)
    }

    /// The same of a record of another table, from its key on as it stands there.
    pub fn take_over(&mut self, key: u128, part: Part, record: &[u8]) -> std::io::Result<()> {
        self.begin(key, part);
        self.block.extend_from_slice(record);
        self.end(key)
    }

    fn begin(&mut self, key: u128, part: Part) {
        if self.block.is_empty() {
            self.first = key;
        }
        varint::put(&mut self.block, u64::from(part - self.foot.parts.0));
    }

    fn end(&mut self, key: u128) -> std::io::Result<()> {
        self.probes.push(Probe::new(key));
        if self.probes.len() == PROBES {
            self.add_probes();
        }
        self.foot.records += 1;
        if self.block.len() >= self.block_bytes {
            self.end_block()?;
        }
        Ok(())
    }

    fn add_probes(&mut self) {
        for probe in filter::grouped(&self.probes) {
            self.filter.add(probe);
        }
        self.probes.clear();
    }

    fn end_block(&mut self) -> std::io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        if self.piece.is_empty() {
            self.top.extend_from_slice(&self.first.to_le_bytes());
        }
        self.piece.extend_from_slice(&self.first.to_le_bytes());
        self.piece.extend_from_slice(&self.at.to_le_bytes());
        self.piece.extend_from_slice(&(self.block.len() as u32).to_le_bytes());
        self.foot.blocks += 1;
        if self.foot.blocks.is_multiple_of(PIECE as u64) {
            self.end_piece();
        }
        self.out.write_all(&self.block)?;
        self.out.write_all(&crc32c::crc32c(&self.block).to_le_bytes())?;
        self.at += self.block.len() as u64 + 4;
        self.block.clear();
        Ok(())
    }

    fn end_piece(&mut self) {
        if !self.piece.is_empty() {
            let crc = crc32c::crc32c(&self.piece);
            self.index.append(&mut self.piece);
            self.index.extend_from_slice(&crc.to_le_bytes());
        }
    }

    /// Writes what comes after the records; gives the filter and the bytes of it all.
    pub fn finish(mut self) -> std::io::Result<(Filter, u64)> {
        self.end_block()?;
        self.end_piece();
        self.add_probes();
        let foot = &mut self.foot;
        foot.index_at = self.at;
        foot.top_at = self.at + self.index.len() as u64;
        foot.filter_at = foot.top_at + self.top.len() as u64;
        foot.lines = self.filter.bytes() / filter::LINE as u64;
        foot.top_crc = crc32c::crc32c(&self.top);
        self.out.write_all(&self.index)?;
        self.out.write_all(&self.top)?;
        for line in self.filter.summed() {
            self.out.write_all(&line)?;
        }
        self.out.write_all(&foot.encode())?;
        self.out.flush()?;
        let filter_bytes = self.filter.bytes();
        Ok((self.filter, self.foot.filter_at + filter_bytes + FOOT as u64))
    }
}

/// Writes a batch.
pub fn table(out: impl Write, batch: &Batch) -> std::io::Result<(Filter, u64)> {
    let count = batch.records.len() as u64;
    let mut writer = Writer::new(out, batch.family, (batch.part, batch.part), count);
    for (key, bytes) in &batch.records {
        writer.push(*key, batch.part, bytes)?;
    }
    writer.finish()
}
