//! Observations as bytes: a tag, fixed-width ids in little endian, varints for the rest.
//! Encoding appends to a buffer and never allocates; decoding borrows nothing and allocates
//! only for a `Define`. A change needs a new tag: what older versions wrote is still read.

mod near;
mod near_reader;
mod reader;
mod room;
#[cfg(test)]
mod tests;

pub use near::Writer;
pub use reader::Reader;
pub use room::{Room, flag};

use super::observation::*;
use super::varint::{put as put_varint, zigzag};

/// Bytes that are no observation: damaged, or written by a newer version.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("observation at byte {at} of its batch cannot be read: {what}")]
pub struct Unreadable {
    /// Offset in the batch.
    pub at: usize,
    /// What was wrong.
    pub what: &'static str,
}

const CALL: u8 = 1;
const FACETS: u8 = 2;
const LINK: u8 = 3;
const SCORE: u8 = 4;
const ASSIGNMENT: u8 = 5;
const ALIAS: u8 = 6;
const DEFINE_NAME: u8 = 7;
const DEFINE_SET: u8 = 8;
const COVARIATE: u8 = 9;
const NEAR_CALL: u8 = 10;
const NEAR_FACETS: u8 = 11;
const NEAR_LINK: u8 = 12;
const NEAR_ASSIGNMENT: u8 = 13;

impl Observation {
    /// Appends its bytes, which refer to nothing before them: more than a [`Writer`] takes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        Writer::default().put(self, out);
    }
}

impl Call {
    /// Its numbers in the order in which they are written, in the log as in sealed traces.
    #[inline]
    pub fn numbers(&self) -> [Option<u64>; 9] {
        let tokens = &self.tokens;
        [
            tokens.input,
            tokens.output,
            tokens.cached,
            tokens.cache_written,
            tokens.reasoning,
            self.cost_nano,
            self.first_token_us,
            self.seed.map(zigzag),
            self.sampled_ppm.map(u64::from),
        ]
    }
}

impl Score {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut room = Room::new(SCORE);
        let (kind, first, second) = match self.target {
            Target::Span(trace, span) => (0, trace.0, span.0),
            Target::Trace(trace) => (1, trace.0, 0),
            Target::Response(response) => (2, u128::from(response.0), 0),
            Target::Session(session) => (3, u128::from(session.0), 0),
        };
        room.put([kind | u8::from(self.failed) << 4]);
        room.put(first.to_le_bytes());
        room.put(second.to_le_bytes());
        room.put(self.name.0.to_le_bytes());
        room.put(self.id.to_le_bytes());
        room.put(self.time.to_le_bytes());
        room.options(
            [
                self.value_micro.map(zigzag),
                nonzero(self.label.0),
                nonzero(self.grader.name.0),
                nonzero(self.grader.version.0),
                nonzero(self.grader.model.0),
                nonzero(self.annotator.0),
                self.picked_ppm.map(u64::from),
                None,
            ],
            [],
        );
        room.append_to(out);
    }
}

impl Alias {
    /// Appends its bytes.
    fn encode(&self, out: &mut Vec<u8>) {
        let mut room = Room::new(ALIAS);
        room.put(self.response.0.to_le_bytes());
        room.put(self.trace.0.to_le_bytes());
        room.put(self.span.0.to_le_bytes());
        room.append_to(out);
    }
}

impl Covariate {
    /// Appends its bytes.
    fn encode(&self, out: &mut Vec<u8>) {
        let mut room = Room::new(COVARIATE);
        room.place(&self.place);
        room.varint(zigzag(self.value_micro));
        room.append_to(out);
    }
}

impl Define {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Define::Name(sym, text) => {
                out.push(DEFINE_NAME);
                out.extend_from_slice(&sym.0.to_le_bytes());
                put_bytes(out, text.as_bytes());
            }
            Define::Set(id, set) => {
                out.push(DEFINE_SET);
                out.extend_from_slice(&id.0.to_le_bytes());
                put_bytes(out, &postcard::to_stdvec(set).unwrap_or_default());
            }
        }
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn nonzero(value: u64) -> Option<u64> {
    (value != 0).then_some(value)
}
