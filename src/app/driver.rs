//! The engine's thread: applies durable entries in order, writes decisions back into the log,
//! publishes views, takes snapshots and puts records and events into the outbox.

use super::fold::apply;
use super::record::Recorder;
use super::save::{Saved, Saver, Task};
use crate::engine::Engine;
use crate::engine::view::Query;
use crate::fail;
use crate::log::{LocalLog, Next, Tail};
use crate::model::meter::Disk;
use crate::model::shelf::ShelfError;
use crate::model::view::Series;
use crate::model::{Body, Clock, Entry, Log, Meter, Nanos, Position, Sym, View};
use crate::store::Sealed;
use arc_swap::ArcSwap;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long the thread waits for an entry before it looks around.
const IDLE: Duration = Duration::from_millis(100);
/// How often a view is published while something changes, at the most …
const PUBLISH: Duration = Duration::from_millis(500);
/// … and so many times less often than making one takes: entries go first.
const PUBLISH_SHARE: u32 = 10;
/// How often a tick is written while something waits.
const TICK: Duration = Duration::from_secs(1);

/// A question to the engine's thread.
pub enum Ask {
    /// A view of the state as it is now.
    View(Sender<Arc<View>>),
    /// Points of a chart.
    Series(Query, Sender<Series>),
}

/// When to take a snapshot, and where.
#[derive(Clone, Debug)]
pub struct Snapshots {
    /// The data folder.
    pub dir: PathBuf,
    /// After so much time …
    pub every: Duration,
    /// … or so many bytes of log.
    pub log_bytes: u64,
    /// How long segments are kept that two snapshots cover.
    pub keep: Nanos,
    /// And how many bytes of them at most.
    pub keep_bytes_max: u64,
}

/// The engine's thread and all it touches.
pub struct Driver {
    /// All state.
    pub engine: Engine,
    /// What left its memory.
    pub shelf: Sealed,
    /// Decisions and ticks go there.
    pub log: LocalLog,
    /// Durable entries come from there.
    pub tail: Tail,
    /// For ticks and decisions.
    pub clock: Arc<dyn Clock>,
    /// Views go there.
    pub view: Arc<ArcSwap<View>>,
    /// The next position to apply, for those who wait until something is applied.
    pub applied: watch::Sender<Position>,
    /// Counters of the doors.
    pub meter: Arc<Meter>,
    /// Questions come from there.
    pub asks: Receiver<Ask>,
    /// When to take a snapshot.
    pub snapshots: Snapshots,
    /// Where records and events go.
    pub recorder: Recorder,
}

/// What the loop remembers.
struct Pace {
    published: Instant,
    publishing: Duration,
    ticked: Instant,
    saved: Instant,
    saved_at: Position,
    bytes: u64,
    changed: bool,
    /// The shelf failed: nothing is applied any more.
    broken: bool,
    saver: Saver,
    in_flight: BTreeSet<(Sym, Sym, u32)>,
}

// === impl Driver ===

impl Driver {
    /// Runs until the log is closed; the last snapshot and the last records are then taken.
    pub fn run(mut self) -> Engine {
        let now = Instant::now();
        let mut pace = Pace {
            published: now,
            publishing: Duration::ZERO,
            ticked: now,
            saved: now,
            saved_at: self.engine.position(),
            bytes: 0,
            changed: true,
            broken: false,
            saver: Saver::default(),
            in_flight: BTreeSet::new(),
        };
        self.publish(&mut pace);
        loop {
            match self.tail.recv_timeout(IDLE) {
                Next::Entry(position, entry) => self.take(position, &entry, &mut pace),
                Next::Idle => {}
                Next::Closed => break,
            }
            self.look_around(&mut pace);
        }
        self.end_save(&mut pace, true);
        if !pace.broken {
            self.publish(&mut pace);
            self.save(&mut pace);
            self.end_save(&mut pace, true);
        }
        self.engine
    }

    fn take(&mut self, position: Position, entry: &Entry, pace: &mut Pace) {
        if pace.broken {
            return;
        }
        if let Body::Batch(bytes) = &entry.body {
            pace.bytes += bytes.len() as u64;
        }
        if let Body::Decision(decision) = &entry.body {
            pace.in_flight.remove(&(decision.experiment, decision.site, decision.number));
        }
        fail::point("engine.apply");
        let mut output = match apply(&mut self.engine, position, entry, &mut self.shelf) {
            Ok(output) => output,
            Err(error) => return self.give_up(&error, pace),
        };
        fail::point("engine.applied");
        self.recorder.take(&self.engine, &mut output);
        pace.changed = true;
        for decision in output.decisions {
            let key = (decision.experiment, decision.site, decision.number);
            if pace.in_flight.insert(key) {
                // The answer is not waited for: a decision that is lost is made again.
                drop(self.log.append(self.clock.now(), Body::Decision(decision)));
            }
        }
        self.applied.send_replace(position + 1);
    }

