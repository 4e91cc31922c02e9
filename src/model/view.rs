//! What `watch` publishes and everything outside reads: plain data, ready to serialise.

use super::id::Nanos;
use super::record::{Change, MetricLine, RunRecord, SampleRatio};
use super::verdict::Gate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Name and version of the experiment document.
pub const EXPERIMENT_SCHEMA: &str = "armspan/experiment/v1";

/// Everything there is to see at one position of the log.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct View {
    /// Next position of the log.
    pub position: u64,
    /// Log time, nanoseconds.
    pub log_time: u64,
    /// Hash of the settings.
    pub config: String,
    /// Experiments by name.
    pub experiments: Vec<ExperimentView>,
    /// Records of the runs of every live epoch, newest epoch first.
    pub runs: Vec<RunRecord>,
    /// Histories of what decides, for charts.
    #[serde(default)]
    pub bands: Vec<Band>,
    /// How calls are distributed, by arm.
    #[serde(default)]
    pub distributions: Vec<Distribution>,
    /// Counts of the engine.
    pub counts: Counts,
}

/// How the calls of an arm at a site are distributed over one quantity, all epochs: a base-2
/// exponential histogram.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Distribution {
    /// The experiment.
    pub experiment: String,
    /// The call site.
    pub site: String,
    /// The arm.
    pub arm: String,
    /// `latency`, `time_to_first_token`, `tokens_in`, `tokens_out` or `cost`.
    pub quantity: String,
    /// UCUM unit of all values here.
    pub unit: String,
    /// End of the earliest call, nanoseconds.
    pub since: u64,
    /// What the engine counts, such as microseconds, in one unit: its buckets are exact in it,
    /// and given in the unit to the nearest bucket.
    pub per_unit: f64,
    /// Calls with the quantity.
    pub count: i64,
    /// Sum of their values.
    pub sum: f64,
    /// Calls with the value 0.
    pub zeros: i64,
    /// Scale of the buckets: bucket i holds the values in (base^i, base^(i+1)] of `unit`, with
    /// base = 2^(2^-scale).
    pub scale: i32,
    /// Buckets that are not empty, in order, with their counts.
    pub buckets: Vec<(i32, i64)>,
    /// Calls to look at.
    pub exemplars: Vec<Exemplar>,
}

/// A call to look at.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Exemplar {
    /// Its end, nanoseconds.
    pub at: u64,
    /// Its value.
    pub value: f64,
    /// Its trace.
    pub trace_id: String,
    /// Its span.
    pub span_id: String,
}

/// The history of one deciding metric of an arm in its current epoch.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Band {
    /// The experiment.
    pub experiment: String,
    /// The call site.
    pub site: String,
    /// The arm.
    pub arm: String,
    /// What it is compared with.
    pub control: String,
    /// The metric.
    pub metric: String,
    /// Its UCUM unit.
    pub unit: String,
    /// The state of its verdict.
    pub state: String,
    /// The difference at which it is beyond its margin; a relative one at control's present level.
    pub margin: Option<f64>,
    /// Looks, oldest first.
    pub points: Vec<BandPoint>,
}

/// One look.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct BandPoint {
    /// Nanoseconds since the Unix epoch.
    pub at: u64,
    /// Difference from control.
    pub estimate: f64,
    /// Its lower bound.
    pub lower: Option<f64>,
    /// Its upper bound.
    pub upper: Option<f64>,
}

/// What the engine counted. All but the gauges only grow, within one position of the log.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Observations applied, by kind.
    pub observations: BTreeMap<String, u64>,
    /// Calls counted, whatever their arm (gauge).
    pub calls: u64,
    /// Of these, with an arm of some experiment (gauge).
    pub with_arm: u64,
    /// Of these, with a score (gauge).
    pub with_score: u64,
    /// Calls without an arm (gauge).
    pub unassigned: u64,
    /// Calls that wait for their arm, unit or prompt (gauge).
    pub parked: u64,
    /// Scores that found no call yet (gauge).
    pub waiting_scores: u64,
    /// Scores given up, by reason.
    pub orphaned: BTreeMap<String, u64>,
    /// Repeats that were not counted.
    pub duplicates: u64,
    /// Repeats of an id with other content.
    pub conflicts: u64,
    /// Later than the horizon, or than what fits: in the log, not counted.
    pub late: u64,
    /// Candidates refused as wrappers or repeats, by emitter (gauge).
    pub wrappers: BTreeMap<String, u64>,
    /// Calls of judges (gauge).
    pub judge_calls: u64,
    /// Traces excluded for two arms of one experiment (gauge).
    pub conflicting_traces: u64,
    /// Limits that were hit, by name.
    pub limits: BTreeMap<String, u64>,
    /// Bytes of state, by part; `sealed` is on disk, the rest in memory (gauge).
    pub bytes: BTreeMap<String, u64>,
    /// How far back data is still counted right, in seconds of log time: the horizon, or less
    /// while `limits.horizon_bytes_max` is reached (gauge).
    #[serde(default)]
    pub horizon_s: u64,
}

