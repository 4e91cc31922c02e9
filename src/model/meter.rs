//! What the doors count: lock-free, shared by receivers, status page and `/metrics`.

use super::delivery::SinkStatus;
use super::reject::Reject;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};

/// Counters of everything that comes in, since the process began.
#[derive(Debug, Default)]
pub struct Meter {
    /// Spans received, accepted or not.
    pub spans: AtomicU64,
    /// Log records received.
    pub log_records: AtomicU64,
    /// Metric data points received, and not used.
    pub metric_points: AtomicU64,
    /// Requests answered, by outcome.
    pub requests_ok: AtomicU64,
    /// Requests refused as malformed or too large.
    pub requests_bad: AtomicU64,
    /// Requests refused for now.
    pub requests_refused: AtomicU64,
    /// Requests refused for now because the tenant has sent what it may.
    pub requests_over_quota: AtomicU64,
    /// Spans and records that were calls.
    pub calls: AtomicU64,
    /// Assignments found.
    pub assignments: AtomicU64,
    /// Scores found.
    pub scores: AtomicU64,
    /// Flag evaluations that named no variant: a switch of the flag SDK's hook brings it.
    pub flags_without_variant: AtomicU64,
    /// Attribute values that could not be coerced.
    pub bad_values: AtomicU64,
    /// Bytes of requests between admission and acknowledgement.
    pub in_flight_bytes: AtomicU64,
    /// Refused by reason, in the order of [`Reject::ALL`].
    pub rejected: [AtomicU64; Reject::ALL.len()],
    /// The engine has caught up with the log and the doors are open.
    pub ready: AtomicBool,
    /// What the log's disk does: a [`Disk`].
    pub disk: AtomicU8,
    /// Times of commits of the log, by bucket of [`COMMIT_BUCKETS`] and above.
    pub commits: [AtomicU64; COMMIT_BUCKETS.len() + 1],
    /// Sum of these times, microseconds.
    pub commit_us: AtomicU64,
    /// Requests that were sent on, by signal in the order of [`SIGNALS`] and [`Forwarded`].
    pub forwarded: [[AtomicU64; Forwarded::ALL.len()]; SIGNALS.len()],
    /// How the sinks do, by name; each writes its own now and then.
    pub sinks: Mutex<BTreeMap<String, SinkStatus>>,
}

/// Names of the signals of OTLP.
pub const SIGNALS: [&str; 3] = ["traces", "logs", "metrics"];

/// What became of a request that was sent on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forwarded {
    /// Downstream has it.
    Ok,
    /// Not now: the client sends it again.
    Later,
    /// Downstream refused it for good.
    Refused,
}

impl Forwarded {
    /// All of them.
    pub const ALL: [Forwarded; 3] = [Forwarded::Ok, Forwarded::Later, Forwarded::Refused];

    /// Its name in counters.
    pub fn name(self) -> &'static str {
        ["ok", "later", "refused"][self as usize]
    }
}

/// What the log's disk does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disk {
    /// It takes what is written.
    Takes,
    /// It is full, read-only or out of file handles: senders are told to come back.
    Refuses,
    /// A sync failed: the process is about to end.
    Failed,
}

impl Disk {
    /// All of them, in the order of their numbers.
    pub const ALL: [Disk; 3] = [Disk::Takes, Disk::Refuses, Disk::Failed];

    /// Its name in `/metrics`.
    pub fn name(self) -> &'static str {
        ["takes", "refuses", "failed"][self as usize]
    }
}

/// Upper bounds of the commit histogram, in microseconds.
pub const COMMIT_BUCKETS: [u64; 9] = [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000];

impl Meter {
    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Relaxed);
    }

    /// Counts rejects of one reason.
    pub fn reject(&self, reason: Reject, count: u64) {
        self.rejected[reason as usize].fetch_add(count, Relaxed);
    }

    /// What the log's disk does.
    pub fn disk(&self) -> Disk {
        Disk::ALL[usize::from(self.disk.load(Relaxed)).min(Disk::ALL.len() - 1)]
    }

    /// Whether data is taken: the engine has caught up and the disk takes it.
    pub fn takes(&self) -> bool {
        self.ready.load(Relaxed) && self.disk() == Disk::Takes
    }

    /// Notes the time of one commit of the log.
    pub fn commit(&self, micros: u64) {
        let at = COMMIT_BUCKETS.partition_point(|bound| *bound < micros);
        self.commits[at].fetch_add(1, Relaxed);
        self.commit_us.fetch_add(micros, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_are_counted_at_their_place() {
        for (at, reason) in Reject::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at);
        }
        let meter = Meter::default();
        meter.commit(100);
        meter.commit(1_000_000);
        assert_eq!(meter.commits[0].load(Relaxed), 1);
        assert_eq!(meter.commits[COMMIT_BUCKETS.len()].load(Relaxed), 1);
    }
}
