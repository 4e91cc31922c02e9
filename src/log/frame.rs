//! Frames: one entry as bytes of a segment.
//!
//! ```text
//! magic 4 | len 4 | crc 4 | epoch 8 | seq 8 | stamp 8 | group 4 | kind 1 | check 3 | payload len
//! ```
//! All little endian; the CRC-32C covers everything after itself and the length. `check` is one of
//! the header alone, so that its length can be believed when the payload is damaged; the first
//! version wrote zeros there. `epoch` changes
//! at every opening, so stale bytes cannot validate. `group` says how many entries before this
//! one were written since the last sync: `seq - group` was durable when this frame was written.

use crate::model::{Body, Nanos, Position};
use std::borrow::Cow;

/// First bytes of a frame. 0xF5 and 0xFF never occur in UTF-8, so no text can look like one.
pub const MAGIC: [u8; 4] = [0xF5, b'A', b'S', 0xFF];
/// Bytes before the payload.
pub const HEADER: usize = 44;
/// The largest payload; far above what a request of 20 MiB can give.
pub const PAYLOAD_BYTES_MAX: usize = 128 << 20;

const BATCH: u8 = 1;
const TICK: u8 = 2;
const CONFIG: u8 = 3;
const DECISION: u8 = 4;
const CUT: u8 = 5;

/// What stands before the payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Bytes of the payload.
    pub len: u32,
    /// CRC-32C of the rest.
    pub crc: u32,
    /// The opening that wrote it.
    pub epoch: u64,
    /// Its position.
    pub seq: Position,
    /// The receiver's stamp.
    pub stamp: Nanos,
    /// Entries before it that the same sync made durable.
    pub group: u32,
    /// What the payload is.
    pub kind: u8,
}

impl Header {
    /// Reads a header; `None` when these bytes are none.
    pub fn read(bytes: &[u8; HEADER]) -> Option<Header> {
        if bytes[..4] != MAGIC || bytes[41..] != [0; 3] && bytes[41..] != check(bytes) {
            return None;
        }
        let header = Header {
            len: u32_at(bytes, 4),
            crc: u32_at(bytes, 8),
            epoch: u64_at(bytes, 12),
            seq: u64_at(bytes, 20),
            stamp: u64_at(bytes, 28),
            group: u32_at(bytes, 36),
            kind: bytes[40],
        };
        (header.len as usize <= PAYLOAD_BYTES_MAX).then_some(header)
    }

    /// Bytes of the whole frame.
    pub fn frame_len(&self) -> u64 {
        (HEADER + self.len as usize) as u64
    }

    /// The position before which everything was durable when this frame was written.
    pub fn durable(&self) -> Position {
        self.seq.saturating_sub(u64::from(self.group))
    }

    fn write(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&self.len.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.crc.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.seq.to_le_bytes());
        bytes[28..36].copy_from_slice(&self.stamp.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.group.to_le_bytes());
        bytes[40] = self.kind;
        let check = check(&bytes);
        bytes[41..].copy_from_slice(&check);
        bytes
    }
}

/// Whether a header was written by a version that checks headers.
pub fn is_checked(bytes: &[u8; HEADER]) -> bool {
    bytes[41..] != [0; 3]
}

fn check(header: &[u8; HEADER]) -> [u8; 3] {
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header[4..8]), &header[12..41]).to_le_bytes();
    [crc[0], crc[1], crc[2]]
}

/// CRC-32C over a header (without magic and CRC) and its payload.
pub fn checksum(header: &[u8; HEADER], payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&header[4..8]);
    crc32c::crc32c_append(crc32c::crc32c_append(crc, &header[12..]), payload)
}

/// Appends a frame to `out`; length and CRC of `header` are filled in.
pub fn append(out: &mut Vec<u8>, mut header: Header, payload: &[u8]) {
    header.len = payload.len() as u32;
    header.crc = checksum(&header.write(), payload);
    out.extend_from_slice(&header.write());
    out.extend_from_slice(payload);
}

/// The kind and the payload of a body. Batches and configs are borrowed.
pub fn payload(body: &Body) -> (u8, Cow<'_, [u8]>) {
    match body {
        Body::Batch(bytes) => (BATCH, Cow::Borrowed(bytes)),
        Body::Tick => (TICK, Cow::Borrowed(&[])),
        Body::Config(text) => (CONFIG, Cow::Borrowed(text.as_bytes())),
        Body::Decision(decision) => {
            let bytes = postcard::to_stdvec(decision).expect("plain values always serialise");
            (DECISION, Cow::Owned(bytes))
        }
        Body::Cut => (CUT, Cow::Borrowed(&[])),
    }
}

/// The body of a kind and a payload; `None` when a newer version wrote it.
pub fn body(kind: u8, payload: Vec<u8>) -> Option<Body> {
    Some(match kind {
        BATCH => Body::Batch(payload),
        TICK => Body::Tick,
        CONFIG => Body::Config(String::from_utf8(payload).ok()?),
        DECISION => Body::Decision(postcard::from_bytes(&payload).ok()?),
        CUT => Body::Cut,
        _ => return None,
    })
}

fn u32_at(bytes: &[u8; HEADER], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8; HEADER], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Decision, Settled, Sym};

    #[test]
    fn every_flipped_bit_is_seen() {
        let header =
            Header { len: 0, crc: 0, epoch: 7, seq: 3, stamp: 1 << 60, group: 2, kind: BATCH };
        let mut frame = Vec::new();
        append(&mut frame, header, b"payload");
        for bit in 0..frame.len() * 8 {
            let mut bad = frame.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let head: [u8; HEADER] = bad[..HEADER].try_into().expect("header");
            let valid = Header::read(&head)
                .is_some_and(|h| h.len == 7 && h.crc == checksum(&head, &bad[HEADER..]));
            assert!(!valid, "bit {bit}");
        }
    }

    #[test]
    fn bodies_come_back() {
        let decision = Decision {
            experiment: Sym::of("e"),
            site: Sym::NONE,
            number: 4,
            what: Settled::Control(Sym::of("A")),
        };
        let bodies = [
            Body::Batch(vec![1, 2]),
            Body::Tick,
            Body::Config("{}".into()),
            Body::Decision(decision),
            Body::Cut,
        ];
        for one in bodies {
            let (kind, bytes) = payload(&one);
            assert_eq!(body(kind, bytes.to_vec()), Some(one));
        }
        assert_eq!(body(9, vec![]), None);
    }
}
