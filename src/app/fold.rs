//! Drives an engine: answers what it needs, and applies entries in their order. Live traffic,
//! recovery and replay all come through here.

use crate::engine::join::Key;
use crate::engine::{Answers, Engine, Need, Output, Stepped};
use crate::model::shelf::{Batch, Family, MemoryShelf, Shelf, ShelfError};
use crate::model::{Body, Entry, MINUTE, Nanos, Position, Settings};
use std::sync::Arc;
use std::time::Duration;

/// Looks after which settling stops: each may lead to one more decision.
const SETTLING_LOOKS_MAX: u32 = 64;
/// Before a full disk is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// Applies one entry; what the engine needs from the shelf is read first, and what leaves its
/// memory is kept there. A full disk is waited for: what the engine let go of must not be lost.
pub fn apply(
    engine: &mut Engine,
    position: Position,
    entry: &Entry,
    shelf: &mut dyn Shelf,
) -> Result<Output, ShelfError> {
    let mut answers = Answers::default();
    let mut output = loop {
        match engine.step(position, entry, answers) {
            Stepped::Done(output) => break output,
            Stepped::Need(need) => answers = read(&need, shelf)?,
        }
    };
    for batch in std::mem::take(&mut output.sealing.batches) {
        put(&Arc::new(batch), shelf)?;
    }
    for family in [Family::Traces, Family::Responses] {
        shelf.drop_before(family, output.sealing.oldest);
    }
    Ok(output)
}

fn put(batch: &Arc<Batch>, shelf: &mut dyn Shelf) -> Result<(), ShelfError> {
    let mut told = false;
    loop {
        match shelf.put(batch) {
            Err(error @ ShelfError::Full(_)) => {
                if !told {
                    tracing::error!(%error, "sealed traces find no room on disk; waiting for it");
                    told = true;
                }
                std::thread::sleep(PAUSE);
            }
            done => return done,
        }
    }
}

fn read(need: &Need, shelf: &mut dyn Shelf) -> Result<Answers, ShelfError> {
    let (keys, oldest) = match need {
        Need::Keys { keys, oldest } => (keys, *oldest),
        Need::Page { parts, from } => {
            let page = shelf.page(Family::Traces, parts, *from)?;
            return Ok(Answers { page: Some(page), ..Answers::default() });
        }
    };
    let mut records = Vec::new();
    for (family, oldest) in
        [(Family::Traces, oldest), (Family::Responses, oldest), (Family::Units, 0)]
    {
        let mut wanted: Vec<u128> =
            keys.iter().map(place_of).filter(|p| p.0 == family).map(|p| p.1).collect();
        wanted.sort_unstable();
        let found = shelf.get(family, &wanted, oldest)?;
        records.extend(found.into_iter().map(|record| (family, record)));
    }
    Ok(Answers { records, page: None })
}

fn place_of(key: &Key) -> (Family, u128) {
    match key {
        Key::Trace(id) => (Family::Traces, id.sealed_key()),
        Key::Response(hash) => (Family::Responses, u128::from(hash.0)),
        Key::Unit(experiment, hash) => {
            (Family::Units, u128::from(experiment.0) << 64 | u128::from(hash.0))
        }
    }
}

/// An engine without a log: entries are applied at once, decisions right after what led to them.
pub struct Fold {
    /// The engine.
    pub engine: Engine,
    shelf: MemoryShelf,
    stamp: Nanos,
    /// What the last look wanted settled.
    open: bool,
}

impl Fold {
    /// With these settings. There is no horizon: history may be as old as it is.
    pub fn new(mut settings: Settings) -> Self {
        settings.horizon = Settings::NO_HORIZON;
        let json = serde_json::to_string(&settings).unwrap_or_default();
        let (engine, shelf) = (Engine::new(settings), MemoryShelf::default());
        let mut fold = Fold { engine, shelf, stamp: 0, open: false };
        fold.push(0, Body::Config(json));
        fold
    }

    /// Applies an entry stamped with the later of `stamp` and the previous one.
    pub fn push(&mut self, stamp: Nanos, body: Body) {
        self.stamp = self.stamp.max(stamp);
        let entry = Entry { stamp: self.stamp, body };
        let output = self.apply(&entry);
        self.open |= !output.decisions.is_empty();
        for decision in output.decisions {
            let entry = Entry { stamp: self.stamp, body: Body::Decision(decision) };
            self.apply(&entry);
        }
    }

    fn apply(&mut self, entry: &Entry) -> Output {
        let position = self.engine.position();
        // A shelf in memory refuses nothing.
        apply(&mut self.engine, position, entry, &mut self.shelf).unwrap_or_default()
    }

    /// Lets every wait expire, and looks until nothing is left to settle.
    pub fn finish(&mut self) {
        for _ in 0..SETTLING_LOOKS_MAX {
            while let Some(due) = self.engine.next_due() {
                self.push(due, Body::Tick);
            }
            self.open = false;
            let wait = self.engine.settings().assignment_wait.0;
            self.push(self.stamp + wait + 2 * MINUTE, Body::Tick);
            if !self.open && self.engine.next_due().is_none() {
                break;
            }
        }
    }

    /// Records that left the engine's memory.
    pub fn shelved(&self) -> usize {
        self.shelf.len()
    }

    /// The stamp of the last entry.
    pub fn stamp(&self) -> Nanos {
        self.stamp
    }
}
