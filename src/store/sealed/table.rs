//! Records sorted by key, never changed: a piece of a file, see [`Extent`].
//!
//! ```text
//! blocks: (part − first part, varint | key 16, or 8 of a response id | length, varint | bytes)… | crc 4
//! index:  64 × (first key 16 | offset 8 | length 4) | crc 4, one per 64 blocks
//! top:    first key 16 per piece of the index
//! filter: lines of 64 bytes, each with its crc
//! foot:   88 bytes, with the crc of top and of itself
//! ```
//! All little endian. Whatever is read is checked; a wrong byte is an error, never an answer.
//! In memory are the top and, while there is room, the filter.

use super::filter::{self, Filter, LINE, Probe};
use crate::model::shelf::{Family, Part, Record, ShelfError};
use crate::model::varint;
use std::fs::File;
use std::ops::Deref;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

pub(super) const MAGIC: [u8; 8] = *b"armstab2";
pub(super) const FOOT: usize = 88;
pub(super) const PIECE: usize = 64;
pub(super) const ENTRY: usize = 28;

/// Something that can be asked.
pub struct Table {
    about: Arc<About>,
    filter: Option<Filter>,
}

/// All of it but the filter.
pub struct About {
    /// Its number.
    pub number: u64,
    /// First and last part of its records.
    pub parts: (Part, Part),
    /// Records.
    pub records: u64,
    /// How many blocks.
    pub blocks: u64,
    /// Where it is.
    pub extent: Extent,
    key_bytes: usize,
    index_at: u64,
    filter_at: u64,
    lines: u64,
    top: Vec<u128>,
}

/// A piece of a file.
#[derive(Clone)]
pub struct Extent {
    /// The file …
    pub file: Arc<File>,
    /// … and what it is called.
    pub path: Arc<Path>,
    /// The number of the file.
    pub volume: u64,
    /// Where it begins.
    pub base: u64,
    /// Its bytes.
    pub bytes: u64,
}

/// What was read last, of which table: keys that are asked for in order read each block, and each
/// piece of the index, once. Its room is used again.
#[derive(Default)]
pub struct Desk {
    piece: Held<Vec<Entry>>,
    block: Held<Vec<u8>>,
    room: Vec<u8>,
}

/// Bytes of a key in a record.
pub(super) fn key_bytes(family: Family) -> usize {
    match family {
        Family::Responses => 8,
        Family::Traces | Family::Units => 16,
    }
}

/// Where a block is.
struct Entry {
    first: u128,
    at: u64,
    len: usize,
}

/// Something of a table, and the number of both.
#[derive(Default)]
struct Held<T> {
    of: Option<(u64, u64)>,
    what: T,
}

/// What the end of a file says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Foot {
    pub family: Family,
    pub records: u64,
    pub parts: (Part, Part),
    pub blocks: u64,
    pub index_at: u64,
    pub top_at: u64,
    pub filter_at: u64,
    pub lines: u64,
    pub top_crc: u32,
}

// === impl Foot ===

impl Foot {
    pub(super) fn encode(&self) -> [u8; FOOT] {
        let mut out = [0; FOOT];
        out[..8].copy_from_slice(&MAGIC);
        let words = [
            self.family as u64,
            self.records,
            u64::from(self.parts.0) << 32 | u64::from(self.parts.1),
            self.blocks,
            self.index_at,
            self.top_at,
            self.filter_at,
            self.lines,
            u64::from(self.top_crc),
        ];
        for (at, word) in words.into_iter().enumerate() {
            out[8 + at * 8..16 + at * 8].copy_from_slice(&word.to_le_bytes());
        }
        let crc = crc32c::crc32c(&out[..FOOT - 8]);
        out[FOOT - 8..FOOT - 4].copy_from_slice(&crc.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8; FOOT], family: Family) -> Result<Foot, &'static str> {
        let crc = crc32c::crc32c(&bytes[..FOOT - 8]).to_le_bytes();
        if bytes[..8] != MAGIC || bytes[FOOT - 8..FOOT - 4] != crc || bytes[FOOT - 4..] != [0; 4] {
            return Err("its end is not that of a table");
        }
        let word = |at: usize| u64_at(bytes, 8 + at * 8);
        if word(0) != family as u64 {
            return Err("it holds records of another kind");
        }
        Ok(Foot {
            family,
            records: word(1),
            parts: ((word(2) >> 32) as Part, word(2) as Part),
            blocks: word(3),
            index_at: word(4),
            top_at: word(5),
            filter_at: word(6),
            lines: word(7),
            top_crc: word(8) as u32,
        })
    }
}

