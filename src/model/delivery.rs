//! What leaves: cuts (run records with the figures of the same position) and events. Both are
//! functions of the log, so the same log gives the same items under the same keys, and a sink
//! that gets one again can tell.

use super::id::Nanos;
use super::record::{Change, MetricLine, RunRecord};
use super::view::{ArmDecision, ExperimentView};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Nanoseconds of an hour: run records are due each hour of log time.
pub const HOUR: Nanos = 3_600_000_000_000;

/// Place of an item in the outbox; later items are greater.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct ItemKey {
    /// Log position of the entry that led to it.
    pub position: u64,
    /// Its number among the items of that entry; a cut comes after the events.
    pub ordinal: u32,
}

/// Something to deliver.
#[derive(Clone, PartialEq, Debug)]
pub struct Item {
    /// Where it is in the outbox.
    pub key: ItemKey,
    /// What it is.
    pub body: Body,
}

/// What an item is.
#[derive(Clone, PartialEq, Debug)]
pub enum Body {
    /// Run records that are new or changed, with all figures of the position.
    Cut(Box<Cut>),
    /// A verdict or a configuration changed.
    Event(Box<Event>),
}

/// The kinds of items.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ItemKind {
    /// [`Body::Cut`].
    Cut,
    /// [`Body::Event`].
    Event,
}

/// Why there is a cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// An hour of log time is over.
    Hour,
    /// An epoch of a site is over.
    Epoch,
    /// The server drains, or someone asked for it.
    Drain,
}

/// Everything that is due at one position of the log.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Cut {
    /// The next position of the log: what comes from there on is not part of it.
    pub position: u64,
    /// Log time, nanoseconds; each record has it as `collector.exported_at`.
    pub at: Nanos,
    /// Why it was made.
    pub why: Why,
    /// Records that are new or changed since the cut before, the newest epoch first.
    pub records: Vec<RunRecord>,
    /// Every experiment as it was.
    pub experiments: Vec<ExperimentView>,
    /// Minutes of event time of the hour that it shows; of a minute in several cuts the later
    /// row is the better one.
    pub windows: Vec<WindowRow>,
}

/// One minute of a metric of a run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct WindowRow {
    /// Where the minute begins, RFC 3339.
    pub at: String,
    /// The experiment.
    pub experiment: String,
    /// The call site.
    pub site: String,
    /// The arm.
    pub arm: String,
    /// Id of the run.
    pub run: String,
    /// The epoch.
    pub epoch: u32,
    /// The metric.
    pub metric: String,
    /// Calls of the metric's population.
    pub n: f64,
    /// Mean, rate or quantile, in the metric's unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<f64>,
}

/// A verdict that changed at a look, or a configuration that changed inside an arm.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Always [`EVENT_SCHEMA`].
    pub schema: String,
    /// 32 hex digits; the same event has the same id wherever the log is folded.
    pub id: String,
    /// What changed.
    pub kind: EventKind,
    /// The look, or when the new value was first seen, RFC 3339.
    pub at: String,
    /// The experiment.
    pub experiment: String,
    /// The call site.
    pub site: String,
    /// Its epoch.
    pub epoch: u32,
    /// The arm; absent for what concerns all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arm: Option<String>,
    /// What the arm is compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<String>,
    /// Verdicts: the metric with its level, difference and verdict at the look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<MetricLine>,
    /// Verdicts: the state before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<String>,
    /// Verdicts: what the family now says to do with the arm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<ArmDecision>,
    /// Changes: what it was and what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
}

/// Name and version of the event document.
pub const EVENT_SCHEMA: &str = "armspan/event/v1";

/// What an event is about.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The state of a verdict that decides.
    Verdict,
    /// A configuration, an observed value, an epoch, or the course of a metric.
    #[default]
    Change,
}

impl Body {
    /// Which kind it is.
    pub fn kind(&self) -> ItemKind {
        match self {
            Body::Cut(_) => ItemKind::Cut,
            Body::Event(_) => ItemKind::Event,
        }
    }
}

impl Cut {
    /// The hour whose figures it shows, in hours since the Unix epoch: the one that has just
    /// closed, or for other cuts the one that is open. It is the step of histories.
    pub fn hour(&self) -> u64 {
        hour_of(self.at, self.why == Why::Hour)
    }
}

/// The hour of a time; of the closed one when the time is its end.
pub fn hour_of(at: Nanos, closed: bool) -> u64 {
    (at / HOUR).saturating_sub(u64::from(closed))
}

impl EventKind {
    /// Its name in documents.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::Verdict => "verdict",
            EventKind::Change => "change",
        }
    }
}

/// How far a sink has come, as it is kept beside the items.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Progress {
    /// The last item that is done.
    pub done: Option<ItemKey>,
    /// Items delivered.
    pub delivered: u64,
    /// Items that the tool refused for ever.
    pub refused: u64,
    /// Why the last one was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// When the last one was delivered: wall clock, nanoseconds.
    pub delivered_at: Nanos,
}

/// A sink as `/status` shows it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct SinkStatus {
    /// Kind and target.
    pub name: String,
    /// `idle`, `delivering`, `retrying` or `stopped`.
    pub state: String,
    /// Items that wait for it.
    pub waiting: u64,
    /// Items delivered, since it was first connected.
    pub delivered: u64,
    /// Items that the tool refused for ever.
    pub refused: u64,
    /// Attempts that failed, since the process began.
    pub failures: u64,
    /// When the last item was delivered, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success: Option<String>,
    /// What went wrong last; absent after a success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Why the tool refused an item, the last time it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_refusal: Option<String>,
}
