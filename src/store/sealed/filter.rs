//! A blocked Bloom filter: one line of 64 bytes per key, of which 56 are bits and the last 4 are the
//! CRC-32C of the others, so that a line can be read from disk alone and a flipped bit is seen.
//! It may say yes to a key that was not added (about 1.5 % when it is full), never no to one
//! that was.

use xxhash_rust::xxh3::xxh3_64;

/// Bytes of a line.
pub const LINE: usize = 64;
/// Words of 64 bits in a line, in each of which a key has one bit.
const WORDS: usize = 7;
/// Bits that name one of a word.
const WORD_BITS: usize = 6;
/// So many keys a line, less than 11 bits each: a wrong yes costs a read or two.
const KEYS_PER_LINE: u64 = 48;
/// Groups of lines, as a power of two.
const GROUP_BITS: u32 = 9;

/// Where a key is in a filter: its highest bits decide the line, its lowest ones the bits.
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

    /// Its bit of each word.
    #[inline]
    fn bits(self) -> [u64; WORDS] {
        std::array::from_fn(|word| 1 << (self.0 >> (WORD_BITS * word) & 63))
    }

    /// Whether a line has all its bits.
    pub fn is_in(self, line: &[u8; LINE]) -> bool {
        Line::read(line).has(self)
    }
}

/// How many lines so many keys need.
pub fn lines_for(keys: u64) -> u64 {
    keys.div_ceil(KEYS_PER_LINE).max(1)
}

/// A line where a processor fetches it at once: words of bits, and one for the checksum.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([u64; LINE / 8]);

/// A filter in memory.
pub struct Filter {
    lines: Vec<Line>,
}

/// Probes that are added together, those of neighbouring lines one after the other: a filter is
/// larger than what a processor keeps at hand.
pub fn grouped(probes: &[Probe]) -> Vec<Probe> {
    let group = |probe: &Probe| (probe.0 >> (64 - GROUP_BITS)) as usize;
    let mut places = [0; 1 << GROUP_BITS];
    probes.iter().for_each(|probe| places[group(probe)] += 1);
    let mut next = 0;
    for place in &mut places {
        next += std::mem::replace(place, next);
    }
    let mut out = vec![Probe(0); probes.len()];
    for probe in probes {
        let place = &mut places[group(probe)];
        out[*place] = *probe;
        *place += 1;
    }
    out
}

// === impl Line ===

impl Line {
    fn read(bytes: &[u8; LINE]) -> Self {
        let (words, _) = bytes.as_chunks();
        Line(std::array::from_fn(|at| u64::from_le_bytes(words[at])))
    }

    /// With its checksum, as it is written.
    fn write(&self) -> [u8; LINE] {
        let mut bytes = [0; LINE];
        let (words, _) = bytes.as_chunks_mut();
        words.iter_mut().zip(&self.0).for_each(|(to, word)| *to = word.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..LINE - 4]);
        bytes[LINE - 4..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    #[inline]
    fn has(&self, probe: Probe) -> bool {
        let mut missing = 0;
        for (word, bit) in self.0.iter().zip(probe.bits()) {
            missing |= !word & bit;
        }
        missing == 0
    }

    /// Adds a key; whether it may have been there.
    #[inline]
    fn add(&mut self, probe: Probe) -> bool {
        let mut missing = 0;
        for (word, bit) in self.0.iter_mut().zip(probe.bits()) {
            missing |= !*word & bit;
            *word |= bit;
        }
        missing == 0
    }
}

// === impl Filter ===

impl Filter {
    /// With room for so many keys.
    pub fn new(keys: u64) -> Self {
        Filter { lines: vec![Line([0; LINE / 8]); lines_for(keys) as usize] }
    }

    /// Of lines that were written; `None` when one is not as it was.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (lines, _) = bytes.as_chunks::<LINE>();
        let whole = lines.iter().all(is_whole);
        whole.then(|| Filter { lines: lines.iter().map(Line::read).collect() })
    }

    /// Adds a key; whether it may have been there.
    #[inline]
    pub fn add(&mut self, probe: Probe) -> bool {
        let at = probe.line(self.lines.len() as u64) as usize;
        self.lines[at].add(probe)
    }

    /// Whether it may have a key; when not, it has not.
    pub fn has(&self, probe: Probe) -> bool {
        self.lines[probe.line(self.lines.len() as u64) as usize].has(probe)
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> u64 {
        (self.lines.len() * LINE) as u64
    }

    /// The lines with their checksums, as they are written.
    pub fn summed(&self) -> impl Iterator<Item = [u8; LINE]> {
        self.lines.iter().map(Line::write)
    }
}

/// Whether a line is as it was written.
pub fn is_whole(line: &[u8; LINE]) -> bool {
    let (bits, crc) = line.split_at(LINE - 4);
    crc == crc32c::crc32c(bits).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_and_few_others_are() {
        let keys = |from: u128| (from..from + 20_000).map(|n| n * 0x1_0000_0001);
        let mut made = Filter::new(20_000);
        let known = keys(0).filter(|key| made.add(Probe::new(*key))).count();
        assert!(known < 500, "{known} were thought to be there");
        assert!(keys(0).all(|key| made.has(Probe::new(key))));
        let bytes = made.summed().flatten().collect::<Vec<_>>();
        let read = Filter::read(&bytes).expect("whole");
        let found = |key| read.has(Probe::new(key));
        assert!(keys(0).all(found));
        let wrong = keys(1 << 40).filter(|key| found(*key)).count();
        assert!(wrong < 500, "{wrong} of 20,000");
        assert!(bytes.as_chunks().0.iter().all(is_whole));
    }

    #[test]
    fn groups_are_in_the_order_of_lines_and_have_all() {
        let probes: Vec<Probe> = (0..5_000).map(Probe::new).collect();
        let mut groups: Vec<u64> = grouped(&probes).iter().map(|probe| probe.0).collect();
        assert!(groups.is_sorted_by_key(|hash| hash >> (64 - GROUP_BITS)));
        let mut all: Vec<u64> = probes.iter().map(|probe| probe.0).collect();
        all.sort_unstable();
        groups.sort_unstable();
        assert_eq!(groups, all);
    }

    #[test]
    fn a_flipped_bit_is_seen() {
        let mut bytes = Filter::new(1).summed().flatten().collect::<Vec<_>>();
        for bit in 0..LINE * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let line = bytes.first_chunk().expect("a line");
            assert!(!is_whole(line) && Filter::read(&bytes).is_none(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