// === impl Extent ===

impl Extent {
    /// All of a file.
    pub fn whole(path: &Path, volume: u64) -> std::io::Result<Extent> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Extent { file: Arc::new(file), path: path.into(), volume, base: 0, bytes })
    }

    fn read(&self, at: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.file.read_exact_at(out, self.base + at)
    }

    fn damaged(&self, what: &'static str) -> ShelfError {
        ShelfError::Damaged { file: self.path.display().to_string(), what }
    }
}

// === impl Table ===

impl Table {
    /// Checks its end.
    pub fn open(extent: Extent, number: u64, family: Family) -> Result<Table, ShelfError> {
        let mut foot = [0; FOOT];
        let at = extent.bytes.checked_sub(FOOT as u64);
        let at = at.ok_or_else(|| extent.damaged("it is cut short"))?;
        extent.read(at, &mut foot)?;
        let foot = Foot::decode(&foot, family).map_err(|what| extent.damaged(what))?;
        let size = foot.filter_at.saturating_sub(foot.top_at);
        if foot.filter_at + foot.lines * LINE as u64 != at || size > at || size % 16 != 0 {
            return Err(extent.damaged("its parts do not fit together"));
        }
        let mut top = vec![0; size as usize];
        extent.read(foot.top_at, &mut top)?;
        if crc32c::crc32c(&top) != foot.top_crc {
            return Err(extent.damaged("its index is not what was written"));
        }
        let about = About {
            number,
            parts: foot.parts,
            records: foot.records,
            blocks: foot.blocks,
            extent,
            key_bytes: key_bytes(family),
            index_at: foot.index_at,
            filter_at: foot.filter_at,
            lines: foot.lines,
            top: top.chunks_exact(16).map(|key| u128_at(key, 0)).collect(),
        };
        Ok(Table { about: Arc::new(about), filter: None })
    }

    /// The same of one that was just written, with its filter.
    pub fn written(
        extent: Extent,
        number: u64,
        family: Family,
        filter: Filter,
    ) -> Result<Table, ShelfError> {
        let table = Table::open(extent, number, family)?;
        Ok(Table { filter: Some(filter), ..table })
    }

    /// All but the filter, for another thread.
    pub fn about(&self) -> Arc<About> {
        self.about.clone()
    }

    /// Whether its filter is in memory.
    pub fn holds_filter(&self) -> bool {
        self.filter.is_some()
    }

    /// Lets go of the filter.
    pub fn forget_filter(&mut self) {
        self.filter = None;
    }

    /// Takes the filter into memory.
    pub fn hold_filter(&mut self) -> Result<(), ShelfError> {
        if self.filter.is_some() {
            return Ok(());
        }
        let mut bytes = vec![0; self.filter_bytes() as usize];
        self.extent.read(self.filter_at, &mut bytes)?;
        let read = Filter::read(&bytes);
        let damaged = || self.extent.damaged("its filter is not what was written");
        self.filter = Some(read.ok_or_else(damaged)?);
        Ok(())
    }

    /// Whether it may have a key; when not, it has not.
    pub fn may_have(&self, probe: Probe) -> Result<bool, ShelfError> {
        if let Some(filter) = &self.filter {
            return Ok(filter.has(probe));
        }
        let at = probe.line(self.lines) * LINE as u64;
        let mut line = [0; LINE];
        self.extent.read(self.filter_at + at, &mut line)?;
        match filter::is_whole(&line) {
            true => Ok(probe.is_in(&line)),
            false => Err(self.extent.damaged("its filter is not what was written")),
        }
    }
}

