//! What each emitter calls things. A dialect is one small file: keys with the slot they mean, in
//! the order of precedence, and functions for keys that hold JSON or an index. Adding one is a new
//! file and a line in [`ALL`].

mod feature_flags;
mod genai;
mod genai_old;
mod langfuse;
mod openinference;
mod openllmetry;
mod ours;
mod parameters;
mod tags;
mod usage;
mod vercel;

use super::gather::Gathered;
use super::slot::Slot;
use super::value::Raw;

/// Reads a value that is more than one slot: what follows a prefix in the key, value, rank.
pub type Open = for<'g, 'a> fn(&'g mut Gathered<'a>, &'a str, Raw<'a>, u16);

/// What a key means.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// One slot.
    Slot(Slot),
    /// More than one: JSON in an attribute, or, when the key ends in a dot, a family of keys.
    Open(Open),
}

/// One dialect.
pub struct Dialect {
    /// Keys, most wanted first.
    pub keys: &'static [(&'static str, Target)],
}

/// All of them, most wanted first.
pub const ALL: [&Dialect; 9] = [
    &ours::DIALECT,
    &genai::DIALECT,
    &genai_old::DIALECT,
    &openinference::DIALECT,
    &openllmetry::DIALECT,
    &vercel::DIALECT,
    &langfuse::DIALECT,
    &feature_flags::DIALECT,
    &tags::DIALECT,
];

/// The part of a key that may be a prefix of a family: up to its first numeric segment, or one of
/// the families that are keyed by name.
pub fn prefix(key: &[u8]) -> Option<usize> {
    if key.starts_with(tags::GROWTHBOOK.as_bytes()) {
        return Some(tags::GROWTHBOOK.len());
    }
    let dot = key.windows(2).position(|pair| pair[0] == b'.' && pair[1].is_ascii_digit())?;
    Some(dot + 1)
}

/// Splits `3.message.role` into its index and the rest.
fn index(rest: &str) -> Option<(u32, &str)> {
    let (index, rest) = rest.split_once('.').unwrap_or((rest, ""));
    Some((index.parse().ok()?, rest))
}

const fn slot(slot: Slot) -> Target {
    Target::Slot(slot)
}

const fn open(open: Open) -> Target {
    Target::Open(open)
}
