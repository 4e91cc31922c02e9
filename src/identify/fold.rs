//! Partial facet sets: a failed call has no revision, some pods send no content. Such a set is
//! shown as part of the run it belongs to, when that is beyond doubt.

use crate::model::{FacetSet, SetId};

/// Calls that the containing set must have at least.
const CALLS_MIN: i64 = 5;
/// Share of the calls of all maximal containing sets that the chosen one must have, in percent.
const SHARE_MIN_PERCENT: i64 = 90;

/// Where a set is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Folded {
    /// The set.
    pub set: SetId,
    /// The set under which it is shown; itself when it stands alone.
    pub into: SetId,
    /// It is contained in several others and belongs to none for sure.
    pub partial: bool,
}

/// Folds the sets of one arm, site and epoch (`design.md`, Partial facet sets): a set contained
/// in another with ≥ 5 calls goes into the maximal set that contains it and has ≥ 90 % of the
/// calls of all such maximal sets; otherwise it stays on its own, marked partial.
pub fn fold(sets: &[(SetId, &FacetSet, i64)]) -> Vec<Folded> {
    sets.iter().map(|(id, facets, _)| fold_one(*id, facets, sets)).collect()
}

fn fold_one(set: SetId, facets: &FacetSet, sets: &[(SetId, &FacetSet, i64)]) -> Folded {
    let contains =
        |inner: &FacetSet, outer: &FacetSet| inner.len() < outer.len() && inner.is_subset_of(outer);
    let around: Vec<_> =
        sets.iter().filter(|s| s.2 >= CALLS_MIN && contains(facets, s.1)).collect();
    let maximal: Vec<_> =
        around.iter().filter(|s| !around.iter().any(|t| contains(s.1, t.1))).collect();
    let total: i64 = maximal.iter().map(|s| s.2).sum();
    match maximal.iter().find(|s| s.2 * 100 >= total * SHARE_MIN_PERCENT) {
        Some(home) => Folded { set, into: home.0, partial: false },
        None => Folded { set, into: set, partial: !maximal.is_empty() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Field, Value};

    fn set(texts: &[(Field, &str)]) -> FacetSet {
        texts.iter().map(|(field, text)| (*field, Value::text(text))).collect()
    }

    fn folded(sets: &[(FacetSet, i64)]) -> Vec<(u128, bool)> {
        let sets: Vec<_> =
            sets.iter().enumerate().map(|(at, s)| (SetId(at as u128), &s.0, s.1)).collect();
        fold(&sets).iter().map(|f| (f.into.0, f.partial)).collect()
    }

    #[test]
    fn a_failed_call_joins_the_only_configuration() {
        let full = set(&[(Field::ModelRequested, "m"), (Field::ModelRevision, "r")]);
        let failed = set(&[(Field::ModelRequested, "m")]);
        assert_eq!(folded(&[(full.clone(), 5), (failed.clone(), 2)]), [(0, false), (0, false)]);
        assert_eq!(folded(&[(full, 4), (failed, 2)]), [(0, false), (1, false)], "too few calls");
    }

    #[test]
    fn between_two_configurations_it_stays_partial() {
        let old = set(&[(Field::ModelRequested, "m"), (Field::ModelRevision, "r1")]);
        let new = set(&[(Field::ModelRequested, "m"), (Field::ModelRevision, "r2")]);
        let failed = set(&[(Field::ModelRequested, "m")]);
        let at = |a, b| folded(&[(old.clone(), a), (new.clone(), b), (failed.clone(), 1)])[2];
        assert_eq!(at(50, 50), (2, true));
        assert_eq!(at(89, 11), (2, true));
        assert_eq!(at(90, 10), (0, false));
    }

    #[test]
    fn chains_end_at_the_maximal_set() {
        let a = set(&[(Field::ModelRequested, "m")]);
        let b = set(&[(Field::ModelRequested, "m"), (Field::ModelRevision, "r")]);
        let c = set(&[
            (Field::ModelRequested, "m"),
            (Field::ModelRevision, "r"),
            (Field::PromptHash, "h"),
        ]);
        let places = folded(&[(a, 50), (b, 50), (c, 50)]);
        assert_eq!(places, [(2, false), (2, false), (2, false)]);
    }
}
