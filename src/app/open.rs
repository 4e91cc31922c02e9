//! Opens a data folder: lock, log, newest snapshot, and the rest of the log applied to it.

use super::fold::apply;
use super::mend;
use super::record::Recorder;
use super::state_version;
use crate::config::Config;
use crate::engine::{Engine, STATE_VERSION};
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

/// Takes a snapshot; the tables it rests on are durable before it. Gives its size in bytes.
pub fn save(dir: &Path, engine: &Engine, shelf: &mut store::Sealed) -> Result<u64> {
    let manifest = shelf.freeze()?.sync()?;
    let bytes = write(dir, engine, &manifest)?;
    shelf.saved(&manifest)?;
    Ok(bytes)
}

/// Writes a snapshot of what is durable, and gives its size in bytes. The state is not made in
/// memory: it is counted first, because its length stands before it.
pub(super) fn write(dir: &Path, engine: &Engine, manifest: &store::Manifest) -> Result<u64> {
    let state = (STATE_VERSION, engine);
    let length = postcard::to_io(&state, Counted(0))?.0;
    // A `Snapshot` as postcard has it.
    let mut begin = postcard::to_stdvec(manifest)?;
    begin.extend(postcard::to_stdvec(&length)?);
    let bytes = begin.len() as u64 + length;
    store::save_with(dir, &state_version(), engine.position(), &mut |out| {
        out.write_all(&begin)?;
        postcard::to_io(&state, out).map(drop).map_err(std::io::Error::other)
    })?;
    Ok(bytes)
}

/// Takes bytes and keeps their number.
struct Counted(u64);

impl std::io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_written_as_it_is_read() {
        let dir = tempfile::TempDir::new().expect("dir");
        let mut shelf = Restored::empty(dir.path()).expect("opens").shelf;
        let manifest = shelf.freeze().and_then(store::Frozen::sync).expect("synced");
        let engine = Engine::new(Default::default());
        let size = write(dir.path(), &engine, &manifest).expect("written");
        let state = engine.state().expect("state");
        let whole = postcard::to_stdvec(&Snapshot { manifest, state }).expect("bytes");
        assert_eq!(size, whole.len() as u64);
        let read = store::newest(dir.path(), &state_version(), |bytes| Ok(bytes.to_vec()));
        assert_eq!(read.expect("read"), Some((0, whole)));
    }
}
