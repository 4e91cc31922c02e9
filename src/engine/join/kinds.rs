//! Observations by kind.

use crate::model::Observation;
use serde::{Deserialize, Serialize};

/// Names of kinds, as `/metrics` has them.
const NAMES: [&str; 8] =
    ["call", "facets", "link", "score", "assignment", "alias", "covariate", "define"];

/// How many observations of each kind there were.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Kinds([u64; NAMES.len()]);

// === impl Kinds ===

impl Kinds {
    /// Counts one.
    pub fn count(&mut self, observation: &Observation) {
        let kind = match observation {
            Observation::Call(_) => 0,
            Observation::Facets(_) => 1,
            Observation::Link(_) => 2,
            Observation::Score(_) => 3,
            Observation::Assignment(_) => 4,
            Observation::Alias(_) => 5,
            Observation::Covariate(_) => 6,
            Observation::Define(_) => 7,
        };
        self.0[kind] += 1;
    }

    /// Kinds that there were, with how many.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        NAMES.into_iter().zip(self.0).filter(|row| row.1 > 0)
    }
}
