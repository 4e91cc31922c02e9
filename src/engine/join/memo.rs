//! Results that repeat for every call of a service: merged facet sets, identities, call sites.
//! A cache, not state: it is empty after a restart and fills with the same answers.

use super::resolve::{Arms, Fates};
use crate::engine::context::Context;
use crate::engine::dictionary::{Dictionary, OVERFLOW};
use crate::identify;
use crate::model::settings::Price;
use crate::model::{FacetSet, Field, Operation, SetId, Sym, Value};
use hashbrown::HashMap;
use std::hash::Hash;

/// Entries of each map; a full one is emptied.
const ENTRIES_MAX: usize = 65_536;

/// See the module.
#[derive(Clone, Default, Debug)]
pub struct Memo {
    merged: Cache<Vec<SetId>, SetId>,
    identities: Cache<(Sym, SetId), SetId>,
    sites: Cache<(SetId, SetId, Operation), Sym>,
    traits: Cache<SetId, Traits>,
    prices: Cache<SetId, Option<Price>>,
    /// Rooms that are used again and again.
    pub(super) scratch: Scratch,
    chain: Vec<SetId>,
}

/// What resolving one trace needs for a moment.
#[derive(Clone, Default, Debug)]
pub struct Scratch {
    /// What becomes of candidates.
    pub fates: Fates,
    /// Its arms.
    pub arms: Arms,
    /// Places of calls that count.
    pub calls: Vec<usize>,
}

/// What is asked of every facet set of a span.
#[derive(Clone, Copy, Default, Debug)]
pub struct Traits {
    /// The scope that emitted the span.
    pub emitter: Sym,
    /// It says which prompt was used.
    pub names_prompt: bool,
}

/// Answers by question. The calls of a trace mostly ask the same, so the last one is kept apart.
#[derive(Clone, Debug)]
struct Cache<K, V> {
    last: Option<(K, V)>,
    all: HashMap<K, V>,
}

// === impl Cache ===

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Cache { last: None, all: HashMap::new() }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    fn get(&mut self, key: &K) -> Option<V> {
        if let Some((last, known)) = &self.last
            && last == key
        {
            return Some(known.clone());
        }
        let known = self.all.get(key)?.clone();
        match &mut self.last {
            // Takes over the room of the last question.
            Some(last) => {
                last.0.clone_from(key);
                last.1 = known.clone();
            }
            None => self.last = Some((key.clone(), known.clone())),
        }
        Some(known)
    }

    /// Keeps an answer; a full cache is emptied.
    fn insert(&mut self, key: K, value: V) {
        if self.all.len() >= ENTRIES_MAX {
            self.all.clear();
        }
        self.all.insert(key, value);
    }

    fn clear(&mut self) {
        self.last = None;
        self.all.clear();
    }
}

// === impl Memo ===

impl Memo {
    /// Forgets what rests on settings: which fields identify has changed, or prices.
    pub fn forget_settings(&mut self) {
        self.identities.clear();
        self.prices.clear();
    }

    /// An empty list of sets; [`Memo::merge`] takes it back.
    pub fn take_chain(&mut self) -> Vec<SetId> {
        let mut chain = std::mem::take(&mut self.chain);
        chain.clear();
        chain
    }

    /// What is asked of a facet set.
    pub fn traits(&mut self, set: SetId, dictionary: &Dictionary) -> Traits {
        if let Some(known) = self.traits.get(&set) {
            return known;
        }
        // A set that is not defined yet may be so later.
        let Some(facets) = dictionary.known(set) else { return Traits::default() };
        let emitter = facets.text(Field::Emitter).map_or(Sym::NONE, Sym::of);
        let names_prompt = facets.get(Field::PromptHash).is_some();
        let traits = Traits { emitter, names_prompt };
        self.traits.insert(set, traits);
        traits
    }

    /// The price of a full set's revision or requested model.
    pub fn price(
        &mut self,
        full: SetId,
        context: &Context,
        dictionary: &Dictionary,
    ) -> Option<Price> {
        if let Some(known) = self.prices.get(&full) {
            return known;
        }
        let facets = dictionary.known(full)?;
        let (revision, requested) =
            (facets.text(Field::ModelRevision), facets.text(Field::ModelRequested));
        let price = context.price(revision, requested).cloned();
        self.prices.insert(full, price.clone());
        price
    }

    /// The full set of a call: the first `own` sets of the chain entirely, of the others what is
    /// inherited, of retrievals what they retrieved from. An embedding has no prompt and no tools
    /// of its own, so those of the agent around it are not its.
    pub fn merge(
        &mut self,
        chain: Vec<SetId>,
        own: usize,
        retrievals: &[SetId],
        operation: Operation,
        dictionary: &mut Dictionary,
        max: u32,
    ) -> SetId {
        let sets = chain.len();
        let mut key = chain;
        if sets == 1 && retrievals.is_empty() {
            let only = key[0];
            self.chain = key;
            return only;
        }
        key.push(SetId(0));
        key.extend_from_slice(retrievals);
        // The number of own sets is part of the key: a set may be one's own or inherited.
        key.push(SetId(own as u128 | u128::from(operation.is_completion()) << 64));
        if let Some(known) = self.merged.get(&key) {
            self.chain = key;
            return known;
        }
        let mut full = FacetSet::default();
        for (at, id) in key.iter().take(sets).enumerate() {
            take(&mut full, &dictionary.set(*id), |field| {
                at < own || field.inherited() && (operation.is_completion() || !instructs(field))
            });
        }
        for id in retrievals {
            take(&mut full, &dictionary.set(*id), |field| field.group() == "retrieval");
        }
        let merged = dictionary.intern(full, max);
        self.merged.insert(key, merged);
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
        let max = context.settings.limits.names_max;
        let by_seed = seed.filter(|_| context.identity(experiment).identifies(Field::Seed));
        if let Some(seed) = by_seed {
            let mut facets = context.identity(experiment).of(&dictionary.set(full));
            facets.set(Field::Seed, Value::Number(seed as f64));
            return dictionary.intern(facets, max);
        }
        if full == OVERFLOW {
            return OVERFLOW;
        }
        if let Some(known) = self.identities.get(&(experiment, full)) {
            return known;
        }
        let identity = context.identity(experiment);
        let id = dictionary.intern(identity.of(&dictionary.set(full)), max);
        self.identities.insert((experiment, full), id);
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
        let asked = (own, full, operation);
        if let Some(known) = self.sites.get(&asked) {
            return known;
        }
        let (own_set, full_set) = (dictionary.set(own), dictionary.set(full));
        let name = identify::site(&own_set, &full_set, operation.name());
        let sym = dictionary.name(&name, max);
        self.sites.insert(asked, sym);
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
