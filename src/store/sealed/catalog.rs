//! In which of many tables a key may be: one file over them, so that a key which is nowhere costs
//! one read however many there are. A table's records are written again only to make it a large
//! one; after that only catalogs grow, which are small.
//!
//! ```text
//! lines:  count 4 | (low bits of the place << 12 | which table) × 62 | crc 4, sorted by place
//! tables: number 8 each, oldest first
//! foot:   64 bytes, with the crc of the tables and of itself
//! ```
//! A key's *place* is its highest bits, which are evenly spread; it says the line. A line that is
//! full goes on in the next. All is little endian and checked. Nothing rests on a catalog: when it
//! is damaged or missing its tables are asked themselves, until there is a new one.

pub(super) mod build;
mod write;

use super::table::u64_at;
use crate::model::shelf::{Family, ShelfError};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: [u8; 8] = *b"armscat1";
const FOOT: usize = 64;
/// Bytes of a line: few to fetch, and seldom full.
const LINE: usize = 256;
/// Entries of a line …
const CAPACITY: usize = LINE / 4 - 2;
/// … and how many of them are in use, about: one line of 60 is full.
const KEYS_PER_LINE: u64 = 46;
/// Bits of an entry that name a table.
const NAME_BITS: u32 = 12;
/// Tables of a catalog.
pub const TABLES_MAX: usize = 1 << NAME_BITS;
/// So many lines there are at least, as a power of two. Tests have few keys.
const LINES_MIN_BITS: u32 = if cfg!(test) { 3 } else { 15 };
/// An entry has one bit more of a place than what the places of a line differ in.
const NEAR_BITS: u32 = 31 - NAME_BITS;
const LOW: u64 = (2 << NEAR_BITS) - 1;
/// Bits of a place: of 128 Mi keys one in 128 that are nowhere has the place of another.
const PLACE_BITS: u32 = NEAR_BITS + LINES_MIN_BITS;

/// The highest bits of a key; of a response id it has only the lower half.
pub(super) fn place_of(family: Family, key: u128) -> u64 {
    let spread = match family {
        Family::Responses => key as u64,
        Family::Traces | Family::Units => (key >> 64) as u64,
    };
    spread >> (64 - PLACE_BITS)
}

/// How places are laid out over so many lines: fewer than 2³⁰, as there are no more keys.
#[derive(Clone, Copy)]
struct Layout {
    lines: u64,
}

fn entry_of(place: u64, table: u16) -> [u8; 4] {
    (((place & LOW) as u32) << NAME_BITS | u32::from(table)).to_le_bytes()
}

/// The place of an entry of a line that holds none before `least`.
fn place_in(least: u64, entry: [u8; 4]) -> u64 {
    let low = u64::from(u32::from_le_bytes(entry) >> NAME_BITS);
    least + (low.wrapping_sub(least) & LOW)
}

/// Which table an entry names.
fn table_of(entry: [u8; 4]) -> u16 {
    (u32::from_le_bytes(entry) & (TABLES_MAX as u32 - 1)) as u16
}

/// A file that can be asked.
pub struct Catalog {
    /// Its number.
    pub number: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Keys in it.
    pub keys: u64,
    /// The tables it covers, oldest first.
    pub tables: Vec<u64>,
    layout: Layout,
    /// Lines there are: the last ones may go on beyond the layout.
    lines: u64,
    file: Arc<File>,
    path: PathBuf,
}

// === impl Layout ===

impl Layout {
    fn of(keys: u64) -> Self {
        Layout { lines: keys.div_ceil(KEYS_PER_LINE).max(1 << LINES_MIN_BITS) }
    }

    fn line_of(self, place: u64) -> u64 {
        (place * self.lines) >> PLACE_BITS
    }

    /// The first place of a line.
    fn start_of(self, line: u64) -> u64 {
        (line << PLACE_BITS).div_ceil(self.lines)
    }

    /// The least place that a line may hold when those before it were full.
    fn least_of(self, line: u64) -> u64 {
        self.start_of(line).saturating_sub(1 << NEAR_BITS)
    }
}

// === impl Catalog ===

impl Catalog {
    /// Opens a file and checks its end.
    pub fn open(path: &Path, number: u64, family: Family) -> Result<Catalog, ShelfError> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let damaged = |what| ShelfError::Damaged { file: path.display().to_string(), what };
        let end = bytes.checked_sub(FOOT as u64).ok_or_else(|| damaged("it is cut short"))?;
        let mut foot = [0; FOOT];
        file.read_exact_at(&mut foot, end)?;
        let [of, keys, layout, lines, count] = [8, 16, 24, 32, 40].map(|at| u64_at(&foot, at));
        let tables_at = lines.saturating_mul(LINE as u64);
        let fits = foot[..8] == MAGIC
            && of == family as u64
            && count <= TABLES_MAX as u64
            && tables_at.checked_add(count * 8) == Some(end);
        if !fits {
            return Err(damaged("its end is not that of a catalog"));
        }
        let mut tables = vec![0; count as usize * 8];
        file.read_exact_at(&mut tables, tables_at)?;
        if sum_of(&tables, &foot) != foot[FOOT - 4..] {
            return Err(damaged("its end is not what was written"));
        }
        Ok(Catalog {
            number,
            bytes,
            keys,
            tables: tables.chunks_exact(8).map(|table| u64_at(table, 0)).collect(),
            layout: Layout { lines: layout },
            lines,
            file: Arc::new(file),
            path: path.to_owned(),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which of its tables may have a key, newest first; those that are not named have not.
    pub fn find(&self, place: u64, found: &mut Vec<u16>) -> Result<(), ShelfError> {
        found.clear();
        let low = (place & LOW) as u32;
        let mut line = [0; LINE];
        for at in self.layout.line_of(place)..self.lines {
            self.file.read_exact_at(&mut line, at * LINE as u64)?;
            let entries = self.entries_of(&line)?;
            let same = |entry: &[u8; 4]| u32::from_le_bytes(*entry) >> NAME_BITS == low;
            // Without a branch, as there is mostly none.
            if entries.iter().map(|entry| u32::from(same(entry))).sum::<u32>() > 0 {
                let same = entries.iter().filter(|entry| same(entry));
                found.extend(same.map(|entry| table_of(*entry)));
            }
            if entries.len() < CAPACITY {
                break;
            }
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        Ok(())
    }

    /// Reads neighbouring lines.
    fn read(&self, line: u64, count: u64, bytes: &mut Vec<u8>) -> Result<(), ShelfError> {
        bytes.resize(count as usize * LINE, 0);
        Ok(self.file.read_exact_at(bytes, line * LINE as u64)?)
    }

    fn entries_of<'a>(&self, line: &'a [u8]) -> Result<&'a [[u8; 4]], ShelfError> {
        let (bytes, crc) = line.split_at(LINE - 4);
        if crc != crc32c::crc32c(bytes).to_le_bytes() {
            return Err(self.damaged("a line is not what was written"));
        }
        let (words, _) = bytes.as_chunks::<4>();
        let count = words.first().map_or(0, |word| u32::from_le_bytes(*word) as usize);
        words.get(1..=count).ok_or_else(|| self.damaged("a line has more than fits"))
    }

    fn damaged(&self, what: &'static str) -> ShelfError {
        ShelfError::Damaged { file: self.path.display().to_string(), what }
    }
}

/// The checksum of the tables and the foot.
fn sum_of(tables: &[u8], foot: &[u8; FOOT]) -> [u8; 4] {
    crc32c::crc32c_append(crc32c::crc32c(tables), &foot[..FOOT - 4]).to_le_bytes()
}

#[cfg(test)]
mod tests;
