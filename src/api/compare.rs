//! Two runs side by side: facets that differ, are missing on one side, or are equal, and the
//! difference of levels. "Missing" is a third state, never "equal".

use crate::model::record::{MetricLine, RunRecord};
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
    /// Whether their windows overlap; when not, the comparison is temporal.
    pub concurrent: bool,
    /// Facets that both have, with different values.
    pub differing: Vec<FacetDifference>,
    /// Facets that only one has: unknown on the other side.
    pub missing: Vec<FacetDifference>,
    /// Facets that are equal.
    pub equal: Vec<FacetDifference>,
    /// Levels side by side.
    pub metrics: Vec<MetricContrast>,
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

/// One metric on both sides.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MetricContrast {
    /// Its name.
    pub name: String,
    /// UCUM unit.
    pub unit: String,
    /// Level in the first run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub a: Option<f64>,
    /// Level in the second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b: Option<f64>,
    /// b − a.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<f64>,
}

/// Compares two runs.
pub fn compare(a: &RunRecord, b: &RunRecord) -> Comparison {
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
    Comparison {
        a: a.run.id.clone(),
        b: b.run.id.clone(),
        concurrent: overlap(a, b),
        differing,
        missing,
        equal,
        metrics: contrasts(a, b),
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

fn overlap(a: &RunRecord, b: &RunRecord) -> bool {
    let instant = |text: &str| text.parse::<jiff::Timestamp>().ok();
    let window = |r: &RunRecord| instant(&r.window.first_seen).zip(instant(&r.window.last_seen));
    window(a).zip(window(b)).is_some_and(|(a, b)| a.0 <= b.1 && b.0 <= a.1)
}

fn contrasts(a: &RunRecord, b: &RunRecord) -> Vec<MetricContrast> {
    let same = |x: &MetricLine, y: &MetricLine| x.name == y.name && x.grader == y.grader;
    let level = |line: &MetricLine| line.level.as_ref().map(|level| level.estimate);
    let both = a.metrics.iter().map(|x| (Some(x), b.metrics.iter().find(|y| same(x, y))));
    let lone = b.metrics.iter().filter(|y| !a.metrics.iter().any(|x| same(x, y)));
    let pairs = both.chain(lone.map(|y| (None, Some(y))));
    pairs
        .filter_map(|(x, y)| {
            let (left, right) = (x.and_then(level), y.and_then(level));
            let line = x.or(y)?;
            let difference = left.zip(right).map(|(left, right)| right - left);
            let (name, unit) = (line.name.clone(), line.unit.clone());
            Some(MetricContrast { name, unit, a: left, b: right, difference })
        })
        .collect()
}
