//! One sink's task: the next item, tried until it is done or refused, then the one after it.

use super::{Kept, Shared};
use crate::fail;
use crate::model::delivery::{Item, ItemKind, Progress, SinkStatus};
use crate::model::id::rfc3339;
use crate::sink::{Begin, Failure, Sink};
use crate::store::{Error, Outbox};
use backon::{BackoffBuilder, ExponentialBuilder};
use std::sync::PoisonError;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tokio::time::Instant;

/// The first pause after a failure; each further one is twice as long, with jitter.
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// The longest pause, unless the tool asks for a longer one.
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// Pause after an error of our own outbox.
const OUTBOX_PAUSE: Duration = Duration::from_secs(5);
/// How often a failure that goes on is told in the log.
const WARN_EVERY: Duration = Duration::from_secs(60);
/// How often what waits is counted while items are delivered.
const COUNT_EVERY: Duration = Duration::from_secs(2);
/// How often the counts of `/status` are made anew while nothing happens.
const RECOUNT: Duration = Duration::from_secs(30);

/// A sink with its cursor.
pub struct Pump {
    name: String,
    sink: Box<dyn Sink>,
    shared: Shared,
    progress: Progress,
    status: SinkStatus,
    beat: Option<(Duration, Instant)>,
    counted: Option<Instant>,
    warned: Option<Instant>,
}

/// What to do next.
enum Turn {
    Deliver(Box<Item>),
    Beat,
    Wait,
}

// === impl Pump ===

impl Pump {
    /// Goes on where the sink was, or begins as it says.
    pub fn new(
        name: String,
        sink: Box<dyn Sink>,
        begin: Begin,
        shared: Shared,
    ) -> Result<Self, Error> {
        let known = shared.outbox.progress(&name)?;
        let progress = match (known, begin) {
            (Some(known), _) => known,
            (None, Begin::Oldest) => Progress::default(),
            (None, Begin::Now) => {
                let done = *shared.outbox.newest().borrow();
                let fresh = Progress { done, ..Progress::default() };
                shared.outbox.set_progress(&name, &fresh)?;
                fresh
            }
        };
        let beat = sink.pulse().map(|every| (every, Instant::now() + every));
        let status = SinkStatus { name: name.clone(), ..SinkStatus::default() };
        let mut pump =
            Pump { name, sink, shared, progress, status, beat, counted: None, warned: None };
        pump.tell("idle");
        Ok(pump)
    }

