//! Writes a catalog: places in their order.

use super::{CAPACITY, FOOT, LINE, Layout, MAGIC, entry_of, sum_of};
use crate::model::shelf::Family;
use crate::store::steady::Steady;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

const BUFFER_BYTES: usize = 256 << 10;

/// A catalog that is being written.
pub struct Writer {
    out: BufWriter<Steady>,
    layout: Layout,
    /// The line that is filled, its entries, and the least place that it may hold.
    at: u64,
    line: Vec<u8>,
    least: u64,
    /// The line of the place that came last and the first one after that.
    own: (u64, u64),
    keys: u64,
}

impl Writer {
    /// Of at most so many keys, over `spare` times as many lines as they need.
    pub fn create(path: &Path, keys: u64, spare: u64) -> std::io::Result<Writer> {
        let out = BufWriter::with_capacity(BUFFER_BYTES, Steady::new(File::create(path)?));
        let layout = Layout::of(keys * spare);
        let (line, own) = (Vec::with_capacity(LINE), (0, layout.start_of(1)));
        Ok(Writer { out, layout, at: 0, line, least: 0, own, keys: 0 })
    }

    /// Appends a key that may be in a table; places come in their order. False when too many have
    /// nearly the same: then nothing can be made of it.
    pub fn push(&mut self, place: u64, table: u16) -> std::io::Result<bool> {
        if place >= self.own.1 {
            let line = self.layout.line_of(place);
            self.own = (line, self.layout.start_of(line + 1));
        }
        while self.at < self.own.0 || self.line.len() == CAPACITY * 4 {
            self.end_line()?;
        }
        self.line.extend_from_slice(&entry_of(place, table));
        self.keys += 1;
        Ok(place >= self.least)
    }

    fn end_line(&mut self) -> std::io::Result<()> {
        let mut bytes = [0; LINE];
        let count = self.line.len() / 4;
        bytes[..4].copy_from_slice(&(count as u32).to_le_bytes());
        bytes[4..4 + count * 4].copy_from_slice(&self.line);
        let crc = crc32c::crc32c(&bytes[..LINE - 4]);
        bytes[LINE - 4..].copy_from_slice(&crc.to_le_bytes());
        self.out.write_all(&bytes)?;
        self.line.clear();
        self.at += 1;
        self.least = self.layout.least_of(self.at);
        Ok(())
    }

    /// Writes what comes after the lines, and makes all of it durable.
    pub fn finish(mut self, family: Family, tables: &[u64]) -> std::io::Result<()> {
        while self.at < self.layout.lines || !self.line.is_empty() {
            self.end_line()?;
        }
        let tables: Vec<u8> = tables.iter().flat_map(|table| table.to_le_bytes()).collect();
        let mut foot = [0; FOOT];
        foot[..8].copy_from_slice(&MAGIC);
        let (layout, count) = (self.layout.lines, tables.len() as u64 / 8);
        let words = [family as u64, self.keys, layout, self.at, count];
        for (at, word) in words.into_iter().enumerate() {
            foot[8 + at * 8..16 + at * 8].copy_from_slice(&word.to_le_bytes());
        }
        let crc = sum_of(&tables, &foot);
        foot[FOOT - 4..].copy_from_slice(&crc);
        self.out.write_all(&tables)?;
        self.out.write_all(&foot)?;
        self.out.flush()?;
        self.out.get_mut().file().sync_all()
    }
}
