//! Observed values (commit, version, system fingerprint) that change inside an arm: they do not
//! split runs, but a new value is an event on the time line.

use super::{ChangeEvent, Scene, SiteWatch};
use crate::model::{Field, Nanos, Sym};
use std::collections::BTreeMap;

/// Calls after which a new value counts as seen.
const CALLS_MIN: i64 = 5;
/// Values that are told apart per field and arm.
const VALUES_MAX: usize = 64;
/// The fields that are followed.
const FOLLOWED: [Field; 3] = [Field::CodeCommit, Field::CodeVersion, Field::SystemFingerprint];

/// Notes values that are new since the last look.
pub fn note_observed(watch: &mut SiteWatch, experiment: Sym, site: Sym, scene: &Scene<'_>) {
    for (arm, fields) in values(experiment, site, scene) {
        for (field, values) in fields {
            let mut fresh: Vec<(Nanos, String)> =
                values.into_iter().filter(|v| v.1.1 >= CALLS_MIN).map(|(v, s)| (s.0, v)).collect();
            fresh.sort();
            for (at, value) in fresh {
                note(watch, arm, field, at, value);
            }
        }
    }
}

fn note(watch: &mut SiteWatch, arm: Sym, field: Field, at: Nanos, value: String) {
    let known = watch.arms.entry(arm).or_default().observed.entry(field).or_default();
    if known.contains(&value) || known.len() >= VALUES_MAX {
        return;
    }
    let from = known.last().cloned();
    known.push(value.clone());
    if from.is_some() {
        let field = field.path().to_owned();
        watch.push(ChangeEvent { at, arm, field, from, to: Some(value) });
    }
}

/// First end and calls, by value.
type Values = BTreeMap<String, (Nanos, i64)>;

fn values(experiment: Sym, site: Sym, scene: &Scene<'_>) -> BTreeMap<Sym, BTreeMap<Field, Values>> {
    let mut out: BTreeMap<Sym, BTreeMap<Field, Values>> = BTreeMap::new();
    for (key, run) in scene.tally.runs_of(experiment).filter(|pair| pair.0.site == site) {
        for (set, seen) in &run.full {
            let facets = scene.dictionary.set(*set);
            for field in FOLLOWED {
                let Some(value) = facets.get(field) else { continue };
                let by_value = out.entry(key.arm).or_default().entry(field).or_default();
                let sum = by_value.entry(value.display()).or_insert((seen.first, 0));
                *sum = (sum.0.min(seen.first), sum.1 + seen.calls);
            }
        }
    }
    out
}
