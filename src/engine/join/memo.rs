//! Results that repeat for every call of a service: merged facet sets, identities, call sites.
//! A cache, not state: it is empty after a restart and fills with the same answers.

use crate::engine::context::Context;
use crate::engine::dictionary::{Dictionary, OVERFLOW};
use crate::identify;
use crate::model::{FacetSet, Field, Operation, SetId, Sym, Value};
use std::collections::BTreeMap;

/// Entries of each map; a full one is emptied.
const ENTRIES_MAX: usize = 65_536;

/// See the module.
#[derive(Clone, Default, Debug)]
pub struct Memo {
    merged: BTreeMap<Vec<SetId>, SetId>,
    identities: BTreeMap<(Sym, SetId), SetId>,
    sites: BTreeMap<(SetId, SetId, Operation), Sym>,
}

impl Memo {
    /// Forgets identities: which fields identify has changed.
    pub fn forget_identities(&mut self) {
        self.identities.clear();
    }

    /// The full set of a call: the first `own` sets of the chain entirely, of the others what is
    /// inherited, of retrievals what they retrieved from. An embedding has no prompt and no tools
    /// of its own, so those of the agent around it are not its.
    pub fn merge(
        &mut self,
        chain: &[SetId],
        own: usize,
        retrievals: &[SetId],
        operation: Operation,
        dictionary: &mut Dictionary,
        max: u32,
    ) -> SetId {
        if chain.len() == 1 && retrievals.is_empty() {
            return chain[0];
        }
        // The number of own sets is part of the key: a set may be one's own or inherited.
        let mut key = Vec::with_capacity(chain.len() + retrievals.len() + 1);
        key.push(SetId(own as u128 | u128::from(operation.is_completion()) << 64));
        key.extend_from_slice(chain);
        key.push(SetId(0));
        key.extend_from_slice(retrievals);
        if let Some(known) = self.merged.get(&key) {
            return *known;
        }
        let mut full = FacetSet::default();
        for (at, id) in chain.iter().enumerate() {
            take(&mut full, &dictionary.set(*id), |field| {
                at < own || field.inherited() && (operation.is_completion() || !instructs(field))
            });
        }
        for id in retrievals {
            take(&mut full, &dictionary.set(*id), |field| field.group() == "retrieval");
        }
        let merged = dictionary.intern(full, max);
        make_room(&mut self.merged).insert(key, merged);
        merged
    }

    /// The identifying part of a full set in an experiment.
    pub fn identity(
        &mut self,
        experiment: Sym,
        full: SetId,
        seed: Option<i64>,
        context: &Context,
        dictionary: &mut Dictionary,
    ) -> SetId {
        let identity = context.identity(experiment);
        let max = context.settings.limits.names_max;
        let by_seed = seed.filter(|_| identity.identifies(Field::Seed));
        if let Some(seed) = by_seed {
            let mut facets = identity.of(&dictionary.set(full));
            facets.set(Field::Seed, Value::Number(seed as f64));
            return dictionary.intern(facets, max);
        }
        if full == OVERFLOW {
            return OVERFLOW;
        }
        if let Some(known) = self.identities.get(&(experiment, full)) {
            return *known;
        }
        let id = dictionary.intern(identity.of(&dictionary.set(full)), max);
        make_room(&mut self.identities).insert((experiment, full), id);
        id
    }

    /// The call site.
    pub fn site(
        &mut self,
        own: SetId,
        full: SetId,
        operation: Operation,
        dictionary: &mut Dictionary,
        max: u32,
    ) -> Sym {
        if let Some(known) = self.sites.get(&(own, full, operation)) {
            return *known;
        }
        let (own_set, full_set) = (dictionary.set(own), dictionary.set(full));
        let name = identify::site(&own_set, &full_set, operation.name());
        let sym = dictionary.name(&name, max);
        make_room(&mut self.sites).insert((own, full, operation), sym);
        sym
    }
}

/// Whether a field says what a model was told to do.
fn instructs(field: Field) -> bool {
    ["prompt", "tools"].contains(&field.group())
}

fn take(full: &mut FacetSet, from: &FacetSet, wanted: impl Fn(Field) -> bool) {
    for (field, value) in from.iter().filter(|pair| wanted(pair.0)) {
        full.set_if_absent(field, value.clone());
    }
}

fn make_room<K, V>(map: &mut BTreeMap<K, V>) -> &mut BTreeMap<K, V> {
    if map.len() >= ENTRIES_MAX {
        map.clear();
    }
    map
}
