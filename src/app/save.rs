//! Takes snapshots beside the engine's thread, which only gives a copy of its state: a thread writes
//! and forgets the copy, makes durable what it rests on (outbox, then tables), makes a snapshot of
//! it, and trims the log. There is one at a time.

use super::open::{finish, write};
use super::record::Rest;
use crate::engine;
use crate::log::{Keep, LocalLog};
use crate::model::Nanos;
use crate::store::{Frozen, Manifest};
use anyhow::{Result, anyhow};
use std::path::PathBuf;
use std::thread::JoinHandle;

/// Everything a snapshot needs.
pub struct Task {
    /// The data folder.
    pub dir: PathBuf,
    /// The state.
    pub engine: engine::Frozen,
    /// Its tables.
    pub shelf: Frozen,
    /// Its items.
    pub rest: Rest,
    /// Segments of it that two snapshots cover are removed …
    pub log: LocalLog,
    /// … when they are older …
    pub keep: Nanos,
    /// … or more than this.
    pub keep_bytes_max: u64,
}

/// What came of it.
pub struct Saved {
    /// What it rests on in the outbox.
    pub rest: Rest,
    /// Whether that is durable.
    pub rests: bool,
    /// The tables of the snapshot, once it is durable.
    pub manifest: Result<Manifest>,
}

/// The thread, while one is taken.
#[derive(Default)]
pub struct Saver {
    running: Option<JoinHandle<Saved>>,
}

// === impl Saver ===

impl Saver {
    /// Whether a snapshot is being taken, or was and nobody asked what came of it.
    pub fn is_busy(&self) -> bool {
        self.running.is_some()
    }

    /// Begins to take one.
    pub fn start(&mut self, task: Task) -> Result<()> {
        let thread = std::thread::Builder::new().name("snapshot".into());
        self.running = Some(thread.spawn(move || task.run())?);
        Ok(())
    }

    /// What came of it, once, when it is over; or when `wait`, after it is.
    pub fn done(&mut self, wait: bool) -> Option<Result<Saved>> {
        let over = |running: &JoinHandle<Saved>| wait || running.is_finished();
        let running = self.running.take_if(|running| over(running))?;
        Some(running.join().map_err(|_| anyhow!("the thread that took it panicked")))
    }
}

// === impl Task ===

impl Task {
    fn run(self) -> Saved {
        let Task { dir, engine, shelf, rest, log, keep, keep_bytes_max } = self;
        let since = engine.log_time().saturating_sub(keep);
        let draft = write(&dir, engine);
        if let Err(error) = rest.sync() {
            return Saved { rest, rests: false, manifest: Err(error.into()) };
        }
        let manifest = draft.and_then(|draft| {
            let manifest = shelf.sync()?;
            finish(draft, &manifest)?;
            Ok(manifest)
        });
        if manifest.is_ok() {
            let covered = crate::store::covered(&dir, &super::state_version());
            let trimmed = covered
                .map_err(anyhow::Error::from)
                .and_then(|from| Ok(log.trim(Keep { from, since, bytes_max: keep_bytes_max })?));
            if let Err(error) = trimmed {
                tracing::error!(%error, "old segments of the log could not be removed");
            }
        }
        Saved { rest, rests: true, manifest }
    }
}
