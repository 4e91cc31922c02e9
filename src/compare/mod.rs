//! Two runs side by side: facets that differ, are missing on one side, or are equal; the
//! difference of each metric with its interval; and what that difference may be put down to.
//! "Missing" is a third state, never "equal", and nothing over time is called causal.

mod arms;
pub mod find;
mod metrics;
pub mod words;

use crate::judge::attribution::{AttributionView, Bounds, Effect, view as attribution_view};
use crate::model::record::{GraderLine, RunRecord};
use crate::model::view::View;
pub use arms::side_by_side;

use arms::Bench;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

/// The comparison of two runs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// Id of the first run.
    pub a: String,
    /// Id of the second.
    pub b: String,
    /// Whether their windows overlap, in one epoch when they are of one site; when not, the
    /// comparison is temporal.
    pub concurrent: bool,
    /// What the first run is.
    pub run_a: RunSide,
    /// What the second is.
    pub run_b: RunSide,
    /// What a difference may be put down to. Its `effects` are those of each metric.
    pub attribution: AttributionView,
    /// Facets that both have, with different values.
    pub differing: Vec<FacetDifference>,
    /// Facets that only one has: unknown on the other side.
    pub missing: Vec<FacetDifference>,
    /// Facets that are equal.
    pub equal: Vec<FacetDifference>,
    /// Levels side by side.
    pub metrics: Vec<MetricContrast>,
}

/// One of the two runs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RunSide {
    /// The experiment.
    pub experiment: String,
    /// The arm.
    pub arm: String,
    /// Whether the others are compared with this arm.
    pub control: bool,
    /// The call site.
    pub site: String,
    /// The epoch.
    pub epoch: u32,
    /// Calls.
    pub calls: i64,
    /// Distinct units.
    pub units: i64,
    /// End of its earliest call.
    pub first_seen: String,
    /// End of its latest call.
    pub last_seen: String,
}

/// One facet on both sides.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FacetDifference {
    /// Its path.
    pub facet: String,
    /// Its value in the first run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub a: Option<Json>,
    /// Its value in the second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b: Option<Json>,
}

/// One metric on both sides, by one grader.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct MetricContrast {
    /// Its name.
    pub name: String,
    /// UCUM unit.
    pub unit: String,
    /// Who judged, for scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grader: Option<GraderLine>,
    /// Level in the first run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub a: Option<f64>,
    /// Level in the second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b: Option<f64>,
    /// b − a.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<f64>,
    /// Its lower bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower: Option<f64>,
    /// Its upper bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upper: Option<f64>,
    /// Of the interval, at every look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Natural logarithm of the e-value against "no difference", now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_e: Option<f64>,
    /// How the interval was computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Why there is no interval, in the words of verdicts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmet: Vec<String>,
    /// Effects of what differs, for metrics that decide: the whole difference first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<Effect>,
    /// What a field's effect ranges over, by where the other fields stand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bounds: Vec<Bounds>,
}

/// Compares two runs of a view; its other runs serve to tell confounded fields apart.
pub fn compare(view: &View, a: &RunRecord, b: &RunRecord) -> Comparison {
    let (mut differing, mut missing, mut equal) = (Vec::new(), Vec::new(), Vec::new());
    let (left, right) = (facets(&a.config), facets(&b.config));
    let mut paths: Vec<&String> = left.keys().chain(right.keys()).collect();
    paths.sort();
    paths.dedup();
    for path in paths {
        let pair = (left.get(path).copied(), right.get(path).copied());
        let list = match pair {
            (Some(x), Some(y)) if x == y => &mut equal,
            (Some(_), Some(_)) => &mut differing,
            _ => &mut missing,
        };
        let (a, b) = (pair.0.cloned(), pair.1.cloned());
        list.push(FacetDifference { facet: path.clone(), a, b });
    }
    let bench = Bench::of(view, a, b);
    Comparison {
        a: a.run.id.clone(),
        b: b.run.id.clone(),
        concurrent: bench.situation.concurrent,
        run_a: side(a),
        run_b: side(b),
        attribution: attribution_view(&bench.plan, Vec::new()),
        differing,
        missing,
        equal,
        metrics: metrics::contrasts(&bench),
    }
}

/// The leaves of a config by path, such as `prompt.hash`.
pub fn facets(config: &Map<String, Json>) -> BTreeMap<String, &Json> {
    let mut out = BTreeMap::new();
    for (group, value) in config {
        match value {
            Json::Object(inner) => {
                out.extend(inner.iter().map(|(name, leaf)| (format!("{group}.{name}"), leaf)));
            }
            leaf => drop(out.insert(group.clone(), leaf)),
        }
    }
    out
}

fn side(record: &RunRecord) -> RunSide {
    let (run, window) = (&record.run, &record.window);
    RunSide {
        experiment: run.experiment.clone(),
        arm: run.arm.clone(),
        control: run.control,
        site: run.site.clone(),
        epoch: window.epoch,
        calls: record.traffic.calls,
        units: record.traffic.units,
        first_seen: window.first_seen.clone(),
        last_seen: window.last_seen.clone(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
