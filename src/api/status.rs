//! The status document: what came in, what became of it, what is full.

use crate::model::delivery::SinkStatus;
use crate::model::id::rfc3339;
use crate::model::meter::{Meter, SIGNALS};
use crate::model::reject::Reject;
use crate::model::view::{Counts, View};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;

/// What is received, waiting and rejected.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// Version of armspan.
    pub version: String,
    /// The engine has caught up with the log and the doors are open.
    pub ready: bool,
    /// Next position of the log that the view rests on.
    pub position: u64,
    /// Log time, RFC 3339.
    pub log_time: String,
    /// Hash of the settings.
    pub config: String,
    /// Since the process began.
    pub received: Received,
    /// Refused spans, records and scores by reason, since the process began.
    pub rejected: BTreeMap<String, Refusal>,
    /// What waits between the doors and the engine.
    pub queue: Queue,
    /// What the engine counted.
    pub engine: Counts,
    /// Requests that went on to another receiver, by signal, since the process began.
    #[serde(default)]
    pub forwarded: BTreeMap<String, Forwarded>,
    /// Where records and events go, by name.
    #[serde(default)]
    pub sinks: Vec<SinkStatus>,
}

/// What came in since the process began.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Received {
    /// Spans, accepted or not.
    pub spans: u64,
    /// Log records.
    pub log_records: u64,
    /// Metric data points, which are not used.
    pub metric_points: u64,
    /// Spans and records that were calls.
    pub calls: u64,
    /// Assignments found.
    pub assignments: u64,
    /// Scores found.
    pub scores: u64,
    /// Attribute values that could not be coerced.
    pub bad_values: u64,
    /// Flag evaluations that named no variant: switch it on in the flag SDK's hook.
    pub flags_without_variant: u64,
    /// Requests answered with success.
    pub requests_ok: u64,
    /// Requests refused as malformed or too large.
    pub requests_bad: u64,
    /// Requests refused for now.
    pub requests_refused: u64,
}

/// What became of requests that were sent on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Forwarded {
    /// Downstream has them.
    pub ok: u64,
    /// Not taken for now: clients send them again.
    pub later: u64,
    /// Refused by downstream for good.
    pub refused: u64,
}

/// How often one reason was met, and what to do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    /// How often.
    pub count: u64,
    /// What was wrong and what to do.
    pub advice: String,
}

/// What waits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Queue {
    /// Next position of the log.
    pub log_position: u64,
    /// Bytes that wait to be written or applied.
    pub bytes: u64,
    /// Bytes of requests between admission and acknowledgement.
    pub in_flight_bytes: u64,
}

/// The status as of now. `depth` is the log's next position and the bytes that wait.
pub fn status(view: &View, meter: &Meter, depth: (u64, u64)) -> Status {
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ready: meter.takes(),
        position: view.position,
        log_time: rfc3339(view.log_time),
        config: view.config.clone(),
        received: received(meter),
        rejected: rejected(meter),
        queue: Queue {
            log_position: depth.0,
            bytes: depth.1,
            in_flight_bytes: meter.in_flight_bytes.load(Relaxed),
        },
        engine: view.counts.clone(),
        forwarded: forwarded(meter),
        sinks: sinks(meter),
    }
}

fn sinks(meter: &Meter) -> Vec<SinkStatus> {
    meter.sinks.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
}

fn forwarded(meter: &Meter) -> BTreeMap<String, Forwarded> {
    let counted = SIGNALS.into_iter().zip(&meter.forwarded).map(|(signal, counters)| {
        let [ok, later, refused] = counters.each_ref().map(|counter| counter.load(Relaxed));
        (signal.to_owned(), Forwarded { ok, later, refused })
    });
    counted.filter(|(_, counts)| counts.ok + counts.later + counts.refused > 0).collect()
}

fn received(meter: &Meter) -> Received {
    Received {
        spans: meter.spans.load(Relaxed),
        log_records: meter.log_records.load(Relaxed),
        metric_points: meter.metric_points.load(Relaxed),
        calls: meter.calls.load(Relaxed),
        assignments: meter.assignments.load(Relaxed),
        scores: meter.scores.load(Relaxed),
        bad_values: meter.bad_values.load(Relaxed),
        flags_without_variant: meter.flags_without_variant.load(Relaxed),
        requests_ok: meter.requests_ok.load(Relaxed),
        requests_bad: meter.requests_bad.load(Relaxed),
        requests_refused: meter.requests_refused.load(Relaxed)
            + meter.requests_over_quota.load(Relaxed),
    }
}

fn rejected(meter: &Meter) -> BTreeMap<String, Refusal> {
    let counted = Reject::ALL.into_iter().map(|reason| {
        let count = meter.rejected[reason as usize].load(Relaxed);
        (reason.name().to_owned(), Refusal { count, advice: reason.advice().to_owned() })
    });
    counted.filter(|pair| pair.1.count > 0).collect()
}
