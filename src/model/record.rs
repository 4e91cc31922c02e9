//! The run record, `armspan/run-record/v1`: one JSON object per run. Absent means unknown.
//! Times are RFC 3339 UTC; hashes are `sha256:<hex>` or `hmac-sha256:<key id>:<hex>`.

use super::metric::{Direction, Domain, Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

/// Name and version of the document.
pub const SCHEMA: &str = "armspan/run-record/v1";

/// One run in one epoch: what was served, how good it was, what it cost.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RunRecord {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// Which run.
    pub run: RunHead,
    /// The canonical facets; `fingerprint` is the SHA-256 of their JCS form.
    pub config: Map<String, Json>,
    /// Recorded, but not part of the identity.
    pub observed: Vec<Observed>,
    /// Which required facets were present.
    pub evidence: Evidence,
    /// When.
    pub window: Window,
    /// How much.
    pub traffic: Traffic,
    /// Every metric with a level.
    pub metrics: Vec<MetricLine>,
    /// Whether units came in the planned shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_ratio: Option<SampleRatio>,
    /// What changed inside the arm.
    pub changes: Vec<Change>,
    /// Traces to look at.
    pub links: Vec<Link>,
    /// Offline runs: the cases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cases: Option<Cases>,
    /// Who says so.
    pub collector: Collector,
}

impl RunRecord {
    /// The log position that it rests on, over all partitions.
    pub fn position(&self) -> u64 {
        self.collector.position.values().sum()
    }
}

/// Which run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RunHead {
    /// 32 hex digits.
    pub id: String,
    /// The experiment.
    pub experiment: String,
    /// The arm.
    pub arm: String,
    /// Whether the others are compared with this arm.
    pub control: bool,
    /// The call site.
    pub site: String,
    /// `online` or `offline`.
    pub mode: String,
    /// `sha256:…` of the canonical facets.
    pub fingerprint: String,
    /// A facet set that is contained in several others and belongs to none for sure.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// The run that collects what is above the limit of live runs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overflow: bool,
}

/// A field that is recorded with its values.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Observed {
    /// Its name.
    pub field: String,
    /// The most frequent values.
    pub values: Vec<ObservedValue>,
    /// How many values more there are.
    pub more: u64,
}

/// One value of an observed field.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ObservedValue {
    /// Text, number, or an object of texts for `code`.
    pub value: Json,
    /// Calls with it.
    pub calls: i64,
    /// End of the earliest call with it.
    pub first_seen: String,
    /// End of the latest.
    pub last_seen: String,
}

/// Which required facets were present, on what share of calls.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// A (all on ≥ 99 % of calls) to D.
    pub grade: String,
    /// Calls looked at.
    pub calls: i64,
    /// Each required facet.
    pub facets: Vec<FacetEvidence>,
}

/// One required facet.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FacetEvidence {
    /// Its path.
    pub facet: String,
    /// Calls that have it.
    pub present: i64,
    /// Their share.
    pub share: f64,
    /// The services to blame.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_from: Vec<Missing>,
}

/// A service that leaves a facet out.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Missing {
    /// `service.name`.
    pub service: String,
    /// Its calls without the facet.
    pub calls: i64,
}

/// When a run was seen.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Window {
    /// End of its earliest call.
    pub first_seen: String,
    /// End of its latest.
    pub last_seen: String,
    /// The epoch.
    pub epoch: u32,
    /// The epoch is over: another one of the site has begun.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
}

/// How much a run served.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Traffic {
    /// Calls.
    pub calls: i64,
    /// Distinct units.
    pub units: i64,
    /// What was randomised.
    pub unit: String,
    /// Repeats that were not counted.
    pub duplicates: i64,
    /// Later than the horizon: kept in the log, not counted.
    pub late: i64,
    /// Units of the arm that were seen in another arm too.
    pub crossover_units: i64,
}

/// One metric of a run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MetricLine {
    /// Its name.
    pub name: String,
    /// Quality, guardrail or info.
    pub role: Role,
    /// Which way is better.
    pub direction: Direction,
    /// UCUM unit.
    pub unit: String,
    /// Hash of its definition.
    pub definition: String,
    /// By how much it may be worse than control, in its unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    /// The same as a share of control's level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin_share: Option<f64>,
    /// The level that it must not be beyond, whatever control's is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<f64>,
    /// Who judged, for scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grader: Option<GraderLine>,
    /// Calls of its population.
    pub calls: i64,
    /// Calls with a score, for scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scored: Option<i64>,
    /// Distinct units among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<i64>,
    /// Its level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// Its difference from control.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
    /// What that means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// What contrasts of runs are computed from; not part of the document.
    #[serde(skip)]
    pub spread: Option<Spread>,
}

