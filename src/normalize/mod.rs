//! From OTLP bytes to observations: the only place, with `otlp`, that knows attribute names.
//!
//! ```text
//! bytes ─request→ span, record ─gather→ slots (by the table of all dialects) ─kind→ call or not
//!       └→ Call, Facets, Link, Score, Assignment, appended to a Batch, with the Defines they need
//! ```
//! Spans are walked where they stand: no copy, and no allocation per span once their names and
//! facet sets are known. Content is hashed or dropped here and goes no further. Nothing here
//! reads a clock or does I/O.

mod api;
mod assign;
mod call;
mod content;
mod dialects;
mod echo;
mod facets;
mod fits;
mod gather;
mod json;
mod kind;
mod last;
mod logs;
mod memo;
mod outcome;
mod recall;
mod recent;
mod report;
mod request;
mod score;
mod script;
mod secret;
mod slot;
mod span;
mod table;
mod traces;
mod value;
mod walk;
mod wire;

pub use api::{AssignmentInput, GraderInput, ScoreInput};
pub use gather::ATTRIBUTES_MAX;
pub use memo::ENTRIES_MAX;
pub use report::{Blind, Malformed, Report, Times, Understood, Witness};
pub use request::ITEMS_MAX;
pub use value::{FACET_BYTES_MAX, HASHED_BYTES_MAX, LEVELS_MAX, NAME_BYTES_MAX};
pub use walk::DEFINES_BYTES_MAX;

use crate::model::{Batch, UnitHash};
use memo::Memo;
use secret::Secret;
use std::collections::BTreeMap;
use table::Table;
use walk::Walk;

/// What the operator chose.
#[derive(Clone, Default, Debug)]
pub struct Config {
    /// Canonical name (a facet's path, `experiment`, `arm`, `unit`, `user`, `session`) ← names of
    /// attributes, first present wins, before all dialects. `resource.`, `span.` and `log.` in
    /// front of an attribute's name restrict where it is looked for.
    pub mapping: BTreeMap<String, Vec<String>>,
    /// Key of all hashes; without one they are unkeyed and units use a public constant.
    pub hash_key: Option<String>,
    /// Name of the key, part of each content hash.
    pub hash_key_id: String,
    /// Configured experiments. An arm that comes without one belongs to the only one, if it is.
    pub experiments: Vec<String>,
}

/// Understands OTLP. One is shared by all tasks that receive.
pub struct Normalizer {
    table: Table,
    secret: Secret,
    memo: Memo,
    experiments: Vec<String>,
}

impl Normalizer {
    /// From a validated config.
    pub fn new(config: Config) -> Self {
        Normalizer {
            table: Table::new(&config.mapping),
            secret: Secret::new(config.hash_key.as_deref(), &config.hash_key_id),
            memo: Memo::new(),
            experiments: config.experiments,
        }
    }

    /// Appends what an `ExportTraceServiceRequest` in protobuf says to `batch`. A bad span is
    /// counted and left out. When the request as a whole cannot be read, the batch is as before.
    pub fn traces(
        &self,
        body: &[u8],
        times: Times,
        batch: &mut Batch,
        witness: &mut dyn Witness,
    ) -> Result<Report, Malformed> {
        self.request(body, times, batch, witness, traces::visit)
    }

    /// Appends what an `ExportLogsServiceRequest` in protobuf says to `batch`; see [`Self::traces`].
    pub fn logs(
        &self,
        body: &[u8],
        times: Times,
        batch: &mut Batch,
        witness: &mut dyn Witness,
    ) -> Result<Report, Malformed> {
        self.request(body, times, batch, witness, logs::visit)
    }

    fn request<'a, 'n>(
        &'n self,
        body: &'a [u8],
        times: Times,
        batch: &mut Batch,
        witness: &mut dyn Witness,
        visit: for<'w, 'o, 's> fn(&'w mut Walk<'n, 'o>, &'s mut request::Scratch<'a>, &'a [u8]),
    ) -> Result<Report, Malformed> {
        let before = Before::of(batch);
        let mut walk = Walk::new(self, times, batch, witness);
        let walked = request::walk(&mut walk, body, visit);
        let Walk { report, class, .. } = walk;
        batch.text = class;
        match walked {
            Ok(()) => Ok(report),
            Err(malformed) => {
                before.restore(batch);
                Err(malformed)
            }
        }
    }

    /// The batch is in the log: what it defines needs no definition any more.
    pub fn durable(&self, batch: &Batch) {
        self.memo.durable(batch);
    }

    /// The keyed hash of a unit, user or session.
    pub fn unit(&self, id: &str) -> UnitHash {
        self.secret.unit(id)
    }

    /// The keyed hash of a response id.
    pub fn response(&self, id: &str) -> UnitHash {
        self.secret.response(id)
    }

    fn only_experiment(&self) -> Option<&str> {
        match self.experiments.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }
}

/// Lengths of a batch, to take back what a request added.
struct Before {
    defines: usize,
    observations: usize,
    count: u32,
    names: usize,
    sets: usize,
}

impl Before {
    fn of(batch: &Batch) -> Self {
        Before {
            defines: batch.defines.len(),
            observations: batch.observations.len(),
            count: batch.count,
            names: batch.new_names.len(),
            sets: batch.new_sets.len(),
        }
    }

    fn restore(self, batch: &mut Batch) {
        batch.defines.truncate(self.defines);
        batch.observations.truncate(self.observations);
        batch.count = self.count;
        batch.new_names.truncate(self.names);
        batch.new_sets.truncate(self.sets);
    }
}

#[cfg(test)]
mod tests;
