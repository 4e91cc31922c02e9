//! Drives an engine: answers what it needs, and applies entries in their order. Live traffic,
//! recovery and replay all come through here.

use crate::engine::join::{Answers, Key};
use crate::engine::{Engine, Output, Stepped};
use crate::model::{Body, Entry, MINUTE, Nanos, Position, Settings};

/// Looks after which settling stops: each may lead to one more decision.
const SETTLING_LOOKS_MAX: u32 = 64;

/// Applies one entry; what the engine needs from disk is read first.
pub fn apply(engine: &mut Engine, position: Position, entry: &Entry) -> Output {
    let mut answers = Answers::default();
    loop {
        match engine.step(position, entry, &answers) {
            Stepped::Done(output) => return output,
            Stepped::Need(keys) => read_parts(&keys, &mut answers),
        }
    }
}

/// Looks keys up in the sealed parts. None are kept on disk yet, so all of them are gone.
fn read_parts(keys: &[Key], answers: &mut Answers) {
    answers.gone.extend(keys);
}

/// An engine without a log: entries are applied at once, decisions right after what led to them.
pub struct Fold {
    /// The engine.
    pub engine: Engine,
    stamp: Nanos,
    /// What the last look wanted settled.
    open: bool,
}

impl Fold {
    /// With these settings. There is no horizon: history may be as old as it is.
    pub fn new(mut settings: Settings) -> Self {
        settings.horizon = Settings::NO_HORIZON;
        let json = serde_json::to_string(&settings).unwrap_or_default();
        let mut fold = Fold { engine: Engine::new(settings), stamp: 0, open: false };
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
        apply(&mut self.engine, position, entry)
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

    /// The stamp of the last entry.
    pub fn stamp(&self) -> Nanos {
        self.stamp
    }
}
