//! Clocks: the wall clock of the process, and one that the feeder of history sets.

use crate::model::{Clock, Nanos};
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Wall clock at start plus monotonic time since: it never goes back.
pub struct WallClock {
    began: Nanos,
    since: Instant,
}

/// Shows another clock, which can be replaced: by that of the wall after history was fed.
pub struct TurnClock(ArcSwap<Arc<dyn Clock>>);

/// Shows what it was set to; never goes back.
#[derive(Default)]
pub struct SetClock(AtomicU64);

impl WallClock {
    /// Starts at the system's time, or at `not_before` when that is later: log time must not
    /// begin before what the log already holds.
    pub fn start(not_before: Nanos) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        WallClock { began: now.max(not_before), since: Instant::now() }
    }
}

impl SetClock {
    /// Moves it forward.
    pub fn set(&self, now: Nanos) {
        self.0.fetch_max(now, Relaxed);
    }
}

impl TurnClock {
    /// Shows this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        TurnClock(ArcSwap::from_pointee(clock))
    }

    /// Shows this one from now on.
    pub fn replace(&self, clock: Arc<dyn Clock>) {
        self.0.store(Arc::new(clock));
    }
}

impl Clock for TurnClock {
    fn now(&self) -> Nanos {
        self.0.load().now()
    }
}

impl Clock for WallClock {
    fn now(&self) -> Nanos {
        self.began + u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Clock for SetClock {
    fn now(&self) -> Nanos {
        self.0.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_never_go_back() {
        let clock = SetClock::default();
        clock.set(7);
        clock.set(5);
        assert_eq!(clock.now(), 7);
        let future = 1 << 62;
        assert!(WallClock::start(future).now() >= future);
    }
}
