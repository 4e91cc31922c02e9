//! A blocked Bloom filter: one line of 64 bytes per key, of which 60 are bits and 4 are the
//! CRC-32C of the line, so that a line can be read from disk alone and a flipped bit is seen.
//! It may say yes to a key that was not added (about 2 % at 10 bits a key), never no to one
//! that was.

use xxhash_rust::xxh3::xxh3_64;

/// Bytes of a line.
pub const LINE: usize = 64;
const LINE_BITS: u64 = 480;
/// Bits of space per key: 43 keys a line.
const KEYS_PER_LINE: u64 = 43;
/// Bits set per key.
const PROBES: u32 = 6;

/// Where a key is in a filter: the hash decides the line and the bits.
#[derive(Clone, Copy)]
pub struct Probe(u64);

impl Probe {
    /// Of a key.
    pub fn new(key: u128) -> Self {
        Probe(xxh3_64(&key.to_le_bytes()))
    }

    /// Its line, of so many.
    pub fn line(self, lines: u64) -> u64 {
        ((u128::from(self.0) * u128::from(lines)) >> 64) as u64
    }

    fn bits(self) -> impl Iterator<Item = usize> {
        let mut hash = self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (0..PROBES).map(move |_| {
            hash = hash.rotate_left(21).wrapping_mul(0xd6e8_feb8_6659_fd93);
            (((hash >> 32) * LINE_BITS) >> 32) as usize
        })
    }

    /// Whether a line has all its bits.
    pub fn is_in(self, line: &[u8]) -> bool {
        self.bits().all(|bit| line[bit / 8] >> (bit % 8) & 1 == 1)
    }
}

/// How many lines so many keys need.
pub fn lines_for(keys: u64) -> u64 {
    keys.div_ceil(KEYS_PER_LINE).max(1)
}

/// A filter that is being made.
pub struct Builder {
    bytes: Vec<u8>,
    lines: u64,
}

impl Builder {
    /// With room for so many keys.
    pub fn new(keys: u64) -> Self {
        let lines = lines_for(keys);
        Builder { bytes: vec![0; lines as usize * LINE], lines }
    }

    /// Adds a key.
    pub fn add(&mut self, key: u128) {
        let probe = Probe::new(key);
        let at = probe.line(self.lines) as usize * LINE;
        probe.bits().for_each(|bit| self.bytes[at + bit / 8] |= 1 << (bit % 8));
    }

    /// The lines with their checksums.
    pub fn finish(mut self) -> Vec<u8> {
        for line in self.bytes.chunks_exact_mut(LINE) {
            let crc = crc32c::crc32c(&line[..LINE - 4]);
            line[LINE - 4..].copy_from_slice(&crc.to_le_bytes());
        }
        self.bytes
    }
}

/// Whether a line is as it was written.
pub fn is_whole(line: &[u8]) -> bool {
    let (bits, crc) = line.split_at(LINE - 4);
    crc == crc32c::crc32c(bits).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_and_few_others_are() {
        let keys = |from: u128| (from..from + 20_000).map(|n| n * 0x1_0000_0001);
        let mut builder = Builder::new(20_000);
        keys(0).for_each(|key| builder.add(key));
        let bytes = builder.finish();
        let lines = bytes.len() as u64 / LINE as u64;
        let found = |key| {
            let probe = Probe::new(key);
            probe.is_in(&bytes[probe.line(lines) as usize * LINE..][..LINE])
        };
        assert!(keys(0).all(found));
        let wrong = keys(1 << 40).filter(|key| found(*key)).count();
        assert!(wrong < 800, "{wrong} of 20,000");
        assert!(bytes.chunks(LINE).all(is_whole));
    }

    #[test]
    fn a_flipped_bit_is_seen() {
        let mut bytes = Builder::new(1).finish();
        for bit in 0..LINE * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_whole(&bytes), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