/// One experiment: arms × sites × metrics.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExperimentView {
    /// Always [`EXPERIMENT_SCHEMA`].
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Whether the config names it.
    pub configured: bool,
    /// Whether the config names the metrics that decide; without, a gate has nothing to judge.
    #[serde(default)]
    pub declared: bool,
    /// The control arm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<String>,
    /// The control was not configured.
    pub control_assumed: bool,
    /// `live` or `quiet` (nothing for an hour).
    pub state: String,
    /// What was randomised.
    pub unit: String,
    /// Of all its claims together, at every look: 1 − α of its family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Calls over all arms and sites.
    pub calls: i64,
    /// End of the latest call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<String>,
    /// Arm names, control first.
    pub arms: Vec<String>,
    /// Call sites, the busiest first.
    pub sites: Vec<SiteView>,
    /// Whether units came in the planned shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_ratio: Option<SampleRatio>,
    /// Units seen in two arms.
    pub crossover_units: i64,
    /// Traces excluded for two arms.
    pub conflicting_traces: i64,
    /// Facets that no longer split runs, by path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub demoted: Vec<String>,
}

/// One call site of an experiment, in its current epoch.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SiteView {
    /// Its name.
    pub site: String,
    /// The current epoch.
    pub epoch: u32,
    /// When it began; absent for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch_began: Option<String>,
    /// Calls in this epoch.
    pub calls: i64,
    /// Whether its metrics decide.
    #[serde(default)]
    pub decides: bool,
    /// Arms, control first.
    pub arms: Vec<ArmView>,
    /// The same over all epochs; labelled `mixed` when there are several.
    pub all_epochs: Vec<ArmView>,
    /// What changed, oldest first.
    pub changes: Vec<Change>,
}

/// One arm at one site.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ArmView {
    /// Its name.
    pub arm: String,
    /// Whether the others are compared with it.
    pub control: bool,
    /// Figures over several epochs: no verdict.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mixed: bool,
    /// Calls.
    pub calls: i64,
    /// Distinct units.
    pub units: i64,
    /// Share of the experiment's units by first exposure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Planned share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned: Option<f64>,
    /// Ids of its runs, the busiest first.
    pub runs: Vec<String>,
    /// Model revision of the busiest run, else the requested model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Evidence grade of the weakest run with ≥ 5 % of its calls.
    pub evidence: String,
    /// Its metrics.
    pub metrics: Vec<MetricLine>,
    /// What the family of the experiment says to do with it; none for control.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<ArmDecision>,
}

// === impl ArmView ===

impl ArmView {
    /// The line of a metric: the one that decides, when several graders judged it.
    pub fn line(&self, metric: &str) -> Option<&MetricLine> {
        let own = || self.metrics.iter().filter(|line| line.name == metric);
        own().find(|line| line.decides()).or_else(|| own().next())
    }
}

/// What to do with an arm.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ArmDecision {
    /// `ship`, `roll back` or `wait`.
    pub action: String,
    /// The metrics that say so.
    pub because: Vec<String>,
    /// What a gate answers: `pass`, `inconclusive`, `invalid` or `fail`.
    pub gate: Gate,
}

/// A difference from control as it was at a look: the band of a chart.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LookPoint {
    /// The look, RFC 3339.
    pub at: String,
    /// The arm.
    pub arm: String,
    /// The call site.
    pub site: String,
    /// The epoch.
    pub epoch: u32,
    /// Point estimate.
    pub estimate: f64,
    /// Lower bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower: Option<f64>,
    /// Upper bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upper: Option<f64>,
}

/// What a chart draws.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Series {
    /// By minute, hour or day.
    pub windows: Vec<SeriesPoint>,
    /// Differences from control at looks.
    pub looks: Vec<LookPoint>,
}

/// A stretch of a chart: minutes, hours or days of event time.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SeriesPoint {
    /// Where it begins, RFC 3339.
    pub at: String,
    /// The arm.
    pub arm: String,
    /// Its denominators: calls of the population.
    pub n: f64,
    /// Mean or quantile in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<f64>,
}

/// Which windows a chart wants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SeriesQuery {
    /// The experiment.
    pub experiment: String,
    /// The call site; all when absent.
    pub site: Option<String>,
    /// The metric.
    pub metric: String,
    /// The arm; all when absent.
    pub arm: Option<String>,
    /// From this time on, nanoseconds.
    pub from: Nanos,
    /// Up to, without this time, nanoseconds.
    pub to: Nanos,
    /// Length of a window: whole minutes, nanoseconds; 0 is one window for the whole stretch.
    pub step: Nanos,
}

/// Answers a chart's query from the engine's windows.
pub type AskSeries = Arc<dyn Fn(&SeriesQuery) -> Series + Send + Sync>;