    /// Runs until it is told to stop and nothing is left that can be delivered.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut newest = self.shared.outbox.newest();
        loop {
            newest.mark_unchanged();
            let stopping = *stop.borrow_and_update();
            self.miss();
            match self.turn() {
                Ok(Turn::Deliver(item)) => {
                    if !self.deliver(&item, &mut stop).await {
                        break;
                    }
                }
                Ok(Turn::Beat) => self.beat().await,
                Ok(Turn::Wait) if stopping => break,
                Ok(Turn::Wait) => self.wait(&mut newest, &mut stop).await,
                Err(error) => {
                    self.failed(&format!("the outbox: {error}"));
                    if stopping || paused(OUTBOX_PAUSE, &mut stop).await {
                        break;
                    }
                }
            }
        }
        self.tell("stopped");
    }

    /// Tells of items that were removed before they were delivered; it goes on after them.
    fn miss(&mut self) {
        let Ok(Some(trimmed)) = self.shared.outbox.trimmed() else { return };
        if self.progress.done.is_none_or(|done| done >= trimmed) {
            return;
        }
        let what = format!(
            "items up to log position {} were removed before they were delivered: outbox.keep or \
             outbox.keep_bytes_max was reached",
            trimmed.position
        );
        tracing::error!(sink = self.name, "{what}");
        self.progress.done = Some(trimmed);
        self.progress.refused += 1;
        self.progress.refusal = Some(what);
    }

    fn turn(&self) -> Result<Turn, Error> {
        let takes = |kind: ItemKind| self.sink.takes(kind);
        if let Some(item) = self.shared.outbox.next(self.progress.done, &takes)? {
            return Ok(Turn::Deliver(Box::new(item)));
        }
        let due = self.beat.is_some_and(|(_, next)| next <= Instant::now());
        Ok(if due { Turn::Beat } else { Turn::Wait })
    }

    async fn wait(
        &mut self,
        newest: &mut watch::Receiver<Option<crate::model::delivery::ItemKey>>,
        stop: &mut watch::Receiver<bool>,
    ) {
        self.tell("idle");
        let recount = Instant::now() + RECOUNT;
        let until = self.beat.map_or(recount, |(_, next)| next.min(recount));
        tokio::select! {
            // An error means that the other side is gone: the server stops.
            _ = newest.changed() => {}
            _ = stop.changed() => {}
            () = tokio::time::sleep_until(until) => {}
        }
    }

    /// Delivers an item, however often it takes; false when told to stop before it was done.
    async fn deliver(&mut self, item: &Item, stop: &mut watch::Receiver<bool>) -> bool {
        self.tell("delivering");
        let history = Kept(self.shared.outbox.clone());
        let mut pauses = pauses();
        loop {
            match self.sink.deliver(item, &history).await {
                Ok(()) => {
                    self.done(item, None);
                    return true;
                }
                Err(Failure::Refused { what }) => {
                    tracing::warn!(
                        sink = self.name,
                        position = item.key.position,
                        "refused: {what}"
                    );
                    self.done(item, Some(what));
                    return true;
                }
                Err(Failure::Later { what, after }) => {
                    self.failed(&what);
                    let pause = pauses.next().unwrap_or(PAUSE_MAX).max(after.unwrap_or_default());
                    if *stop.borrow() || paused(pause, stop).await {
                        return false;
                    }
                }
            }
        }
    }

    fn done(&mut self, item: &Item, refusal: Option<String>) {
        self.progress.done = Some(item.key);
        match refusal {
            Some(what) => {
                self.progress.refused += 1;
                self.progress.refusal = Some(what);
            }
            None => {
                self.progress.delivered += 1;
                self.progress.delivered_at = now();
            }
        }
        self.status.last_error = None;
        self.warned = None;
        fail::point("export.cursor");
        // A cursor that is not kept means a repeat, which the sink can tell.
        if let Err(error) = self.shared.outbox.set_progress(&self.name, &self.progress) {
            tracing::error!(%error, sink = self.name, "the cursor was not kept");
        }
        fail::point("export.noted");
    }

    async fn beat(&mut self) {
        let view = self.shared.view.load_full();
        if let Some((every, next)) = &mut self.beat {
            *next = Instant::now() + *every;
        }
        match self.sink.beat(&view).await {
            Ok(()) => {
                self.progress.delivered_at = now();
                self.status.last_error = None;
            }
            Err(Failure::Later { what, .. } | Failure::Refused { what }) => self.failed(&what),
        }
    }

    fn failed(&mut self, what: &str) {
        // A tool that is down for a day is no news each time it is tried.
        if self.warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
            tracing::warn!(sink = self.name, "not delivered, tried again: {what}");
            self.warned = Some(Instant::now());
        }
        self.status.failures += 1;
        self.status.last_error = Some(what.to_owned());
        self.tell("retrying");
    }

    /// Tells `/status` and `/metrics` how it does.
    fn tell(&mut self, state: &str) {
        // Counting walks over what waits, so a long queue is not counted at each item.
        let due = self.counted.is_none_or(|at| at.elapsed() > COUNT_EVERY);
        if due || state == "idle" || self.status.waiting == 0 {
            let waiting = self.shared.outbox.waiting(self.progress.done, &|k| self.sink.takes(k));
            self.status.waiting = waiting.unwrap_or(self.status.waiting);
            self.counted = Some(Instant::now());
        }
        self.status.state = state.to_owned();
        self.status.delivered = self.progress.delivered;
        self.status.refused = self.progress.refused;
        self.status.last_refusal = self.progress.refusal.clone();
        let at = self.progress.delivered_at;
        self.status.last_success = (at > 0).then(|| rfc3339(at));
        let mut sinks = self.shared.meter.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        sinks.insert(self.name.clone(), self.status.clone());
    }
}

/// Growing pauses with jitter.
fn pauses() -> impl Iterator<Item = Duration> {
    let growing = ExponentialBuilder::new().with_min_delay(PAUSE_MIN).with_max_delay(PAUSE_MAX);
    growing.with_jitter().without_max_times().build()
}

/// Waits; whether it was told to stop meanwhile.
async fn paused(pause: Duration, stop: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        () = tokio::time::sleep(pause) => false,
        _ = stop.changed() => true,
    }
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// Delivers items of an outbox to a sink once, with a few tries each: a backfill. Gives how many
/// were delivered and what was refused.
pub async fn deliver_all(
    sink: &mut dyn Sink,
    outbox: &Outbox,
    select: &dyn Fn(Item) -> Option<Item>,
) -> anyhow::Result<(u64, Vec<String>)> {
    const TRIES: usize = 5;
    let history = Kept(outbox.clone());
    let (mut after, mut delivered, mut refused) = (None, 0, Vec::new());
    while let Some(item) = outbox.next(after, &|kind| sink.takes(kind))? {
        after = Some(item.key);
        let Some(item) = select(item) else { continue };
        let mut pauses = pauses().take(TRIES);
        loop {
            match (sink.deliver(&item, &history).await, pauses.next()) {
                (Ok(()), _) => delivered += 1,
                (Err(Failure::Refused { what }), _) => refused.push(what),
                (Err(Failure::Later { after, .. }), Some(pause)) => {
                    tokio::time::sleep(pause.max(after.unwrap_or_default())).await;
                    continue;
                }
                (Err(failure), None) => return Err(failure.into()),
            }
            break;
        }
    }
    Ok((delivered, refused))
}
