//! The log format of `.wandb` files: a header of seven bytes, then records in blocks of 32 KiB as
//! in LevelDB's log, but with a plain CRC-32. Blocks are counted from the file's first byte, so
//! the header takes room in the first one.

/// Bytes of a block.
const BLOCK: usize = 32 << 10;
/// Checksum (4), length (2) and type (1) before each chunk.
const CHUNK_HEAD: usize = 7;
/// `:W&B`, a magic number, little endian, and version 0.
const HEADER: [u8; 7] = [b':', b'W', b'&', b'B', 0xe1, 0xbe, 0];

const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

/// A log that is being written, in memory: a run is some kilobytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log(Vec<u8>);

// === impl Log ===

impl Log {
    /// An empty log.
    pub fn new() -> Self {
        Log(HEADER.to_vec())
    }

    /// Adds a record.
    pub fn append(&mut self, record: &[u8]) {
        let mut rest = record;
        let mut first = true;
        loop {
            let mut room = BLOCK - self.0.len() % BLOCK;
            if room < CHUNK_HEAD {
                // No chunk begins where its head does not fit.
                self.0.resize(self.0.len() + room, 0);
                room = BLOCK;
            }
            let (part, after) = rest.split_at(rest.len().min(room - CHUNK_HEAD));
            let kind = match (first, after.is_empty()) {
                (true, true) => FULL,
                (true, false) => FIRST,
                (false, false) => MIDDLE,
                (false, true) => LAST,
            };
            self.chunk(kind, part);
            (rest, first) = (after, false);
            if rest.is_empty() {
                return;
            }
        }
    }

    /// The file's bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn chunk(&mut self, kind: u8, part: &[u8]) {
        let mut sum = crc32fast::Hasher::new();
        sum.update(&[kind]);
        sum.update(part);
        let length = u16::try_from(part.len()).expect("a chunk is shorter than a block");
        self.0.extend_from_slice(&sum.finalize().to_le_bytes());
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.push(kind);
        self.0.extend_from_slice(part);
    }
}

/// The records of a log, for tests; panics on whatever is wrong with it.
#[cfg(test)]
pub fn read(bytes: &[u8]) -> Vec<Vec<u8>> {
    assert_eq!(bytes[..7], HEADER);
    let (mut at, mut out, mut open) = (7, Vec::new(), None::<Vec<u8>>);
    while at < bytes.len() {
        let room = BLOCK - at % BLOCK;
        if room < CHUNK_HEAD {
            assert!(bytes[at..bytes.len().min(at + room)].iter().all(|byte| *byte == 0));
            at += room;
            continue;
        }
        let crc = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        let length = usize::from(u16::from_le_bytes([bytes[at + 4], bytes[at + 5]]));
        assert!(length + CHUNK_HEAD <= room, "a chunk crosses a block's end");
        let checked = &bytes[at + 6..at + CHUNK_HEAD + length];
        assert_eq!(crc32fast::hash(checked), crc, "at {at}");
        let (kind, part) = (checked[0], &checked[1..]);
        assert_eq!(open.is_some(), kind == MIDDLE || kind == LAST, "type {kind} at {at}");
        open.get_or_insert_default().extend_from_slice(part);
        if kind == FULL || kind == LAST {
            out.extend(open.take());
        }
        at += CHUNK_HEAD + length;
    }
    assert_eq!(open, None, "the last record is whole");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_small_log_is_these_bytes() {
        let mut log = Log::new();
        log.append(b"abc");
        // zlib.crc32(b"\x01abc") is 0x539D20A9.
        let expected = b":W&B\xe1\xbe\x00\xa9\x20\x9d\x53\x03\x00\x01abc";
        assert_eq!(log.into_bytes(), expected);
    }

    #[test]
    fn records_are_whole_wherever_a_block_ends() {
        for left in 0..=9 {
            let mut log = Log::new();
            let first = vec![1; BLOCK - HEADER.len() - CHUNK_HEAD - left];
            let all = [first, b"second".to_vec(), Vec::new(), vec![7; 70_000], b"end".to_vec()];
            log.append(&all[0]);
            assert_eq!(log.0.len(), BLOCK - left);
            all[1..].iter().for_each(|record| log.append(record));
            let bytes = log.into_bytes();
            assert_eq!(read(&bytes), all, "{left} bytes left");
            // A chunk's head fits into 7 bytes, with nothing of the record behind it.
            let kind = bytes[if left < 7 { BLOCK + 6 } else { BLOCK - left + 6 }];
            assert_eq!(kind, if left < 7 { FULL } else { FIRST });
        }
    }

    proptest! {
        #[test]
        fn what_was_appended_is_read(sizes in proptest::collection::vec(0..100_000_usize, 0..6)) {
            let records: Vec<Vec<u8>> = sizes.iter().map(|size| vec![*size as u8; *size]).collect();
            let mut log = Log::new();
            records.iter().for_each(|record| log.append(record));
            prop_assert_eq!(read(&log.into_bytes()), records);
        }
    }
}