impl Deref for Table {
    type Target = About;

    fn deref(&self) -> &About {
        &self.about
    }
}

// === impl About ===

impl About {
    /// Bytes that its filter takes, in memory or not.
    pub fn filter_bytes(&self) -> u64 {
        self.lines * LINE as u64
    }

    /// The record of a key.
    pub fn get(&self, key: u128, desk: &mut Desk) -> Result<Option<Record>, ShelfError> {
        let piece = self.top.partition_point(|first| *first <= key);
        let Some(piece) = piece.checked_sub(1).map(|piece| piece as u64) else { return Ok(None) };
        self.hold_piece(piece, desk)?;
        let at = desk.piece.what.partition_point(|entry| entry.first <= key);
        let Some(at) = at.checked_sub(1) else { return Ok(None) };
        self.hold_block(piece * PIECE as u64 + at as u64, at, desk)?;
        for record in self.walk(&desk.block.what) {
            let (found, part, bytes) = record.map_err(|what| self.extent.damaged(what))?;
            if found == key {
                return Ok(Some(Record { key, part, bytes: bytes.to_vec() }));
            }
        }
        Ok(None)
    }

    fn hold_piece(&self, piece: u64, desk: &mut Desk) -> Result<(), ShelfError> {
        let held = &mut desk.piece;
        if held.of != Some((self.number, piece)) {
            held.of = None;
            self.read_entries(piece, &mut desk.room, &mut held.what)?;
            held.of = Some((self.number, piece));
        }
        Ok(())
    }

    /// Holds the block at a place of the piece that is held.
    fn hold_block(&self, number: u64, place: usize, desk: &mut Desk) -> Result<(), ShelfError> {
        let held = &mut desk.block;
        if held.of != Some((self.number, number)) {
            held.of = None;
            self.read_block(&desk.piece.what[place], &mut held.what)?;
            held.of = Some((self.number, number));
        }
        Ok(())
    }

    /// All records of a block, by its number.
    pub fn records_of(&self, block: u64) -> Result<Vec<Record>, ShelfError> {
        let entries = self.entries(block / PIECE as u64)?;
        let Some(entry) = entries.get(block as usize % PIECE) else { return Ok(Vec::new()) };
        let mut bytes = Vec::new();
        self.read_block(entry, &mut bytes)?;
        let records = self.walk(&bytes);
        records
            .map(|record| {
                let (key, part, bytes) = record.map_err(|what| self.extent.damaged(what))?;
                Ok(Record { key, part, bytes: bytes.to_vec() })
            })
            .collect()
    }

    /// Reads some neighbouring blocks from this one on at once; gives where each is in the bytes.
    pub fn blocks_from(
        &self,
        block: u64,
        max: usize,
        bytes: &mut Vec<u8>,
    ) -> Result<Vec<Range<usize>>, ShelfError> {
        if block >= self.blocks {
            return Ok(Vec::new());
        }
        let entries = self.entries(block / PIECE as u64)?;
        let some = entries.iter().skip(block as usize % PIECE).take(max);
        let Some(first) = some.clone().next() else { return Ok(Vec::new()) };
        let mut ranges = Vec::with_capacity(max);
        let mut end = 0;
        for entry in some {
            ranges.push(end..end + entry.len);
            end += entry.len + 4;
        }
        bytes.resize(end, 0);
        self.extent.read(first.at, bytes)?;
        let whole = |range: &Range<usize>| {
            let crc = crc32c::crc32c(&bytes[range.clone()]).to_le_bytes();
            bytes[range.end..range.end + 4] == crc
        };
        match ranges.iter().all(whole) {
            true => Ok(ranges),
            false => Err(self.extent.damaged("a block is not what was written")),
        }
    }

