//! Observations as bytes: a tag, fixed-width ids in little endian, varints for the rest.
//! Encoding appends to a buffer and never allocates; decoding borrows nothing and allocates
//! only for a `Define`. The format is that of `log_format` 1; a change needs a new tag.

mod reader;
mod room;
#[cfg(test)]
mod tests;

pub use reader::Reader;
pub use room::Room;

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

impl Observation {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Observation::Call(call) => call.encode(out),
            Observation::Facets(facets) => facets.encode(out),
            Observation::Link(link) => {
                let mut room = Room::new(LINK);
                room.place(&link.place);
                room.append_to(out);
            }
            Observation::Score(score) => score.encode(out),
            Observation::Assignment(assignment) => assignment.encode(out),
            Observation::Alias(alias) => {
                let mut room = Room::new(ALIAS);
                room.put(alias.response.0.to_le_bytes());
                room.put(alias.trace.0.to_le_bytes());
                room.put(alias.span.0.to_le_bytes());
                room.append_to(out);
            }
            Observation::Covariate(covariate) => {
                let mut room = Room::new(COVARIATE);
                room.place(&covariate.place);
                room.varint(zigzag(covariate.value_micro));
                room.append_to(out);
            }
            Observation::Define(define) => define.encode(out),
        }
    }
}

impl Call {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut room = Room::new(CALL);
        room.place(&self.place);
        room.varint(self.duration);
        room.put(self.set.0.to_le_bytes());
        room.put([
            self.operation as u8 | u8::from(self.streaming) << 4,
            self.finish.0 | u8::from(self.tokens.estimated) << 7,
        ]);
        let tokens = &self.tokens;
        room.options([
            nonzero(self.error.0),
            tokens.input,
            tokens.output,
            tokens.cached,
            tokens.cache_written,
            tokens.reasoning,
            self.cost_nano,
            self.first_token_us,
            self.seed.map(zigzag),
            self.units.explicit.map(|unit| unit.0),
            self.units.user.map(|unit| unit.0),
            self.units.session.map(|unit| unit.0),
            self.units.conversation.map(|unit| unit.0),
            self.response.map(|unit| unit.0),
            self.sampled_ppm.map(u64::from),
            nonzero(self.input.0),
        ]);
        room.append_to(out);
    }
}

impl Facets {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut room = Room::new(FACETS);
        room.place(&self.place);
        room.put([self.role as u8, self.finish.0]);
        let (high, low) = halves(self.set.0);
        room.options([
            nonzero(high),
            nonzero(low),
            self.seed.map(zigzag),
            self.units.explicit.map(|unit| unit.0),
            self.units.user.map(|unit| unit.0),
            self.units.session.map(|unit| unit.0),
            self.units.conversation.map(|unit| unit.0),
            self.response.map(|unit| unit.0),
        ]);
        room.append_to(out);
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
        room.options([
            self.value_micro.map(zigzag),
            nonzero(self.label.0),
            nonzero(self.grader.name.0),
            nonzero(self.grader.version.0),
            nonzero(self.grader.model.0),
            nonzero(self.annotator.0),
            self.picked_ppm.map(u64::from),
            None,
        ]);
        room.append_to(out);
    }
}

impl Assignment {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut room = Room::new(ASSIGNMENT);
        room.put([self.source as u8]);
        room.put(self.trace.unwrap_or_default().0.to_le_bytes());
        room.put(self.experiment.0.to_le_bytes());
        room.put(self.arm.0.to_le_bytes());
        room.put(self.time.to_le_bytes());
        room.options([
            nonzero(self.span.0),
            self.unit.map(|unit| unit.0),
            self.assigned_ppm.map(u64::from),
            nonzero(self.service.0),
            None,
            None,
            None,
            None,
        ]);
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

fn halves(value: u128) -> (u64, u64) {
    ((value >> 64) as u64, value as u64)
}
