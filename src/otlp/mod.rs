//! OTLP receivers: gRPC and HTTP, traces and logs, metrics answered as not used.
//!
//! Flow: admission → read → inflate → (JSON to protobuf) → `normalize` → log → answer. What is
//! answered with success is durable, and downstream has it when requests are forwarded. The bytes
//! of a request live until its answer, and only [`forward`] passes them on; no content is in an
//! answer or a message of ours.

mod admit;
mod answer;
mod body;
mod denied;
pub mod forward;
mod grpc;
mod http;
mod inflate;
pub mod json;
mod seats;
mod serve;
mod wire;

#[cfg(test)]
mod tests;

pub use grpc::router as grpc_router;
pub use http::router as http_router;
pub use serve::{serve, serve_tls};

use crate::auth::Quota;
use crate::model::meter::SIGNALS;
use crate::model::{Batch, Body, Clock, Log, Meter, Nanos, Refused, Reject, SECOND};
use crate::normalize::{Blind, Normalizer, Report, Times};
use admit::{Gate, Permit};
use answer::Partial;
use bytes::Bytes;
use denied::Denied;
use forward::{Forwarder, Parcel};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The descriptors of the OTLP services, for gRPC reflection: an encoded `FileDescriptorSet`.
pub const OTLP_DESCRIPTORS: &[u8] = include_bytes!("descriptors.bin");

/// How far ahead of us a span may end.
const AHEAD_MAX: Nanos = 5 * 60 * SECOND;
/// How long a request waits until the log takes more before it is tried again …
const WAIT: Duration = Duration::from_millis(10);
/// … and how often: after half a second the client is told to come back.
const WAITS_MAX: u32 = 50;
/// Batches that are kept for reuse, and how much memory one of them may keep.
const POOL_BATCHES_MAX: usize = 32;
const POOL_BATCH_BYTES_MAX: usize = 1 << 20;

/// What bounds a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Bytes of one request, before and after decompression; 20 MiB.
    pub request_bytes_max: usize,
    /// Bytes of all requests between their first byte and their answer; 32 MiB.
    pub in_flight_bytes_max: usize,
    /// How long a body may take to arrive; 30 s.
    pub body_timeout: Duration,
}

/// Which kind of data a request carries; in the order of [`crate::model::meter::SIGNALS`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// Spans.
    Traces,
    /// Log records.
    Logs,
    /// Data points.
    Metrics,
}

/// Takes requests of all signals; shared by both doors.
pub struct Receiver {
    config: Config,
    normalizer: Arc<Normalizer>,
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    meter: Arc<Meter>,
    horizon: AtomicU64,
    gate: Gate,
    quota: Arc<Quota>,
    pool: Mutex<Vec<Batch>>,
    forward: Option<Forwarder>,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Config {
            request_bytes_max: 20 << 20,
            in_flight_bytes_max: 32 << 20,
            body_timeout: Duration::from_secs(30),
        }
    }
}

// === impl Signal ===

impl Signal {
    /// All of them.
    pub const ALL: [Signal; 3] = [Signal::Traces, Signal::Logs, Signal::Metrics];

    /// Its name in config and counters.
    pub fn name(self) -> &'static str {
        SIGNALS[self as usize]
    }

    /// Its path over HTTP.
    fn path(self) -> &'static str {
        ["/v1/traces", "/v1/logs", "/v1/metrics"][self as usize]
    }

    /// Its method over gRPC.
    fn method(self) -> &'static str {
        match self {
            Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        }
    }
}

// === impl Receiver ===

impl Receiver {
    /// `horizon` is how old a span may be, in nanoseconds.
    pub fn new(
        config: Config,
        normalizer: Arc<Normalizer>,
        log: Arc<dyn Log>,
        clock: Arc<dyn Clock>,
        meter: Arc<Meter>,
        horizon: Nanos,
    ) -> Self {
        let gate = Gate::new(meter.clone(), config.in_flight_bytes_max);
        let pool = Mutex::new(Vec::new());
        let horizon = AtomicU64::new(horizon);
        let (forward, quota) = (None, Arc::default());
        Receiver { config, normalizer, log, clock, meter, horizon, gate, quota, pool, forward }
    }

    /// The same, passing requests on.
    pub fn forwarding(self, to: Forwarder) -> Self {
        Receiver { forward: Some(to), ..self }
    }

    /// The same, taking no more than a quota.
    pub fn within(self, quota: Arc<Quota>) -> Self {
        Receiver { quota, ..self }
    }

    /// Changes how old a span may be, after a reload.
    pub fn set_horizon(&self, horizon: Nanos) {
        self.horizon.store(horizon, Relaxed);
    }

    /// Takes a message that was read already, uncompressed protobuf, as both doors do, and gives
    /// the answer's protobuf, or what the client is told. Returns when it is durable.
    pub async fn message(&self, signal: Signal, message: Bytes) -> Result<Vec<u8>, String> {
        let taken = async {
            let mut permit = self.admit()?;
            permit.reach(message.len())?;
            self.take(signal, &Parcel::plain(message), &mut permit).await
        };
        let outcome = taken.await;
        self.count_outcome(&outcome);
        outcome.map(|partial| partial.proto()).map_err(|denied: Denied| denied.to_string())
    }

