//! Names for things: trace and span ids, symbols, unit hashes, facet-set ids.
//! All are plain `Copy` values; none of them can be turned back into content.

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher24;
use std::fmt;
use std::hash::Hasher;

/// The 16 bytes of an OTLP trace id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct TraceId(pub u128);

/// The 8 bytes of an OTLP span id; 0 means "none".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct SpanId(pub u64);

/// A name (arm, metric, service …) as its keyed 64-bit hash; the text is in the `Dictionary`.
/// Symbols do not depend on the order in which names were met, so partitions agree on them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Sym(pub u64);

/// A randomised unit, user or session: SipHash-2-4 of its id under a secret key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct UnitHash(pub u64);

/// The first 128 bits of the SHA-256 of a facet set's canonical JSON.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct SetId(pub u128);

/// Nanoseconds since the Unix epoch.
pub type Nanos = u64;

/// One minute, one second, in [`Nanos`].
pub const MINUTE: Nanos = 60 * SECOND;
/// One second in [`Nanos`].
pub const SECOND: Nanos = 1_000_000_000;

/// Minutes since the Unix epoch.
pub fn minute_of(at: Nanos) -> u32 {
    u32::try_from(at / MINUTE).unwrap_or(u32::MAX)
}

// === impl TraceId, SpanId ===

impl TraceId {
    /// From the bytes of the wire; `None` unless there are 16 of them and not all are zero.
    pub fn from_wire(bytes: &[u8]) -> Option<Self> {
        let id = u128::from_be_bytes(bytes.try_into().ok()?);
        (id != 0).then_some(TraceId(id))
    }

    /// From 32 hexadecimal digits, upper or lower case.
    pub fn from_hex(text: &str) -> Option<Self> {
        let id = (text.len() == 32).then(|| u128::from_str_radix(text, 16).ok())??;
        (id != 0).then_some(TraceId(id))
    }

    /// The key of its sealed record. Its upper half is evenly spread, whatever kind of ids there
    /// are (some begin with a time, some with zeros), and no two ids have the same.
    pub fn sealed_key(self) -> u128 {
        let (high, low) = ((self.0 >> 64) as u64, self.0 as u64);
        u128::from(spread(high ^ spread(low))) << 64 | u128::from(low)
    }

    /// The id of a sealed record.
    pub fn of_sealed(key: u128) -> Self {
        let (high, low) = ((key >> 64) as u64, key as u64);
        TraceId(u128::from(gather(high) ^ spread(low)) << 64 | u128::from(low))
    }
}

/// The end of MurmurHash3, by Austin Appleby: a bijection of which each bit depends on all bits.
fn spread(mut word: u64) -> u64 {
    word = (word ^ word >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    word = (word ^ word >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ word >> 33
}

/// What was spread: by the inverses of the factors, modulo 2⁶⁴.
fn gather(mut word: u64) -> u64 {
    word = (word ^ word >> 33).wrapping_mul(0x9cb4_b2f8_1293_37db);
    word = (word ^ word >> 33).wrapping_mul(0x4f74_430c_22a5_4005);
    word ^ word >> 33
}

impl SpanId {
    /// No span: the parent of a root.
    pub const NONE: SpanId = SpanId(0);

    /// From the bytes of the wire; `None` unless there are 8 of them and not all are zero.
    pub fn from_wire(bytes: &[u8]) -> Option<Self> {
        let id = u64::from_be_bytes(bytes.try_into().ok()?);
        (id != 0).then_some(SpanId(id))
    }

    /// From 16 hexadecimal digits, upper or lower case.
    pub fn from_hex(text: &str) -> Option<Self> {
        let id = (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok())??;
        (id != 0).then_some(SpanId(id))
    }
}

// === impl Sym ===

impl Sym {
    /// No name.
    pub const NONE: Sym = Sym(0);

    /// The symbol of a name; the empty name is [`Sym::NONE`].
    pub fn of(text: &str) -> Self {
        if text.is_empty() {
            return Sym::NONE;
        }
        Sym(keyed_hash(b"armspan symbols.", text.as_bytes()).max(1))
    }

    /// Whether there is no name.
    pub fn is_none(self) -> bool {
        self == Sym::NONE
    }
}

/// SipHash-2-4 of `text` under a 16-byte key.
pub fn keyed_hash(key: &[u8; 16], text: &[u8]) -> u64 {
    let mut hasher = SipHasher24::new_with_key(key);
    hasher.write(text);
    hasher.finish()
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for UnitHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

macro_rules! debug_as_hex {
    ($($name:ident: $width:literal),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:0", $width, "x})"), self.0)
            }
        }
    )*};
}
debug_as_hex!(TraceId: "32", SpanId: "16", Sym: "16", UnitHash: "16", SetId: "32");
/// Nanoseconds since the Unix epoch as RFC 3339 UTC.
pub fn rfc3339(at: Nanos) -> String {
    let at = jiff::Timestamp::from_nanosecond(i128::from(at));
    at.map_or_else(|_| String::new(), |at| at.to_string())
}

/// Nanoseconds since the Unix epoch of an RFC 3339 text; none when it is none, or before that.
pub fn nanos(text: &str) -> Option<Nanos> {
    let at = text.parse::<jiff::Timestamp>().ok()?;
    Nanos::try_from(at.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_sealed_key_gives_its_id_back(id in any::<u128>()) {
            prop_assert_eq!(TraceId::of_sealed(TraceId(id).sealed_key()), TraceId(id));
        }
    }

    #[test]
    fn ids_that_differ_in_few_bits_are_spread_evenly() {
        let kinds: [fn(u128) -> u128; 4] =
            [|at| at, |at| at << 64, |at| at << 96 | 7, |at| at << 64 | at];
        for id in kinds {
            let mut places = [0; 256];
            (1..=25_600).for_each(|at| places[(TraceId(id(at)).sealed_key() >> 120) as usize] += 1);
            let (least, most) = (places.iter().min(), places.iter().max());
            assert!(least >= Some(&60) && most <= Some(&140), "{least:?} to {most:?} of 100");
        }
    }
}
