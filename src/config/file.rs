//! The config file as it is written: raw, nothing checked but types and names of keys.

use super::scalar::Size;
use super::tenants::Tenant;
use crate::auth;
use crate::model::Secret;
use crate::model::metric::Metric;
use crate::model::settings::{Experiment, Filter, Limits as Engine, Price, Settings, Span};
use crate::otlp;
use crate::sink;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The whole file; every key has a default.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    /// Where it listens.
    pub listen: Listen,
    /// Certificates for all listeners; in clear without.
    pub tls: Option<auth::tls::Config>,
    /// Which credentials there are; with any, every route of every listener needs its role.
    pub auth: auth::Config,
    /// What the web listener is called.
    pub web: Web,
    /// Tenants beside `default`, each with a pipeline of its own.
    pub tenants: BTreeMap<String, Tenant>,
    /// What the tenant `default` may send.
    pub quota: Quota,
    /// The folder of log, snapshots and records.
    pub data: String,
    /// What identifies a run, and how content is hashed.
    pub identity: Identity,
    /// Canonical field ← attributes of span, resource or log record; the first present wins.
    pub mapping: BTreeMap<String, Vec<String>>,
    /// Declared experiments by name.
    pub experiments: BTreeMap<String, Experiment>,
    /// Whether flags with two variants on traces with calls become experiments by themselves.
    pub experiments_auto: bool,
    /// Which flags may.
    pub flags: Filter,
    /// Declared metrics by name.
    pub metrics: BTreeMap<String, Metric>,
    /// USD per model, for calls that report no cost.
    pub prices: BTreeMap<String, Price>,
    /// Where run records go.
    pub sinks: Vec<sink::Config>,
    /// How late data may come and still be counted.
    pub horizon: Span,
    /// How long a call waits for its arm, unit or prompt.
    pub assignment_wait: Span,
    /// The shortest time between two epochs.
    pub epoch_min: Span,
    /// Age at which a call enters a metric of scores.
    pub matures_after: Span,
    /// Where requests go on to; nowhere when absent.
    pub forward: Option<otlp::forward::Config>,
    /// Sizes and counts that a stranger cannot exceed.
    pub limits: Limits,
    /// The log's files.
    pub log: LogFiles,
    /// What is kept for sinks.
    pub outbox: Outbox,
    /// When a snapshot is made; whichever comes first.
    pub snapshot: Snapshot,
    /// URL templates for links out of the records and pages.
    pub links: Links,
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `armspan::log=debug,info`.
    pub log_level: String,
}

/// Addresses, as host:port.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// OTLP and our API over gRPC.
    pub grpc: String,
    /// OTLP over HTTP.
    pub http: String,
    /// Pages, JSON API and metrics.
    pub web: String,
    /// Other than loopback addresses need this, or credentials under `auth`.
    pub allow_remote: bool,
}

/// What the web listener is called.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Web {
    /// Host names under which it is asked, beside localhost and addresses.
    pub hosts: Vec<String>,
}

/// What a tenant may send; no bound where it is absent.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Quota {
    /// Bytes of requests a second, after decompression.
    pub bytes_per_second: Option<Size>,
    /// Spans and log records a second.
    pub spans_per_second: Option<u64>,
    /// Bytes of requests between admission and acknowledgement; else as `limits` says.
    pub in_flight_bytes_max: Option<Size>,
}

/// What identifies a run, and how content is hashed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Identity {
    /// Key of content and unit hashes; plain SHA-256 when empty.
    pub hash_key: Secret,
    /// Name of the key in `hmac-sha256:<key id>:<hex>`.
    pub hash_key_id: String,
    /// Facets, or groups of them, that are recorded without splitting runs.
    pub observed: Vec<String>,
}

/// Limits of the engine and of the doors.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// A request after decompression; above, `INVALID_ARGUMENT` or 413.
    pub request_bytes_max: Size,
    /// Requests between admission and acknowledgement; above, 503 and `UNAVAILABLE`.
    pub in_flight_bytes_max: Size,
    /// Bytes that wait for the log or the engine; above, a request waits for half a second, then
    /// 503 and `UNAVAILABLE`.
    pub queue_bytes_max: Size,
    /// Below this much free disk nothing is accepted.
    pub disk_free_min: Size,
    /// Experiments; above, the experiment `other`.
    pub experiments_max: u32,
    /// Arms of an experiment; above, the arm `other`.
    pub arms_max: u32,
    /// Live runs of an arm and site in an epoch; above, one overflow run.
    pub runs_max: u32,
    /// Metrics of an experiment; above, the metric `other`.
    pub metrics_max: u32,
    /// Experiments on one call; above, dropped and counted.
    pub assignments_max: u32,
    /// Values of a facet in an arm before it is demoted to observed.
    pub facet_values_max: u32,
    /// Names and facet sets in the dictionary; above, `other`.
    pub names_max: u32,
    /// Bytes of young join and dedupe state.
    pub join_bytes_max: Size,
    /// Bytes of sealed traces on disk; above, the oldest go and the horizon is shorter.
    pub horizon_bytes_max: Size,
    /// Bytes of tallies.
    pub tally_bytes_max: Size,
    /// Bytes of the unit register.
    pub unit_cache_bytes: Size,
}