    /// What left memory cannot be read back: nothing that is counted from here on could be
    /// trusted. The log has everything; the next start rebuilds what is damaged.
    fn give_up(&mut self, error: &ShelfError, pace: &mut Pace) {
        pace.broken = true;
        tracing::error!(%error, "sealed traces cannot be read; stopping, start again to rebuild");
        if let Err(error) = Sealed::set_aside(error) {
            tracing::error!(%error, "the damaged file could not be put aside");
        }
        self.log.fail();
        self.meter.ready.store(false, Relaxed);
    }

    fn look_around(&mut self, pace: &mut Pace) {
        while let Ok(ask) = self.asks.try_recv() {
            self.answer(ask, pace);
        }
        let due = PUBLISH.max(pace.publishing * PUBLISH_SHARE);
        if pace.changed && pace.published.elapsed() >= due {
            self.publish(pace);
        }
        if pace.ticked.elapsed() >= TICK {
            let now = self.clock.now();
            // A tick also finds out that a disk takes entries again.
            let refuses = self.meter.disk() == Disk::Refuses;
            if self.engine.is_waiting() || self.engine.is_hour_over(now) || refuses {
                pace.ticked = Instant::now();
                drop(self.log.append(now, Body::Tick));
            }
        }
        self.end_save(pace, false);
        let due =
            pace.saved.elapsed() >= self.snapshots.every || pace.bytes >= self.snapshots.log_bytes;
        if due && !pace.broken && !pace.saver.is_busy() && self.engine.position() > pace.saved_at {
            self.save(pace);
        }
    }

    fn answer(&mut self, ask: Ask, pace: &mut Pace) {
        // Whoever asked may have gone away; that is no error.
        match ask {
            Ask::View(to) => {
                self.publish(pace);
                let _ = to.send(self.view.load_full());
            }
            Ask::Series(query, to) => {
                let _ = to.send(self.engine.series(&query));
            }
        }
    }

    fn publish(&mut self, pace: &mut Pace) {
        let began = Instant::now();
        if pace.changed {
            self.view.store(Arc::new(self.engine.view()));
        }
        pace.changed = false;
        pace.published = Instant::now();
        pace.publishing = began.elapsed();
        self.meter.ready.store(!self.log.poisoned(), Relaxed);
    }

    /// Begins a snapshot: the thread that takes it works on a copy of the state.
    fn save(&mut self, pace: &mut Pace) {
        pace.saved = Instant::now();
        pace.bytes = 0;
        pace.saved_at = self.engine.position();
        fail::point("snapshot.state");
        let begun = self.freeze().and_then(|task| pace.saver.start(task));
        tracing::debug!(paused = ?pace.saved.elapsed(), "a snapshot begins");
        if let Err(error) = begun {
            no_snapshot(&error);
        }
    }

    fn freeze(&mut self) -> anyhow::Result<Task> {
        let rest = self.recorder.rest(self.engine.position())?;
        let Snapshots { dir, keep, keep_bytes_max, .. } = &self.snapshots;
        Ok(Task {
            dir: dir.clone(),
            shelf: self.shelf.freeze()?,
            engine: self.engine.freeze(),
            rest,
            log: self.log.clone(),
            keep: *keep,
            keep_bytes_max: *keep_bytes_max,
        })
    }

    /// Hears what came of a snapshot, if one is over or when `wait`.
    fn end_save(&mut self, pace: &mut Pace, wait: bool) {
        let done = match pace.saver.done(wait) {
            None => return,
            Some(Err(error)) => return no_snapshot(&error),
            Some(Ok(Saved { rest, rests, manifest })) => {
                self.recorder.rested(&rest, rests);
                manifest.and_then(|manifest| Ok(self.shelf.saved(&manifest)?))
            }
        };
        if let Err(error) = done {
            no_snapshot(&error);
        }
    }
}

fn no_snapshot(error: &anyhow::Error) {
    tracing::error!(%error, "no snapshot; the next start reads more of the log");
}
