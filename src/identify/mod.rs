//! Identity: from facets to fingerprint and run id, call sites, and the folding of partial sets.
//! Pure functions over canonical facets; the preimages are those of `design.md`, Identity.

mod evidence;
mod fold;

pub use evidence::{grade, is_pinned, is_present, required, tells_failures};
pub use fold::{Folded, fold};

use crate::model::canonical::{config_json, jcs, sha256_text};
use crate::model::facet::Use;
use crate::model::{FacetSet, Field};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeSet;

/// Which fields identify a run, and which are only recorded.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Identity {
    observed: BTreeSet<Field>,
}

impl Identity {
    /// From the config's list of observed paths or groups (`code`, `seed`, `prompt.version`).
    pub fn new(observed: &[String]) -> Self {
        let listed = |f: &Field| observed.iter().any(|name| name == f.path() || name == f.group());
        Identity { observed: Field::all().filter(listed).collect() }
    }

    /// With more fields demoted to observed.
    pub fn demoting(&self, demoted: &BTreeSet<Field>) -> Self {
        Identity { observed: self.observed.union(demoted).copied().collect() }
    }

    /// Whether a field is part of the configuration.
    pub fn identifies(&self, field: Field) -> bool {
        field.purpose() != Use::Context && !self.observed.contains(&field)
    }

    /// The identifying part of a full set.
    pub fn of(&self, full: &FacetSet) -> FacetSet {
        full.filtered(|field| self.identifies(field))
    }
}

/// The record's `config`: the nested object whose canonical form is hashed.
pub fn config(identity: &FacetSet) -> Map<String, Json> {
    config_json(identity, |_| true)
}

/// `sha256:` of the canonical form (RFC 8785) of the facets.
pub fn fingerprint(identity: &FacetSet) -> String {
    sha256_text(jcs(&Json::Object(config(identity))).as_bytes())
}

/// First 32 hex digits of the SHA-256 of `["armspan/run/v1", experiment, arm, site, fingerprint]`.
pub fn run_id(experiment: &str, arm: &str, site: &str, fingerprint: &str) -> String {
    let preimage = json!(["armspan/run/v1", experiment, arm, site, fingerprint]);
    let hash = sha256_text(jcs(&preimage).as_bytes());
    hash["sha256:".len()..][..32].to_owned()
}

/// The call site: agent name, else prompt name, else the operation. Embeddings are
/// `embeddings` unless an agent or prompt of their own names them.
pub fn site(own: &FacetSet, full: &FacetSet, operation: &str) -> String {
    let named = if operation == "embeddings" { own } else { full };
    let name = named.text(Field::Agent).or_else(|| named.text(Field::PromptName));
    name.unwrap_or(operation).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Value;
    use proptest::prelude::*;

    fn set(pairs: &[(Field, &str)]) -> FacetSet {
        pairs.iter().map(|(field, text)| (*field, Value::text(text))).collect()
    }

    #[test]
    fn observed_groups_and_paths_do_not_identify() {
        let identity = Identity::new(&["code".into(), "prompt.version".into()]);
        assert!(!identity.identifies(Field::CodeCommit));
        assert!(!identity.identifies(Field::PromptVersion));
        assert!(identity.identifies(Field::PromptHash));
        assert!(identity.identifies(Field::Seed), "not listed here, so it splits");
        assert!(!identity.identifies(Field::Agent), "context never does");
    }

    #[test]
    fn sites_are_named_by_agent_then_prompt_then_operation() {
        let full = set(&[(Field::Agent, "planner"), (Field::PromptName, "answer")]);
        let none = FacetSet::default();
        assert_eq!(site(&none, &full, "chat"), "planner");
        assert_eq!(site(&none, &set(&[(Field::PromptName, "answer")]), "chat"), "answer");
        assert_eq!(site(&none, &none, "chat"), "chat");
        assert_eq!(site(&none, &full, "embeddings"), "embeddings", "not the agent around it");
        assert_eq!(site(&full, &full, "embeddings"), "planner");
    }

    proptest! {
        #[test]
        fn run_ids_do_not_depend_on_the_order_of_facets(
            order in Just(vec![0usize, 1, 2, 3, 4]).prop_shuffle(),
            short in -4.0f32..4.0,
        ) {
            use crate::model::canonical::canonical_number;
            let text = short.to_string().parse::<f64>().expect("number");
            let pairs = |number: f64| {
                [
                    (Field::ModelRequested, Value::text("m")),
                    (Field::Temperature, Value::Number(canonical_number(number))),
                    (Field::PromptHash, Value::text("sha256:00")),
                    (Field::Stop, Value::List(vec![Value::text("\n")])),
                    (Field::TopP, Value::Number(1.0)),
                ]
            };
            let straight: FacetSet = pairs(text).into_iter().collect();
            let widened = pairs(f64::from(short));
            let shuffled: FacetSet = order.iter().map(|at| widened[*at].clone()).collect();
            prop_assert_eq!(fingerprint(&straight), fingerprint(&shuffled));
        }
    }
}