/// The spread of a level.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Spread {
    /// Variance of the level, in the metric's unit squared.
    pub variance: f64,
    /// Buckets of units that it was estimated from.
    pub clusters: usize,
    /// Largest share of one bucket in the squared residuals.
    pub huge: f64,
    /// Values.
    pub n: i64,
    /// Effective sample size.
    pub n_eff: f64,
    /// Which values there can be.
    pub domain: Domain,
    /// Distinct units.
    pub units: f64,
    /// What a claim on the metric may cost.
    pub alpha: f64,
    /// Prior scale of the effect, when it is declared.
    pub tau: Option<f64>,
}

/// Who judged.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct GraderLine {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// A level; with bounds and their confidence when an interval is known.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Level {
    /// Point estimate, in the metric's unit.
    pub estimate: f64,
    /// Lower bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower: Option<f64>,
    /// Upper bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upper: Option<f64>,
    /// Of the interval, at every look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// How it was computed.
    pub method: String,
}

/// A difference from control.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// The control arm.
    pub from: String,
    /// Point estimate.
    pub estimate: f64,
    /// Lower bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower: Option<f64>,
    /// Upper bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upper: Option<f64>,
    /// Of the interval, at every look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Natural logarithm of the e-value against "no difference", now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_e: Option<f64>,
    /// Anytime-valid p-value: one over the largest e-value of all looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p: Option<f64>,
    /// How it was computed.
    pub method: String,
}

/// The state of `design.md`'s table, with reasons.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// `invalid`, `insufficient`, `breached`, `regressed`, `healthy`, `better` or `inconclusive`.
    pub state: String,
    /// Why, in words that stay; the deciding one first.
    pub reasons: Vec<String>,
    /// The same for people.
    #[serde(default)]
    pub sentence: String,
    /// Exploration found something; it never decides.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub discovery: bool,
    /// The metric is in the family of the experiment, at a site that decides.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub decides: bool,
    /// The look since which the state holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// When and on what it was breached; counts until the experiment is ramped or concluded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breach: Option<Breach>,
}

/// A guardrail that was breached.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Breach {
    /// In which epoch.
    pub epoch: u32,
    /// At which look.
    pub at: String,
    /// The margin or the ceiling.
    pub reason: String,
    /// The difference then.
    pub estimate: f64,
    /// Its lower bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower: Option<f64>,
    /// Its upper bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upper: Option<f64>,
}

/// Whether units came in the planned shares.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SampleRatio {
    /// `ok`, `mismatch` or `unknown`.
    pub state: String,
    /// Natural logarithm of the e-value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_e: Option<f64>,
    /// Anytime-valid p-value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p: Option<f64>,
    /// Planned shares.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub expected: BTreeMap<String, f64>,
    /// Units by arm of first exposure.
    pub units: BTreeMap<String, i64>,
}

/// Something changed inside an arm.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// When the new value was first seen.
    pub at: String,
    /// Where.
    pub arm: String,
    /// Path of the field, or `epoch`.
    pub field: String,
    /// What it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Json>,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Json>,
}

/// A trace to look at.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    /// `worst`, `breaching` or `random`.
    pub rel: String,
    /// What makes it so: `slowest: 4.20 s`, `lowest answer_ok: 0`, `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The trace.
    pub trace_id: String,
    /// The call.
    pub span_id: String,
    /// Where to open it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub href: Option<String>,
}

/// The cases of an offline run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Cases {
    /// How many.
    pub count: u64,
    /// SHA-256 over the sorted input hashes.
    pub inputs: String,
    /// Version of the expected answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_version: Option<String>,
}

/// Who says so, and as of where in the log.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Collector {
    /// Version of armspan.
    pub version: String,
    /// Hash of the effective settings.
    pub config: String,
    /// Log position by partition.
    pub position: BTreeMap<String, u64>,
    /// Log time of the cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exported_at: Option<String>,
}

// === impl MetricLine ===

impl MetricLine {
    /// Whether the metric is in the family of the experiment, at a site that decides.
    pub fn decides(&self) -> bool {
        self.verdict.as_ref().is_some_and(|verdict| verdict.decides)
    }

    /// The difference at which it is beyond its margin, with its sign; for a margin that is a
    /// share, of control's level.
    pub fn margin_at(&self, control: Option<f64>) -> Option<f64> {
        let share = || Some(self.margin_share? * control?.abs());
        let size = self.margin.or_else(share)?;
        match self.direction {
            Direction::Decrease => Some(size),
            Direction::Increase => Some(-size),
            Direction::Unknown => None,
        }
    }
}
