//! Opens a data folder: lock, log, newest snapshot, and the rest of the log applied to it.

use super::fold::apply;
use super::mend;
use super::record::Recorder;
use super::state_version;
use crate::config::Config;
use crate::engine::Engine;
use crate::log::{self, LocalLog, Tail};
use crate::model::shelf::ShelfError;
use crate::model::{Meter, Position};
use crate::store;
use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// A data folder that is ready: nothing in the log is left to apply.
pub struct Data {
    /// Keeps other servers out.
    pub lock: store::Lock,
    /// Takes entries.
    pub log: LocalLog,
    /// Gives durable ones back.
    pub tail: Tail,
    /// The state at the end of the log.
    pub engine: Engine,
    /// What left the engine's memory.
    pub shelf: store::Sealed,
    /// What sinks get.
    pub outbox: store::Outbox,
    /// What an entry leads to goes through it into the outbox.
    pub recorder: Recorder,
}

/// Opens the folder of a config. `seen` is told the positions that are read, and the last one.
pub fn open(
    config: &Config,
    accept_loss: bool,
    meter: &Arc<Meter>,
    seen: &dyn Fn(Position, Position),
) -> Result<Data> {
    let lock = store::Lock::take(&config.data)?;
    let mut opened = LocalLog::open(log_config(config, accept_loss), meter.clone())?;
    if let Some((file, offset)) = &opened.cut {
        tracing::warn!(file = %file.display(), offset, "a torn last write was cut; it was never acknowledged");
    }
    let outbox = mend::outbox(&config.data)?;
    let (keep, bytes) = (config.outbox.keep.0, config.outbox.keep_bytes_max);
    let mut recorder = Recorder::new(outbox.clone(), keep, bytes)?;
    let mut state = restore(&config.data, false)?;
    if state.engine.position() < opened.first() && accept_loss {
        state = restore(&config.data, true)?;
    }
    let rests = state.engine.position().max(outbox.position()?);
    mend::beyond(&mut opened, rests, &config.data, accept_loss)?;
    let state = mend::behind(state, opened.first(), &outbox, &config.data, accept_loss)?;
    let Restored { mut engine, mut shelf } = state;
    check_gap(&engine, opened.first(), &config.data, accept_loss)?;
    let (from, next) = (engine.position().max(opened.first()), opened.next());
    let mut entries = opened.entries(from)?;
    for entry in entries.by_ref() {
        let (position, entry) = entry?;
        // Decisions that a look makes here are in the log already, or are made again later.
        let mut output = apply(&mut engine, position, &entry, &mut shelf).map_err(set_aside)?;
        recorder.take(&engine, &mut output);
        seen(position + 1, next);
    }
    for lost in &entries.lost {
        let (file, offset) = (lost.file.display(), lost.offset);
        tracing::warn!(%file, offset, from = lost.from, to = lost.to, "accepted as lost");
    }
    let (log, tail) = opened.start()?;
    Ok(Data { lock, log, tail, engine, shelf, outbox, recorder })
}

/// A damaged table is put aside: the next start rebuilds from an older snapshot or the log.
fn set_aside(error: ShelfError) -> anyhow::Error {
    let renamed = store::Sealed::set_aside(&error);
    let what = anyhow::Error::from(error);
    match renamed {
        Ok(()) => what.context("sealed traces cannot be read; start again to rebuild them"),
        Err(why) => what.context(format!("sealed traces cannot be read, and put aside: {why}")),
    }
}

fn log_config(config: &Config, accept_loss: bool) -> log::Config {
    log::Config {
        dir: config.data.clone(),
        segment_bytes: config.log.segment_bytes,
        queue_bytes_max: config.doors.queue_bytes_max,
        disk_free_min: config.doors.disk_free_min,
        accept_loss,
    }
}

/// What a snapshot holds: the state, and which tables its sealed traces and units are in.
#[derive(Serialize, Deserialize)]
pub struct Snapshot {
    /// Of the shelf.
    pub manifest: store::Manifest,
    /// Of the engine.
    pub state: Vec<u8>,
}

/// Engine and shelf that belong together.
pub struct Restored {
    /// The state.
    pub engine: Engine,
    /// What left its memory.
    pub shelf: store::Sealed,
}

impl Restored {
    /// At the beginning of the log.
    pub fn empty(dir: &Path) -> Result<Self> {
        let shelf = store::Sealed::open(dir, &store::Manifest::default(), false)?;
        Ok(Restored { engine: Engine::new(Default::default()), shelf })
    }

    fn read(dir: &Path, bytes: &[u8], accept_loss: bool) -> Result<Self> {
        let snapshot: Snapshot = postcard::from_bytes(bytes).context("it is no snapshot")?;
        let shelf = store::Sealed::open(dir, &snapshot.manifest, accept_loss)?;
        Ok(Restored { engine: Engine::restore(&snapshot.state)?, shelf })
    }
}

/// Takes a snapshot; whatever it rests on is durable before it. Gives its size in bytes.
pub fn save(dir: &Path, engine: &Engine, shelf: &mut store::Sealed) -> Result<usize> {
    shelf.sync()?;
    let snapshot = Snapshot { manifest: shelf.manifest(), state: engine.state()? };
    let bytes = postcard::to_stdvec(&snapshot)?;
    store::save(dir, &state_version(), engine.position(), &bytes)?;
    shelf.saved(&snapshot.manifest)?;
    Ok(bytes.len())
}

/// Of the newest snapshot that can be read and whose tables are there; empty when there is none.
/// With `accept_loss` damaged tables are left out.
pub fn restore(dir: &Path, accept_loss: bool) -> Result<Restored> {
    let read = |bytes: &[u8]| {
        Restored::read(dir, bytes, accept_loss).map_err(|error| format!("{error:#}"))
    };
    match store::newest(dir, &state_version(), read)? {
        Some((_, restored)) => Ok(restored),
        None => Restored::empty(dir),
    }
}

/// Segments before the oldest snapshot may be gone; without a snapshot that reaches them the
/// state cannot be rebuilt.
fn check_gap(engine: &Engine, first: Position, dir: &Path, accept_loss: bool) -> Result<()> {
    if engine.position() >= first || accept_loss {
        return Ok(());
    }
    bail!(
        "positions {} to {} are missing: no snapshot in {} reaches position {first}, where the log \
         begins; restore a snapshot, or start with --accept-loss to go on without them",
        engine.position(),
        first - 1,
        dir.display()
    )
}
