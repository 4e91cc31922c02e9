//! Room in which one observation is written before it is appended as a whole: its bytes are
//! counted once and not one by one.

use crate::model::observation::Place;
use crate::model::varint;

/// More than the longest observation without texts has: a call with all its numbers.
const BYTES: usize = 256;

/// One observation in the making.
pub struct Room {
    bytes: [u8; BYTES],
    length: usize,
}

impl Default for Room {
    fn default() -> Self {
        Room { bytes: [0; BYTES], length: 0 }
    }
}

impl Room {
    /// Of an observation with this tag.
    #[inline]
    pub fn new(tag: u8) -> Room {
        let mut room = Room { bytes: [0; BYTES], length: 1 };
        room.bytes[0] = tag;
        room
    }

    /// Bytes as they are.
    #[inline]
    pub fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        let room = self.bytes[self.length..].first_chunk_mut();
        *room.expect("no observation is longer") = bytes;
        self.length += N;
    }

    /// A number in groups of seven bits.
    #[inline]
    pub fn varint(&mut self, value: u64) {
        if let Some(room) = self.bytes[self.length..].first_chunk_mut() {
            self.length += varint::write(room, value);
        }
    }

    /// Where a span stands.
    #[inline]
    pub fn place(&mut self, place: &Place) {
        self.put(place.trace.0.to_le_bytes());
        self.put(place.span.0.to_le_bytes());
        self.put(place.parent.0.to_le_bytes());
        self.put(place.end.to_le_bytes());
    }

    /// A mask of which are present, then those: numbers short, hashes as words.
    #[inline]
    pub fn options<const N: usize, const H: usize>(
        &mut self,
        numbers: [Option<u64>; N],
        hashes: [Option<u64>; H],
    ) {
        self.varint(present(&numbers, &hashes));
        self.values(numbers, hashes);
    }

    /// The same with a mask of two bytes, for many.
    #[inline]
    pub fn mixed<const N: usize, const H: usize>(
        &mut self,
        numbers: [Option<u64>; N],
        hashes: [Option<u64>; H],
    ) {
        self.put((present(&numbers, &hashes) as u16).to_le_bytes());
        self.values(numbers, hashes);
    }

    #[inline]
    fn values<const N: usize, const H: usize>(
        &mut self,
        numbers: [Option<u64>; N],
        hashes: [Option<u64>; H],
    ) {
        numbers.into_iter().flatten().for_each(|value| self.varint(value));
        hashes.into_iter().flatten().for_each(|value| self.put(value.to_le_bytes()));
    }

    /// Appends it, and is empty again.
    #[inline]
    pub fn move_to(&mut self, out: &mut Vec<u8>) {
        self.append_to(out);
        self.length = 0;
    }

    /// Appends it.
    #[inline]
    pub fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes[..self.length]);
    }
}

/// A bit for each that is there, numbers first.
#[inline]
fn present<const N: usize, const H: usize>(
    numbers: &[Option<u64>; N],
    hashes: &[Option<u64>; H],
) -> u64 {
    let bit = |is: bool, at: usize| u64::from(is) << at;
    let mask = (0..N).fold(0, |mask, at| mask | bit(numbers[at].is_some(), at));
    (0..H).fold(mask, |mask, at| mask | bit(hashes[at].is_some(), N + at))
}

/// A bit when something is so.
#[inline]
pub fn flag(is: bool, bit: u8) -> u8 {
    if is { bit } else { 0 }
}
