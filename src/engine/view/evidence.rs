//! Evidence of a run: which required facets its calls had, and which service left them out.

use super::super::Engine;
use super::super::tally::run::Run;
use crate::identify::{grade, is_present, required, tells_failures};
use crate::model::record::{Evidence, FacetEvidence, Missing};
use crate::model::{FacetSet, Field, UnitKind};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Services to blame that are named.
const SERVICES_MAX: usize = 8;

/// The evidence of a run.
pub fn evidence(engine: &Engine, run: &Run) -> Evidence {
    let sets: Vec<(Arc<FacetSet>, i64)> = run
        .full
        .iter()
        .filter(|pair| pair.1.calls > 0)
        .map(|(id, seen)| (engine.dictionary().set(*id), seen.calls))
        .collect();
    let calls: i64 = sets.iter().map(|pair| pair.1).sum();
    let mut facets: Vec<FacetEvidence> = required(sets.iter().map(|pair| &*pair.0))
        .map(|field| facet(field, &sets, calls))
        .collect();
    facets.push(unit(run));
    facets.extend(outcome(&sets, calls));
    let grade = grade(facets.iter().map(|facet| facet.share)).to_string();
    Evidence { grade, calls, facets }
}

fn facet(field: Field, sets: &[(Arc<FacetSet>, i64)], calls: i64) -> FacetEvidence {
    let mut missing: BTreeMap<&str, i64> = BTreeMap::new();
    let mut present = 0;
    for (set, n) in sets {
        if is_present(set, field) {
            present += n;
        } else {
            *missing.entry(set.text(Field::CodeService).unwrap_or("unknown")).or_default() += n;
        }
    }
    let mut missing_from: Vec<Missing> = missing
        .into_iter()
        .map(|(service, calls)| Missing { service: service.to_owned(), calls })
        .collect();
    missing_from.sort_by_key(|m| (-m.calls, m.service.clone()));
    missing_from.truncate(SERVICES_MAX);
    let share = share(present, calls);
    FacetEvidence { facet: field.path().to_owned(), present, share, missing_from }
}

/// Calls whose emitter would have told a failure; only where some would not.
fn outcome(sets: &[(Arc<FacetSet>, i64)], calls: i64) -> Option<FacetEvidence> {
    let silent = || sets.iter().filter(|pair| !tells_failures(&pair.0));
    let present = calls - silent().map(|pair| pair.1).sum::<i64>();
    let missing = silent().map(|(set, n)| Missing {
        service: set.text(Field::CodeService).unwrap_or("unknown").to_owned(),
        calls: *n,
    });
    let missing_from: Vec<Missing> = missing.take(SERVICES_MAX).collect();
    let share = share(present, calls);
    (present < calls).then(|| FacetEvidence {
        facet: "failures".into(),
        present,
        share,
        missing_from,
    })
}

/// Calls whose unit of randomisation is known.
fn unit(run: &Run) -> FacetEvidence {
    let all: i64 = run.kinds.values().sum();
    let unknown = run.kinds.get(&UnitKind::Trace).copied().unwrap_or(0);
    let present = all - unknown;
    let share = share(present, all);
    FacetEvidence { facet: "unit".into(), present, share, missing_from: Vec::new() }
}

/// A share with four decimals: documents are compared byte by byte.
fn share(part: i64, whole: i64) -> f64 {
    if whole == 0 {
        return 1.0;
    }
    (part as f64 / whole as f64 * 1e4).round() / 1e4
}
