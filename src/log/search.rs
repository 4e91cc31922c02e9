//! Judges an unreadable place: is it the torn end of the last write, or damage?
//!
//! Torn means that nothing valid follows, and that a part of it was not written. One more case is
//! torn: a group of entries that one sync
//! was to make durable, of which the disk kept later blocks and not earlier ones. Segments are
//! zero-filled ahead, so a block that was never written is all zeros; and every frame says which
//! position was durable before its group. Only when both speak for it, it is no damage.

use super::files::{is_zero, read_at};
use super::frame::{HEADER, Header, MAGIC, checksum};
use crate::model::Position;
use std::fs::File;
use std::io;

/// What disks write whole.
const SECTOR: u64 = 512;
const CHUNK: usize = 1 << 18;

/// What can validate: not older than the last good frame in epoch and position.
#[derive(Clone, Copy, Debug)]
pub struct Floor {
    /// The epoch of the last good frame.
    pub epoch: u64,
    /// The position that is expected.
    pub seq: Position,
}

impl Floor {
    /// Whether a frame may stand here or later.
    pub fn admits(&self, header: &Header) -> bool {
        header.epoch >= self.epoch && header.seq >= self.seq
    }
}

/// The frame at an offset: its header and payload, when it is whole.
pub fn frame_at(file: &File, offset: u64, len: u64) -> io::Result<Option<(Header, Vec<u8>)>> {
    let mut head = [0; HEADER];
    if read_at(file, &mut head, offset)? < HEADER {
        return Ok(None);
    }
    let Some(header) = Header::read(&head).filter(|h| offset + h.frame_len() <= len) else {
        return Ok(None);
    };
    let mut payload = vec![0; header.len as usize];
    let whole = read_at(file, &mut payload, offset + HEADER as u64)? == payload.len();
    let valid = whole && checksum(&head, &payload) == header.crc;
    Ok(valid.then_some((header, payload)))
}

/// The first valid frame at or after an offset and before `end`.
pub fn next_valid(
    file: &File,
    mut from: u64,
    end: u64,
    floor: Floor,
) -> io::Result<Option<(u64, Header)>> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = read_before(file, &mut chunk, from, end)?;
        let bytes = &chunk[..count];
        let mut at = if is_zero(bytes) { count } else { 0 };
        while let Some(found) = find_magic(&bytes[at..]) {
            let place = from + (at + found) as u64;
            let frame = frame_at(file, place, end)?.filter(|frame| floor.admits(&frame.0));
            if let Some((header, _)) = frame {
                return Ok(Some((place, header)));
            }
            at += found + 1;
        }
        if count < CHUNK {
            return Ok(None);
        }
        from += (count - MAGIC.len() + 1) as u64;
    }
}

/// Whether everything from `at` on may be cut without losing what was acknowledged.
pub fn is_torn(file: &File, at: u64, end: u64, floor: Floor) -> io::Result<bool> {
    let Some((first, mut header)) = next_valid(file, at, end, floor)? else {
        return is_half_written(file, at, end);
    };
    let mut place = first;
    loop {
        if header.durable() > floor.seq {
            return Ok(false);
        }
        match next_valid(file, place + header.frame_len(), end, floor)? {
            Some(next) => (place, header) = next,
            None => return has_unwritten_sector(file, at, first),
        }
    }
}

/// Whether what stands last was never wholly written, and so never answered. Before it was
/// written there were zeros, so some sector of it has to be all zeros still; a frame of which every
/// sector was written and that does not validate is damaged.
fn is_half_written(file: &File, at: u64, end: u64) -> io::Result<bool> {
    // What is whole and does not belong here was left behind by a write that was refused.
    if is_clear(file, at, end)? || frame_at(file, at, end)?.is_some() {
        return Ok(true);
    }
    let mut head = [0; HEADER];
    read_at(file, &mut head, at)?;
    let len = Header::read(&head).map_or(HEADER as u64, |header| header.frame_len());
    if at + len > end {
        return Ok(false);
    }
    Ok(has_unwritten_sector(file, at, at + len)? || ends_in_zeros(file, at, at + len)?)
}

/// A write that stopped half-way leaves what comes after as it was.
fn ends_in_zeros(file: &File, at: u64, end: u64) -> io::Result<bool> {
    let mut last = [0; 16];
    let from = end.saturating_sub(last.len() as u64).max(at);
    let count = read_before(file, &mut last, from, end)?;
    Ok(count == last.len() && is_zero(&last))
}

/// Whether nothing but zeros stands from an offset to `end`.
pub fn is_clear(file: &File, mut from: u64, end: u64) -> io::Result<bool> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = read_before(file, &mut chunk, from, end)?;
        if !is_zero(&chunk[..count]) || count < CHUNK {
            return Ok(is_zero(&chunk[..count]));
        }
        from += count as u64;
    }
}

/// Whether of one of the sectors from an offset to another all that lies between is zero.
fn has_unwritten_sector(file: &File, mut from: u64, to: u64) -> io::Result<bool> {
    let mut sector = [0; SECTOR as usize];
    while from < to {
        let end = ((from / SECTOR + 1) * SECTOR).min(to);
        let part = &mut sector[..(end - from) as usize];
        if read_at(file, part, from)? == part.len() && is_zero(part) {
            return Ok(true);
        }
        from = end;
    }
    Ok(false)
}

fn read_before(file: &File, buffer: &mut [u8], from: u64, end: u64) -> io::Result<usize> {
    let count = end.saturating_sub(from).min(buffer.len() as u64) as usize;
    read_at(file, &mut buffer[..count], from)
}

fn find_magic(bytes: &[u8]) -> Option<usize> {
    bytes.windows(MAGIC.len()).position(|window| window == MAGIC)
}