    /// The first record of what is left of a block: its key, its part, and where it stands from its
    /// key on.
    #[inline]
    pub fn first_of(&self, rest: &[u8]) -> Result<(u128, Part, Range<usize>), ShelfError> {
        let mut records = self.walk(rest);
        let (begin, read) = (records.part(), records.one());
        let ((part, begin), (key, _)) =
            begin.zip(read).ok_or_else(|| self.extent.damaged("a record of it cannot be read"))?;
        Ok((key, part, begin..rest.len() - records.bytes.len()))
    }

    fn walk<'a>(&self, bytes: &'a [u8]) -> Records<'a> {
        Records { bytes, first: self.parts.0, key_bytes: self.key_bytes }
    }

    fn entries(&self, piece: u64) -> Result<Vec<Entry>, ShelfError> {
        let mut entries = Vec::new();
        self.read_entries(piece, &mut Vec::new(), &mut entries)?;
        Ok(entries)
    }

    fn read_entries(
        &self,
        piece: u64,
        room: &mut Vec<u8>,
        out: &mut Vec<Entry>,
    ) -> Result<(), ShelfError> {
        let before = piece * PIECE as u64;
        let count = (self.blocks.saturating_sub(before)).min(PIECE as u64) as usize;
        room.resize(count * ENTRY + 4, 0);
        let at = self.index_at + before * ENTRY as u64 + piece * 4;
        self.extent.read(at, room)?;
        let (entries, crc) = room.split_at(count * ENTRY);
        if crc != crc32c::crc32c(entries).to_le_bytes() {
            return Err(self.extent.damaged("its index is not what was written"));
        }
        let read = |e: &[u8]| Entry {
            first: u128_at(e, 0),
            at: u64_at(e, 16),
            len: u32::from_le_bytes([e[24], e[25], e[26], e[27]]) as usize,
        };
        out.clear();
        out.extend(entries.chunks_exact(ENTRY).map(read));
        Ok(())
    }

    fn read_block(&self, entry: &Entry, out: &mut Vec<u8>) -> Result<(), ShelfError> {
        out.resize(entry.len + 4, 0);
        self.extent.read(entry.at, out)?;
        let (bytes, crc) = out.split_at(entry.len);
        if crc != crc32c::crc32c(bytes).to_le_bytes() {
            return Err(self.extent.damaged("a block is not what was written"));
        }
        out.truncate(entry.len);
        Ok(())
    }
}

/// Walks over the records of a block.
struct Records<'a> {
    bytes: &'a [u8],
    first: Part,
    key_bytes: usize,
}

impl<'a> Records<'a> {
    /// The part of the next record, and the bytes of that.
    fn part(&mut self) -> Option<(Part, usize)> {
        let before = self.bytes.len();
        let part = varint::take(&mut self.bytes)?;
        Some((self.first + part as Part, before - self.bytes.len()))
    }

    /// Key and bytes of a record whose part was taken.
    fn one(&mut self) -> Option<(u128, &'a [u8])> {
        let (key, rest) = self.bytes.split_at_checked(self.key_bytes)?;
        let key = match key.len() {
            8 => u128::from(u64_at(key, 0)),
            _ => u128_at(key, 0),
        };
        self.bytes = rest;
        let len = varint::take(&mut self.bytes)? as usize;
        let (bytes, rest) = self.bytes.split_at_checked(len)?;
        self.bytes = rest;
        Some((key, bytes))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<(u128, Part, &'a [u8]), &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.is_empty() {
            return None;
        }
        let part = self.part().map(|part| part.0);
        let read = part.zip(self.one()).map(|(part, (key, bytes))| (key, part, bytes));
        let read = read.ok_or("a record of it cannot be read");
        if read.is_err() {
            self.bytes = &[];
        }
        Some(read)
    }
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

fn u128_at(bytes: &[u8], at: usize) -> u128 {
    u128::from(u64_at(bytes, at)) | u128::from(u64_at(bytes, at + 8)) << 64
}
