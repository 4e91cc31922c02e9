//! Puts what leaves into the outbox, while live and at recovery alike.

use crate::engine::{Engine, Output};
use crate::model::Nanos;
use crate::model::delivery::{Cut, Event, Why};
use crate::store::{Error, Outbox};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// Entries whose items wait for a disk that refuses them. No snapshot is taken meanwhile, so
/// what is dropped above this comes again at the next start.
const PENDING_MAX: usize = 4_096;

/// Between the engine and the outbox.
pub struct Recorder {
    outbox: Outbox,
    /// What comes up to there is in the outbox: recovery need not make it again.
    known: u64,
    keep: Nanos,
    bytes_max: u64,
    pending: VecDeque<Pending>,
    /// Put, and not yet durable: when the outbox has to be opened again, they are put again.
    unsynced: VecDeque<Pending>,
    dropped: bool,
    /// How many times the outbox was opened again.
    openings: Arc<AtomicU64>,
}

/// What a snapshot rests on: items that were put, and are not durable yet.
pub struct Rest {
    outbox: Outbox,
    position: u64,
    openings: Arc<AtomicU64>,
    opening: u64,
}

struct Pending {
    position: u64,
    events: Vec<Event>,
    cut: Option<Cut>,
}

// === impl Recorder ===

impl Recorder {
    /// Into an outbox; items are kept so long, and within so many bytes.
    pub fn new(outbox: Outbox, keep: Nanos, bytes_max: u64) -> Result<Self, Error> {
        let known = outbox.position()?;
        let (pending, unsynced) = (VecDeque::new(), VecDeque::new());
        let openings = Arc::default();
        let dropped = false;
        Ok(Recorder { outbox, known, keep, bytes_max, pending, unsynced, dropped, openings })
    }

    /// Takes what an entry led to; the engine is as it was right after it.
    pub fn take(&mut self, engine: &Engine, output: &mut Output) {
        let nothing = output.events.is_empty() && output.cut.is_none();
        if nothing || engine.position() <= self.known {
            return;
        }
        if self.pending.len() >= PENDING_MAX {
            self.dropped = true;
            return;
        }
        let cut = output.cut.map(|why| engine.cut(why));
        let events = std::mem::take(&mut output.events);
        self.pending.push_back(Pending { position: engine.position(), events, cut });
        self.flush();
        if output.cut == Some(Why::Hour) {
            self.trim(engine.log_time());
        }
    }

    /// Writes what waits; whether nothing is left.
    pub fn flush(&mut self) -> bool {
        while let Some(next) = self.pending.front() {
            if let Err(error) = self.outbox.put(next.position, &next.events, next.cut.as_ref()) {
                tracing::error!(%error, "run records wait in memory; it is tried again");
                self.begin_again();
                return false;
            }
            self.unsynced.extend(self.pending.pop_front());
        }
        if self.unsynced.len() > PENDING_MAX {
            let last = self.unsynced.back().map_or(0, |last| last.position);
            return self.persist(last).is_ok() && !self.dropped;
        }
        !self.dropped
    }

    /// Puts everything before a position; a snapshot may rest on it once it is durable.
    pub fn rest(&mut self, position: u64) -> Result<Rest, Error> {
        if !self.flush() {
            let waits = std::io::Error::other("the outbox could not take the last run records");
            return Err(Error::Io {
                what: "no snapshot while",
                path: "outbox".into(),
                source: waits,
            });
        }
        if let Err(error) = self.outbox.note(position) {
            self.begin_again();
            return Err(error);
        }
        let (outbox, openings) = (self.outbox.clone(), self.openings.clone());
        let opening = openings.load(SeqCst);
        Ok(Rest { outbox, position, openings, opening })
    }

    /// Whether what a snapshot was to rest on is durable.
    pub fn rested(&mut self, rest: &Rest, durable: bool) {
        let same = self.openings.load(SeqCst) == rest.opening;
        match durable {
            true => self.unsynced.retain(|put| put.position > rest.position),
            false if same => self.begin_again(),
            false => {}
        }
    }

    fn persist(&mut self, position: u64) -> Result<(), Error> {
        let synced = self.outbox.sync(position);
        match &synced {
            Ok(()) => self.unsynced.clear(),
            Err(_) => self.begin_again(),
        }
        synced
    }

    /// After a failure the outbox takes nothing until it is opened again. What it may have lost by
    /// that waits once more.
    fn begin_again(&mut self) {
        self.openings.fetch_add(1, SeqCst);
        if let Err(error) = self.outbox.reopen() {
            tracing::error!(%error, "the outbox stays closed; it is tried again");
            return;
        }
        self.unsynced.extend(self.pending.drain(..));
        std::mem::swap(&mut self.unsynced, &mut self.pending);
    }

    fn trim(&self, now: Nanos) {
        match self.outbox.trim(now.saturating_sub(self.keep), self.bytes_max) {
            Ok(Some(last)) => tracing::debug!(position = last.position, "old records were removed"),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "old records could not be removed"),
        }
    }
}

// === impl Rest ===

impl Rest {
    /// Makes it durable.
    pub fn sync(&self) -> Result<(), Error> {
        self.outbox.persist()?;
        if self.openings.load(SeqCst) == self.opening {
            return Ok(());
        }
        // What was not durable before that waits to be put again.
        let again = std::io::Error::other("it was opened again meanwhile");
        Err(Error::Io { what: "no snapshot rests on", path: "outbox".into(), source: again })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_snapshot_rests_on_an_outbox_that_was_opened_again_meanwhile() {
        let dir = tempfile::TempDir::new().expect("dir");
        let outbox = Outbox::open(dir.path()).expect("opens");
        let mut recorder = Recorder::new(outbox.clone(), 0, u64::MAX).expect("reads");
        let rest = recorder.rest(5).expect("put");
        rest.sync().expect("durable");
        recorder.rested(&rest, true);
        let rest = recorder.rest(9).expect("put");
        recorder.begin_again();
        let error = rest.sync().expect_err("refused").to_string();
        assert!(error.contains("opened again"), "{error}");
        recorder.rested(&rest, false);
        let next = recorder.rest(9).expect("put");
        next.sync().expect("the next one is durable");
        assert_eq!(outbox.position().expect("reads"), 9);
    }
}
