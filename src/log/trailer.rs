//! The last 64 bytes of a segment. They say that the end of the file is there, written when the
//! segment was made, and whether another segment follows, written when that one has its name.
//! So a file that was cut short, and a last one that is gone, are seen.
//!
//! ```text
//! "ASend\xF5\xFF\0" 8 | length of the file 8 | crc 4 | zero 12
//! "ASnext\xF5\0"    8 | first position of the next segment 8 | crc 4 | zero 12
//! ```

use super::files::read_at;
use crate::model::Position;
use std::fs::File;
use std::io;

/// Bytes at the end of a segment that hold no frames.
pub const TRAILER: u64 = 64;
/// Bytes of each of its two halves.
const HALF: usize = 32;
const END: [u8; 8] = *b"ASend\xF5\xFF\0";
const NEXT: [u8; 8] = *b"ASnext\xF5\0";

/// What the end of a segment says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trailer {
    /// The first position of the segment that follows, once there is one.
    pub next: Option<Position>,
}

/// The trailer of a segment of `len` bytes that none follows yet.
pub fn open(len: u64) -> [u8; TRAILER as usize] {
    let mut bytes = [0; TRAILER as usize];
    bytes[..HALF].copy_from_slice(&half(END, len));
    bytes
}

/// What is written, `HALF` bytes before the end, when another segment follows.
pub fn closed(next: Position) -> [u8; HALF] {
    half(NEXT, next)
}

/// Where [`closed`] is written in a segment whose frames end before `frames_end`.
pub fn closed_at(frames_end: u64) -> u64 {
    frames_end + HALF as u64
}

/// Reads the trailer of a file of `len` bytes; none when its end is not there, or when an earlier
/// version made it.
pub fn read(file: &File, len: u64) -> io::Result<Option<Trailer>> {
    let mut bytes = [0; TRAILER as usize];
    let Some(at) = len.checked_sub(TRAILER) else { return Ok(None) };
    read_at(file, &mut bytes, at)?;
    if bytes[..HALF] != half(END, len) {
        return Ok(None);
    }
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[HALF + 8..HALF + 16]);
    let next = Position::from_le_bytes(number);
    Ok(Some(Trailer { next: (bytes[HALF..] == half(NEXT, next)).then_some(next) }))
}

fn half(name: [u8; 8], number: u64) -> [u8; HALF] {
    let mut bytes = [0; HALF];
    bytes[..8].copy_from_slice(&name);
    bytes[8..16].copy_from_slice(&number.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..16]);
    bytes[16..20].copy_from_slice(&crc.to_le_bytes());
    bytes
}
