//! Between the doors, the writer and the engine: what waits to be written, and what is durable
//! and waits to be applied. Both count against one bound of bytes; above it, `Busy`.

use super::Config;
use super::frame::PAYLOAD_BYTES_MAX;
use crate::model::log::Promise;
use crate::model::{Appended, Body, Entry, Meter, Nanos, Position, Refused};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// What an entry costs besides its payload: a flood of empty ones is bounded too.
pub const ENTRY_OVERHEAD: u64 = 64;

/// An entry that waits to be written, and who waits for it.
pub struct Waiting {
    /// The entry.
    pub entry: Entry,
    /// Told when it is durable, or why not.
    pub answer: Promise,
}

/// Shared by all handles, the writer thread and the tail.
pub struct Shared {
    /// As given at opening.
    pub config: Config,
    /// Counters.
    pub meter: Arc<Meter>,
    state: Mutex<State>,
    held: AtomicU64,
    work: Condvar,
    durable: Condvar,
}

/// What the lock protects.
pub struct State {
    /// To be written, in order.
    pub waiting: Vec<Waiting>,
    /// Durable, not yet taken by the engine.
    pub tail: VecDeque<(Position, Entry)>,
    /// First positions of all segments.
    pub firsts: Vec<Position>,
    /// The next position.
    pub next: Position,
    /// Nothing more is accepted.
    pub closing: bool,
    /// A sync failed: nothing can be promised any more.
    pub failed: bool,
    /// The writer is gone.
    pub ended: bool,
}

/// What the engine's side gets.
#[derive(Debug)]
pub enum Next {
    /// A durable entry.
    Entry(Position, Entry),
    /// None came in time.
    Idle,
    /// The log was closed, and everything it took was handed over.
    Closed,
}

/// Durable entries in their order, for one reader. Taking one frees its bytes from the bound.
pub struct Tail {
    shared: Arc<Shared>,
    taken: VecDeque<(Position, Entry)>,
}

// === impl Shared ===

impl Shared {
    /// Nothing waiting.
    pub fn new(config: Config, meter: Arc<Meter>, firsts: Vec<Position>, next: Position) -> Self {
        let state = State {
            waiting: Vec::new(),
            tail: VecDeque::new(),
            firsts,
            next,
            closing: false,
            failed: false,
            ended: false,
        };
        Shared {
            config,
            meter,
            state: Mutex::new(state),
            held: AtomicU64::new(0),
            work: Condvar::new(),
            durable: Condvar::new(),
        }
    }

    /// The state. No code that holds it can panic half-way, so a poisoned lock is as good.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Bytes that wait to be written or applied.
    pub fn held(&self) -> u64 {
        self.held.load(Relaxed)
    }

    /// Queues an entry, or says why not.
    pub fn push(&self, stamp: Nanos, body: Body) -> Result<Appended, Refused> {
        let cost = cost(&body);
        debug_assert!(cost < PAYLOAD_BYTES_MAX as u64, "requests are bounded far below");
        if cost > PAYLOAD_BYTES_MAX as u64 {
            return Err(Refused::Busy);
        }
        let (answer, result) = Appended::promised();
        let mut state = self.state();
        if state.failed {
            return Err(Refused::Failed);
        }
        if state.closing {
            return Err(Refused::Closing);
        }
        let held = self.held();
        // One entry alone always goes through: otherwise it would be refused for ever.
        if held > 0 && held + cost > self.config.queue_bytes_max {
            return Err(Refused::Busy);
        }
        self.held.fetch_add(cost, Relaxed);
        state.waiting.push(Waiting { entry: Entry { stamp, body }, answer });
        drop(state);
        self.work.notify_one();
        Ok(result)
    }

    /// Puts everything that waits into `group`, which is empty, and says the next position. Blocks
    /// while there is nothing; `None` when nothing will come any more.
    pub fn take_group(&self, group: &mut Vec<Waiting>) -> Option<Position> {
        let mut state = self.state();
        while state.waiting.is_empty() {
            if state.closing {
                return None;
            }
            state = self.work.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        std::mem::swap(&mut state.waiting, group);
        Some(state.next)
    }

    /// Hands durable entries on and answers those who wait; `answers` is room for that.
    pub fn publish(
        &self,
        first: Position,
        group: impl Iterator<Item = Waiting>,
        answers: &mut Vec<(Position, Promise)>,
    ) {
        let mut state = self.state();
        for (position, waiting) in (first..).zip(group) {
            state.tail.push_back((position, waiting.entry));
            answers.push((position, waiting.answer));
            state.next = position + 1;
        }
        drop(state);
        self.durable.notify_one();
        for (position, answer) in answers.drain(..) {
            // The client may be gone; its entry is durable all the same.
            answer.tell(Ok(position));
        }
    }

    /// Tells those who wait that their entries were not kept.
    pub fn refuse(&self, group: impl Iterator<Item = Waiting>, why: Refused) {
        for waiting in group {
            self.free(cost(&waiting.entry.body));
            waiting.answer.tell(Err(why));
        }
    }

    /// Changes the state and wakes everybody who may care.
    pub fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.work.notify_all();
        self.durable.notify_all();
    }

    fn free(&self, cost: u64) {
        self.held.fetch_sub(cost, Relaxed);
    }
}

fn cost(body: &Body) -> u64 {
    let payload = match body {
        Body::Batch(bytes) => bytes.len(),
        Body::Config(text) => text.len(),
        Body::Tick | Body::Decision(_) | Body::Cut => 0,
    };
    payload as u64 + ENTRY_OVERHEAD
}

// === impl Tail ===

impl Tail {
    /// The only reader of what `shared` publishes.
    pub fn new(shared: Arc<Shared>) -> Self {
        Tail { shared, taken: VecDeque::new() }
    }

    /// The next durable entry; waits for one at most so long.
    pub fn recv_timeout(&mut self, wait: Duration) -> Next {
        if self.taken.is_empty()
            && let Some(other) = self.refill(wait)
        {
            return other;
        }
        let Some((position, entry)) = self.taken.pop_front() else { return Next::Idle };
        self.shared.free(cost(&entry.body));
        Next::Entry(position, entry)
    }

    /// Takes all that is durable at once: one lock for many entries.
    fn refill(&mut self, wait: Duration) -> Option<Next> {
        let deadline = Instant::now() + wait;
        let mut state = self.shared.state();
        while state.tail.is_empty() {
            if state.ended && (state.closing || !state.failed) {
                return Some(Next::Closed);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Some(Next::Idle);
            }
            let waited = self.shared.durable.wait_timeout(state, left);
            state = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
        std::mem::swap(&mut self.taken, &mut state.tail);
        None
    }
}
