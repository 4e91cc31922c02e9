//! Observed fields of a run: values that do not split it, with calls, first and last seen.

use super::super::Engine;
use super::super::tally::run::{Run, Seen};
use super::time_text;
use crate::model::canonical::{jcs, value_json};
use crate::model::facet::Use;
use crate::model::record::{Observed, ObservedValue};
use crate::model::{FacetSet, Field, Sym};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;

/// Values listed per field.
const VALUES_MAX: usize = 16;

/// Values by their canonical text.
type Values = BTreeMap<String, (Json, Seen)>;

/// Observed fields of a run in an experiment, in the order of fields.
pub fn observed(engine: &Engine, experiment: Sym, run: &Run) -> Vec<Observed> {
    let identity = engine.context().identity(experiment);
    let listed = |field: &Field| field.purpose() != Use::Context && !identity.identifies(*field);
    let mut groups: Vec<&str> = Field::all().filter(listed).map(Field::group).collect();
    groups.dedup();
    let mut out = Vec::new();
    for group in groups {
        let values = match group {
            "seed" => seeds(run),
            _ => values(engine, run, group, &listed),
        };
        let more = if group == "seed" { run.more.max(0) as u64 } else { 0 };
        if !values.is_empty() {
            out.push(observed_field(group, values, more));
        }
    }
    out
}

fn observed_field(group: &str, values: Values, more: u64) -> Observed {
    let mut values: Vec<(String, (Json, Seen))> = values.into_iter().collect();
    values.sort_by(|a, b| (b.1.1.calls, &a.0).cmp(&(a.1.1.calls, &b.0)));
    let more = more + values.len().saturating_sub(VALUES_MAX) as u64;
    let values = values.into_iter().take(VALUES_MAX).map(|(_, (value, seen))| ObservedValue {
        value,
        calls: seen.calls,
        first_seen: time_text(seen.first),
        last_seen: time_text(seen.last),
    });
    Observed { field: group.to_owned(), values: values.collect(), more }
}

fn seeds(run: &Run) -> Values {
    let seen = run.seeds.iter().filter(|pair| pair.1.calls > 0);
    seen.map(|(seed, seen)| (format!("{seed:020}"), (json!(seed), seen.clone()))).collect()
}

fn values(engine: &Engine, run: &Run, group: &str, listed: &impl Fn(&Field) -> bool) -> Values {
    let mut out = Values::new();
    for (id, seen) in run.full.iter().filter(|pair| pair.1.calls > 0) {
        let set = engine.dictionary().set(*id);
        let Some(value) = group_value(&set, group, listed) else { continue };
        let known = out.entry(jcs(&value)).or_insert_with(|| (value, Seen::default()));
        let fresh = known.1.calls == 0;
        known.1.calls += seen.calls;
        known.1.first = if fresh { seen.first } else { known.1.first.min(seen.first) };
        known.1.last = known.1.last.max(seen.last);
    }
    out
}

/// The value of a field of its own, or an object of the fields of a group.
fn group_value(set: &FacetSet, group: &str, listed: &impl Fn(&Field) -> bool) -> Option<Json> {
    let fields = set.iter().filter(|(field, _)| field.group() == group && listed(field));
    let mut object = Map::new();
    for (field, value) in fields {
        match field.path().split_once('.') {
            None => return Some(value_json(value)),
            Some((_, name)) => drop(object.insert(name.to_owned(), value_json(value))),
        }
    }
    (!object.is_empty()).then_some(Json::Object(object))
}
