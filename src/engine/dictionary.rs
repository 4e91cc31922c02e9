//! Texts of symbols and facets of set ids, as the log defined them. Bounded: above the limit a
//! new name or set is unknown and shown as `other`.

use crate::model::canonical::set_id;
use crate::model::observation::Define;
use crate::model::{FacetSet, SetId, Sym};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The set that stands for all that is above a limit.
pub const OVERFLOW: SetId = SetId(u128::MAX);

/// Names and sets by their content hash.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub struct Dictionary {
    names: BTreeMap<Sym, Arc<str>>,
    sets: BTreeMap<SetId, Arc<FacetSet>>,
    refused: u64,
}

impl Dictionary {
    /// Takes in a definition of the log.
    pub fn define(&mut self, define: Define, max: u32) {
        match define {
            Define::Name(sym, text) => self.insert_name(sym, text.into(), max),
            Define::Set(id, set) => {
                if self.has_room(max) || self.sets.contains_key(&id) {
                    self.sets.entry(id).or_insert_with(|| Arc::new(set));
                }
            }
        }
    }

    fn insert_name(&mut self, sym: Sym, text: Arc<str>, max: u32) {
        if self.names.contains_key(&sym) || sym.is_none() {
            return;
        }
        if self.has_room(max) {
            self.names.insert(sym, text);
        }
    }

    fn has_room(&mut self, max: u32) -> bool {
        let room = self.names.len().max(self.sets.len()) < max as usize;
        self.refused += u64::from(!room);
        room
    }

    /// The symbol of a name that the engine itself needs.
    pub fn name(&mut self, text: &str, max: u32) -> Sym {
        let sym = Sym::of(text);
        self.insert_name(sym, text.into(), max);
        sym
    }

    /// The id of a set that the engine itself made; [`OVERFLOW`] when there is no room.
    pub fn intern(&mut self, set: FacetSet, max: u32) -> SetId {
        let id = set_id(&set);
        if self.sets.contains_key(&id) {
            return id;
        }
        if !self.has_room(max) {
            return OVERFLOW;
        }
        self.sets.insert(id, Arc::new(set));
        id
    }

    /// The text of a symbol; `other` when it is unknown, empty for none.
    pub fn text(&self, sym: Sym) -> &str {
        if sym.is_none() {
            return "";
        }
        self.names.get(&sym).map_or("other", |text| text)
    }

    /// Whether a symbol is known.
    pub fn knows(&self, sym: Sym) -> bool {
        self.names.contains_key(&sym)
    }

    /// The facets of a set; the empty set when it is unknown.
    pub fn set(&self, id: SetId) -> Arc<FacetSet> {
        self.sets.get(&id).cloned().unwrap_or_default()
    }

    /// The facets of a set, if it is known.
    pub fn known(&self, id: SetId) -> Option<&FacetSet> {
        self.sets.get(&id).map(|set| &**set)
    }

    /// How many definitions found no room.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Takes over what another partition knows.
    pub fn merge(&mut self, other: &Dictionary) {
        for (sym, text) in &other.names {
            self.names.entry(*sym).or_insert_with(|| text.clone());
        }
        for (id, set) in &other.sets {
            self.sets.entry(*id).or_insert_with(|| set.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_other() {
        let mut dictionary = Dictionary::default();
        let kept = dictionary.name("kept", 1);
        let refused = dictionary.name("refused", 1);
        assert_eq!(dictionary.text(kept), "kept");
        assert_eq!(dictionary.text(refused), "other");
        assert_eq!(dictionary.name("kept", 1), kept, "known names need no room");
        assert_eq!(dictionary.refused(), 1);
        assert_eq!(dictionary.text(Sym::NONE), "");
    }
}
