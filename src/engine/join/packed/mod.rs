//! Traces as bytes for the shelf, about 100 bytes a call: names and facet sets by their place in a
//! table of the engine's state, times as distances, spans of the trace by their place in it.
//! What is packed and unpacked is equal; bytes that cannot be read are an error.

mod pack;
#[cfg(test)]
mod tests;
mod unpack;

pub use pack::pack;
pub use unpack::{responses, unpack};

use hashbrown::HashMap;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// Flags of a candidate beside its kind: what is the same as of the one before, and what it has.
const SAME_RECEIVED: u8 = 4;
const SAME_COUNTED: u8 = 8;
const SAME_SET: u8 = 16;
const SAME_UNITS: u8 = 32;
/// It has a class of error or an input.
const NAMED: u8 = 64;
/// It has a response id.
const ANSWERED: u8 = 128;

/// Flags of an assignment beside its source: all but its place is as of the one before …
const SAME_WORDS: u8 = 16;
/// … and its time is the end of its span.
const AT_END: u8 = 32;

/// Names and sets that have a number; further ones are written out.
const ATOMS_MAX: usize = 65_536;

/// Numbers of names and facet sets, in the order in which they were first packed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<u128>", into = "Vec<u128>")]
pub struct Atoms {
    list: Vec<u128>,
    index: HashMap<u128, u32>,
    /// What was asked for lately, by the lowest bits: the traces of a service name the same.
    recent: [(u128, u32); RECENT],
}

/// A few services' worth.
const RECENT: usize = 32;

impl From<Vec<u128>> for Atoms {
    fn from(list: Vec<u128>) -> Self {
        let index = list.iter().enumerate().map(|(at, atom)| (*atom, at as u32)).collect();
        Atoms { list, index, ..Atoms::default() }
    }
}

impl From<Atoms> for Vec<u128> {
    fn from(atoms: Atoms) -> Self {
        atoms.list
    }
}

impl Atoms {
    fn number(&mut self, atom: u128) -> Option<u32> {
        let slot = atom as usize % RECENT;
        if self.recent[slot].0 == atom && atom != 0 {
            return Some(self.recent[slot].1);
        }
        let number = self.look_up(atom)?;
        self.recent[slot] = (atom, number);
        Some(number)
    }

    fn look_up(&mut self, atom: u128) -> Option<u32> {
        if let Some(known) = self.index.get(&atom) {
            return Some(*known);
        }
        if self.list.len() >= ATOMS_MAX {
            return None;
        }
        let number = self.list.len() as u32;
        self.list.push(atom);
        self.index.insert(atom, number);
        Some(number)
    }
}

/// Bytes that are no trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unreadable;

/// Packed bytes in memory, shared with a clone.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Packed(pub Arc<[u8]>);

impl Serialize for Packed {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Packed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Packed, E> {
                Ok(Packed(bytes.into()))
            }
        }
        input.deserialize_bytes(Bytes)
    }
}
