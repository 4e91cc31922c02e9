//! What one request gave: encoded observations, and the definitions they rest on.

use super::id::{SetId, Sym};
use super::observation::Define;

/// Filled by `normalize`, appended to the log by the receiver. Reused between requests.
#[derive(Default, Debug)]
pub struct Batch {
    /// Encoded `Define`s that the log may not have yet.
    pub defines: Vec<u8>,
    /// Encoded observations.
    pub observations: Vec<u8>,
    /// How many observations.
    pub count: u32,
    /// Room for a short text in the making; says nothing.
    pub text: String,
    /// Symbols defined here; known for good once the batch is durable.
    pub new_names: Vec<Sym>,
    /// Sets defined here with the raw hash that led to them; as `new_names`.
    pub new_sets: Vec<(u128, SetId)>,
}

impl Batch {
    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.defines.clear();
        self.observations.clear();
        self.count = 0;
        self.text.clear();
        self.new_names.clear();
        self.new_sets.clear();
    }

    /// Whether there is nothing to append.
    pub fn is_empty(&self) -> bool {
        self.count == 0 && self.defines.is_empty()
    }

    /// Adds a definition.
    pub fn define(&mut self, define: &Define) {
        if let Define::Name(sym, _) = define {
            self.new_names.push(*sym);
        }
        define.encode(&mut self.defines);
    }

    /// The payload of its log entry: definitions first, then what uses them.
    pub fn payload(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.defines.len() + self.observations.len());
        bytes.extend_from_slice(&self.defines);
        bytes.extend_from_slice(&self.observations);
        bytes
    }
}