/// The log's files.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogFiles {
    /// Size of a segment.
    pub segment_bytes: Size,
    /// How long segments are kept; as the horizon when absent.
    pub keep: Option<Span>,
    /// And how much at most.
    pub keep_bytes_max: Size,
}

/// What is kept for sinks: records and events, delivered or not.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Outbox {
    /// How long.
    pub keep: Span,
    /// And how much at most.
    pub keep_bytes_max: Size,
}

/// When a snapshot is made; whichever comes first.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Snapshot {
    /// Time since the last one.
    pub every: Span,
    /// Bytes of log since the last one.
    pub log_bytes: Size,
}

/// URL templates; `{trace_id}` and `{span_id}` are replaced.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Links {
    /// Where a trace can be looked at.
    pub trace: Option<String>,
    /// Where people open the dashboard, for links in reports; no placeholders.
    pub dashboard: Option<String>,
}

// === defaults ===

impl Default for File {
    fn default() -> Self {
        let settings = Settings::default();
        File {
            listen: Listen::default(),
            tls: None,
            auth: auth::Config::default(),
            web: Web::default(),
            tenants: BTreeMap::new(),
            quota: Quota::default(),
            data: "./armspan-data".into(),
            identity: Identity::default(),
            mapping: BTreeMap::new(),
            experiments: settings.experiments,
            experiments_auto: settings.experiments_auto,
            flags: settings.flags,
            metrics: settings.metrics,
            prices: settings.prices,
            outbox: Outbox::default(),
            sinks: vec![sink::Config::Jsonl(sink::jsonl::Config::default())],
            horizon: settings.horizon,
            assignment_wait: settings.assignment_wait,
            epoch_min: settings.epoch_min,
            matures_after: settings.matures_after,
            forward: None,
            limits: Limits::default(),
            log: LogFiles::default(),
            snapshot: Snapshot::default(),
            links: Links::default(),
            log_level: "info".into(),
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Listen {
            grpc: "127.0.0.1:4317".into(),
            http: "127.0.0.1:4318".into(),
            web: "127.0.0.1:4390".into(),
            allow_remote: false,
        }
    }
}

impl Default for Identity {
    fn default() -> Self {
        Identity {
            hash_key: Secret::default(),
            hash_key_id: "1".into(),
            observed: Settings::default().observed,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let engine = Engine::default();
        Limits {
            request_bytes_max: Size::mib(20),
            in_flight_bytes_max: Size::mib(32),
            queue_bytes_max: Size::mib(8),
            disk_free_min: Size::mib(256),
            experiments_max: engine.experiments_max,
            arms_max: engine.arms_max,
            runs_max: engine.runs_max,
            metrics_max: engine.metrics_max,
            assignments_max: engine.assignments_max,
            facet_values_max: engine.facet_values_max,
            names_max: engine.names_max,
            join_bytes_max: Size(engine.join_bytes_max),
            horizon_bytes_max: Size(engine.horizon_bytes_max),
            tally_bytes_max: Size(engine.tally_bytes_max),
            unit_cache_bytes: Size(engine.unit_cache_bytes),
        }
    }
}

impl Limits {
    /// The part that the engine needs.
    pub fn engine(&self) -> Engine {
        Engine {
            experiments_max: self.experiments_max,
            arms_max: self.arms_max,
            runs_max: self.runs_max,
            metrics_max: self.metrics_max,
            assignments_max: self.assignments_max,
            facet_values_max: self.facet_values_max,
            names_max: self.names_max,
            join_bytes_max: self.join_bytes_max.0,
            horizon_bytes_max: self.horizon_bytes_max.0,
            tally_bytes_max: self.tally_bytes_max.0,
            unit_cache_bytes: self.unit_cache_bytes.0,
        }
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Outbox { keep: Span::seconds(183 * 86_400), keep_bytes_max: Size::mib(4 << 10) }
    }
}

impl Default for LogFiles {
    fn default() -> Self {
        LogFiles { segment_bytes: Size::mib(64), keep: None, keep_bytes_max: Size::mib(20 << 10) }
    }
}

impl Default for Snapshot {
    fn default() -> Self {
        Snapshot { every: Span::seconds(30), log_bytes: Size::mib(256) }
    }
}
