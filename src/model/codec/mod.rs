//! Observations as bytes: a tag, fixed-width ids in little endian, varints for the rest.
//! Encoding appends to a buffer and never allocates; decoding borrows nothing and allocates
//! only for a `Define`. The format is that of `log_format` 1; a change needs a new tag.

mod reader;
#[cfg(test)]
mod tests;

pub use reader::Reader;

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
                out.push(LINK);
                put_place(out, &link.place);
            }
            Observation::Score(score) => score.encode(out),
            Observation::Assignment(assignment) => assignment.encode(out),
            Observation::Alias(alias) => {
                out.push(ALIAS);
                out.extend_from_slice(&alias.response.0.to_le_bytes());
                out.extend_from_slice(&alias.trace.0.to_le_bytes());
                out.extend_from_slice(&alias.span.0.to_le_bytes());
            }
            Observation::Covariate(covariate) => {
                out.push(COVARIATE);
                put_place(out, &covariate.place);
                put_varint(out, zigzag(covariate.value_micro));
            }
            Observation::Define(define) => define.encode(out),
        }
    }
}

impl Call {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(CALL);
        put_place(out, &self.place);
        put_varint(out, self.duration);
        out.extend_from_slice(&self.set.0.to_le_bytes());
        out.push(self.operation as u8 | u8::from(self.streaming) << 4);
        out.push(self.finish.0 | u8::from(self.tokens.estimated) << 7);
        let tokens = &self.tokens;
        put_options(
            out,
            [
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
            ],
        );
    }
}

impl Facets {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(FACETS);
        put_place(out, &self.place);
        out.push(self.role as u8);
        out.push(self.finish.0);
        let (high, low) = halves(self.set.0);
        put_options(
            out,
            [
                nonzero(high),
                nonzero(low),
                self.seed.map(zigzag),
                self.units.explicit.map(|unit| unit.0),
                self.units.user.map(|unit| unit.0),
                self.units.session.map(|unit| unit.0),
                self.units.conversation.map(|unit| unit.0),
                self.response.map(|unit| unit.0),
            ],
        );
    }
}

impl Score {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(SCORE);
        let (kind, first, second) = match self.target {
            Target::Span(trace, span) => (0, trace.0, span.0),
            Target::Trace(trace) => (1, trace.0, 0),
            Target::Response(response) => (2, u128::from(response.0), 0),
            Target::Session(session) => (3, u128::from(session.0), 0),
        };
        out.push(kind | u8::from(self.failed) << 4);
        out.extend_from_slice(&first.to_le_bytes());
        out.extend_from_slice(&second.to_le_bytes());
        out.extend_from_slice(&self.name.0.to_le_bytes());
        out.extend_from_slice(&self.id.to_le_bytes());
        out.extend_from_slice(&self.time.to_le_bytes());
        put_options(
            out,
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
        );
    }
}

impl Assignment {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(ASSIGNMENT);
        out.push(self.source as u8);
        out.extend_from_slice(&self.trace.unwrap_or_default().0.to_le_bytes());
        out.extend_from_slice(&self.experiment.0.to_le_bytes());
        out.extend_from_slice(&self.arm.0.to_le_bytes());
        out.extend_from_slice(&self.time.to_le_bytes());
        put_options(
            out,
            [
                nonzero(self.span.0),
                self.unit.map(|unit| unit.0),
                self.assigned_ppm.map(u64::from),
                nonzero(self.service.0),
                None,
                None,
                None,
                None,
            ],
        );
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

fn put_place(out: &mut Vec<u8>, place: &Place) {
    let mut bytes = [0; 40];
    bytes[..16].copy_from_slice(&place.trace.0.to_le_bytes());
    bytes[16..24].copy_from_slice(&place.span.0.to_le_bytes());
    bytes[24..32].copy_from_slice(&place.parent.0.to_le_bytes());
    bytes[32..].copy_from_slice(&place.end.to_le_bytes());
    out.extend_from_slice(&bytes);
}

/// A mask of which are present, then those.
fn put_options<const N: usize>(out: &mut Vec<u8>, values: [Option<u64>; N]) {
    let mask = values.iter().enumerate().filter(|v| v.1.is_some()).fold(0, |m, v| m | 1 << v.0);
    put_varint(out, mask);
    values.into_iter().flatten().for_each(|value| put_varint(out, value));
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
