//! What a tenant may send in a second, so that one does not take what others need. A request
//! that finds the quota used up is told to come back; one that began is counted whole, and the
//! next ones pay for what it took too much.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Rates; without one there is no bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rates {
    /// Bytes of requests a second, after decompression.
    pub bytes: Option<u64>,
    /// Spans and log records a second.
    pub spans: Option<u64>,
}

/// What is left of a tenant's rates.
#[derive(Debug, Default)]
pub struct Quota {
    bytes: Option<Bucket>,
    spans: Option<Bucket>,
}

/// Fills by its rate up to one second's worth; may fall below nothing.
#[derive(Debug)]
struct Bucket {
    rate: f64,
    level: Mutex<(f64, Instant)>,
}

impl Quota {
    /// With full buckets.
    pub fn new(rates: Rates) -> Quota {
        let bucket = |rate: u64| Bucket::new(rate as f64, Instant::now());
        Quota { bytes: rates.bytes.map(bucket), spans: rates.spans.map(bucket) }
    }

    /// Whether anything is left.
    pub fn has_room(&self) -> bool {
        let now = Instant::now();
        let room = |bucket: &Bucket| bucket.take(0.0, now) > 0.0;
        [&self.bytes, &self.spans].into_iter().flatten().all(room)
    }

    /// Takes what a request was.
    pub fn charge(&self, bytes: u64, spans: u64) {
        let now = Instant::now();
        for (bucket, amount) in [(&self.bytes, bytes), (&self.spans, spans)] {
            if let Some(bucket) = bucket {
                bucket.take(amount as f64, now);
            }
        }
    }
}

impl Bucket {
    fn new(rate: f64, now: Instant) -> Bucket {
        Bucket { rate, level: Mutex::new((rate, now)) }
    }

    /// What is left after an amount was taken.
    fn take(&self, amount: f64, now: Instant) -> f64 {
        let mut held = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let (level, since) = *held;
        let filled = now.saturating_duration_since(since).as_secs_f64() * self.rate;
        let left = (level + filled).min(self.rate) - amount;
        *held = (left, now.max(since));
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_was_taken_too_much_is_paid_for_and_nothing_is_saved_up() {
        let start = Instant::now();
        let bucket = Bucket::new(10.0, start);
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        assert_eq!(bucket.take(35.0, at(0.0)), -25.0);
        assert_eq!(bucket.take(0.0, at(2.0)), -5.0);
        assert_eq!(bucket.take(0.0, at(1.0)), -5.0, "a clock does not go back");
        assert!((bucket.take(0.0, at(2.6)) - 1.0).abs() < 1e-9);
        assert_eq!(bucket.take(0.0, at(1000.0)), 10.0);
    }

    #[test]
    fn each_rate_bounds_by_itself() {
        let quota = |bytes, spans| Quota::new(Rates { bytes, spans });
        let open = quota(None, None);
        open.charge(u64::MAX, u64::MAX);
        assert!(open.has_room());
        for (quota, left) in [(quota(Some(1), None), false), (quota(None, Some(1)), true)] {
            assert!(quota.has_room());
            quota.charge(1_000, 0);
            assert_eq!(quota.has_room(), left);
            quota.charge(0, 1_000);
            assert!(!quota.has_room());
        }
    }
}