    /// A permit for a request, when the quota has room for one.
    fn admit(&self) -> Result<Permit, Denied> {
        if self.quota.has_room() { Ok(self.gate.permit()) } else { Err(Denied::Quota) }
    }

    /// Takes a request. Returns when it is durable, and downstream has it.
    async fn take(
        &self,
        signal: Signal,
        parcel: &Parcel,
        permit: &mut Permit,
    ) -> Result<Partial, Denied> {
        self.quota.charge(parcel.plain.len() as u64, 0);
        if signal == Signal::Metrics {
            return self.take_metrics(parcel, permit).await;
        }
        let mut batch = self.batch();
        let taken = self.take_into(&mut batch, signal, parcel, permit).await;
        self.give_back(batch);
        taken
    }

    async fn take_into(
        &self,
        batch: &mut Batch,
        signal: Signal,
        parcel: &Parcel,
        permit: &mut Permit,
    ) -> Result<Partial, Denied> {
        let now = self.clock.now();
        let earliest = now.saturating_sub(self.horizon.load(Relaxed));
        let times = Times { now, earliest, latest: now.saturating_add(AHEAD_MAX) };
        let (normalizer, bytes) = (&self.normalizer, &parcel.protobuf[..]);
        let report = match signal {
            Signal::Logs => normalizer.logs(bytes, times, batch, &mut Blind),
            _ => normalizer.traces(bytes, times, batch, &mut Blind),
        };
        let report = report.map_err(|malformed| Denied::Malformed(malformed.to_string()))?;
        self.quota.charge(0, report.received);
        let outgoing = self.prepare(signal, parcel, permit)?;
        let append = async {
            if !batch.is_empty() {
                self.append(now, batch).await?;
                normalizer.durable(batch);
            }
            Ok::<_, Denied>(())
        };
        // A refusal of the log ends both: it will all come again. Downstream's does not end the
        // append, because one that is for good is the last time that we see this request.
        let pass = async { Ok(self.pass(signal, outgoing).await) };
        let ((), passed) = tokio::try_join!(append, pass)?;
        if !matches!(&passed, Some(Err(denied)) if denied.retryable()) {
            self.count(signal, &report);
        }
        let own = Partial::of(&report);
        Ok(match passed.transpose()? {
            Some(theirs) => own.and_downstream(theirs, report.received),
            None => own,
        })
    }

    /// Appends a batch. While too much waits the client waits too: an answer a little later costs
    /// less than the same request once more, and the bytes in flight bound how many wait.
    async fn append(&self, now: Nanos, batch: &Batch) -> Result<(), Denied> {
        let mut waits = 0;
        loop {
            match self.log.append(now, Body::Batch(batch.payload())).await {
                Err(Refused::Busy) if waits < WAITS_MAX => waits += 1,
                answer => return answer.map(drop).map_err(Denied::from),
            }
            Box::pin(tokio::time::sleep(WAIT)).await;
        }
    }

    /// Data points are of no use here: downstream answers for them, when it gets them.
    async fn take_metrics(&self, parcel: &Parcel, permit: &mut Permit) -> Result<Partial, Denied> {
        let points = body::metric_points(&parcel.protobuf)
            .ok_or_else(|| Denied::Malformed("the bytes are no OTLP protobuf".into()))?;
        let outgoing = self.prepare(Signal::Metrics, parcel, permit)?;
        let passed = self.pass(Signal::Metrics, outgoing).await.transpose()?;
        Meter::add(&self.meter.metric_points, points);
        Ok(passed.unwrap_or_else(|| Partial::unused_points(points)))
    }

    /// Counts what was received, once: a request that was refused comes again.
    fn count(&self, signal: Signal, report: &Report) {
        let meter = &self.meter;
        let received = if signal == Signal::Logs { &meter.log_records } else { &meter.spans };
        Meter::add(received, report.received);
        Meter::add(&meter.calls, report.calls);
        Meter::add(&meter.scores, report.scores);
        Meter::add(&meter.assignments, report.assignments);
        Meter::add(&meter.bad_values, report.bad_values);
        Meter::add(&meter.flags_without_variant, report.flags_without_variant);
        for (reason, count) in Reject::ALL.into_iter().zip(report.rejected) {
            meter.reject(reason, count);
        }
    }

    /// Counts the outcome of a request.
    fn count_outcome<T>(&self, outcome: &Result<T, Denied>) {
        let counter = match outcome {
            Ok(_) => &self.meter.requests_ok,
            Err(Denied::Quota) => &self.meter.requests_over_quota,
            Err(denied) if denied.retryable() => &self.meter.requests_refused,
            Err(_) => &self.meter.requests_bad,
        };
        Meter::add(counter, 1);
    }

    fn batch(&self) -> Batch {
        let mut pool = self.pool.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        pool.pop().unwrap_or_default()
    }

    fn give_back(&self, mut batch: Batch) {
        let texts = batch.text.capacity() + batch.defines.capacity();
        let bytes = batch.observations.capacity() + texts;
        let mut pool = self.pool.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if bytes <= POOL_BATCH_BYTES_MAX && pool.len() < POOL_BATCHES_MAX {
            batch.clear();
            pool.push(batch);
        }
    }
}
