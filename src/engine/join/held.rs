//! A trace in memory, packed.

use super::packed::{Packed, responses};
use crate::model::shelf::Part;
use crate::model::{Nanos, UnitHash};
use serde::{Deserialize, Serialize};

/// Estimated bytes of a row that leads from a response id to a trace in memory.
const RESPONSE_BYTES: u64 = 16;
/// Estimated bytes of a trace beside its packed ones: its place in the map, rows of the agendas.
const HELD_BYTES: u64 = 176;

/// A trace in memory, packed: most are complete when they come and are never looked at again.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Held {
    /// Latest end of anything in it.
    pub newest: Nanos,
    /// When it has to be resolved again; 0 for never.
    pub due: Nanos,
    /// The part in which it was sealed last; 0 when it never left memory.
    pub part: Part,
    /// A call of it waits to be counted.
    pub parked: bool,
    /// It has an assignment.
    pub assigned: bool,
    /// It has a score.
    pub scored: bool,
    /// How many response ids its calls have; the greatest number is that and more.
    pub answers: u8,
    /// All of it.
    pub bytes: Packed,
}

impl Held {
    /// Estimated bytes.
    pub fn bytes(&self) -> u64 {
        HELD_BYTES + self.bytes.0.len() as u64 + self.responses() as u64 * RESPONSE_BYTES
    }

    /// How many response ids its calls have.
    fn responses(&self) -> usize {
        match self.answers {
            u8::MAX => responses(&self.bytes.0).len(),
            few => few.into(),
        }
    }

    /// Whether a call of it has this response id.
    pub fn has(&self, response: UnitHash) -> bool {
        responses(&self.bytes.0).any(|own| own == response)
    }
}
