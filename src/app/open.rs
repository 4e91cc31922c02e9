//! Opens a data folder: lock, log, newest snapshot, and the rest of the log applied to it.

use super::fold::apply;
use super::mend;
use super::record::Recorder;
use super::state_version;
use crate::config::Config;
use crate::engine::{Engine, Frozen};
use crate::log::{self, LocalLog, Tail};
use crate::model::shelf::ShelfError;
use crate::model::{Body, Meter, Position};
use crate::store;
use anyhow::{Context as _, Result, bail};
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

/// A start that folds much takes a snapshot after so many times the bytes of log that a server
/// does: when it ends early the next one goes on from there, and tables that were replaced can go.
const SAVES_APART: u64 = 8;

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
    let (mut bytes, save_after) = (0, config.snapshot.log_bytes.saturating_mul(SAVES_APART));
    for entry in entries.by_ref() {
        let (position, entry) = entry?;
        // Decisions that a look makes here are in the log already, or are made again later.
        let mut output = apply(&mut engine, position, &entry, &mut shelf).map_err(set_aside)?;
        recorder.take(&engine, &mut output);
        seen(position + 1, next);
        if let Body::Batch(batch) = &entry.body {
            bytes += batch.len() as u64;
        }
        if bytes >= save_after {
            bytes = 0;
            save_on_the_way(&config.data, &engine, &mut shelf, &mut recorder);
        }
    }
    for lost in &entries.lost {
        let (file, offset) = (lost.file.display(), lost.offset);
        tracing::warn!(%file, offset, from = lost.from, to = lost.to, "accepted as lost");
    }
    let (log, tail) = opened.start()?;
    Ok(Data { lock, log, tail, engine, shelf, outbox, recorder })
}

/// Without a snapshot nothing is lost but time.
fn save_on_the_way(
    dir: &Path,
    engine: &Engine,
    shelf: &mut store::Sealed,
    recorder: &mut Recorder,
) {
    let rested = recorder.rest(engine.position()).and_then(|rest| {
        let synced = rest.sync();
        recorder.rested(&rest, synced.is_ok());
        synced
    });
    let saved = rested.map_err(anyhow::Error::from).and_then(|()| save(dir, engine, shelf));
    if let Err(error) = saved {
        tracing::warn!(%error, "no snapshot on the way");
    }
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

    /// From a snapshot: the state, and which tables its sealed traces and units are in.
    fn read(dir: &Path, bytes: &[u8], accept_loss: bool) -> Result<Self> {
        let (engine, rest) = Engine::restore(bytes).context("it is no snapshot")?;
        let manifest = postcard::from_bytes(rest).context("its tables are not named")?;
        let shelf = store::Sealed::open(dir, &manifest, accept_loss)?;
        Ok(Restored { engine, shelf })
    }
}

/// Takes a snapshot; the tables it rests on are durable before it. Gives its size in bytes.
pub fn save(dir: &Path, engine: &Engine, shelf: &mut store::Sealed) -> Result<u64> {
    let tables = shelf.freeze()?;
    let draft = write(dir, engine.freeze())?;
    let manifest = tables.sync()?;
    let bytes = finish(draft, &manifest)?;
    shelf.saved(&manifest)?;
    Ok(bytes)
}

/// Writes the state of a snapshot, which is none before it is finished: what it rests on is made
/// durable in between, when nothing of the state is in memory twice any more.
pub(super) fn write(dir: &Path, state: Frozen) -> Result<store::Draft> {
    let (position, mut state) = (state.position(), Some(state));
    Ok(store::Draft::begin(dir, &state_version(), position, &mut |out| {
        let written = state.take().map_or(Ok(()), |state| state.write(out));
        written.map_err(std::io::Error::other)
    })?)
}

/// Makes a snapshot of what was written, with these tables, and gives its size in bytes.
pub(super) fn finish(draft: store::Draft, tables: &store::Manifest) -> Result<u64> {
    Ok(draft.finish(&postcard::to_stdvec(tables)?)?)
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
        let engine = Engine::new(Default::default());
        let size = save(dir.path(), &engine, &mut shelf).expect("written");
        let mut whole = engine.state().expect("state");
        whole.extend(postcard::to_stdvec(&store::Manifest::default()).expect("tables"));
        assert_eq!(size, whole.len() as u64);
        let read = store::newest(dir.path(), &state_version(), |bytes| Ok(bytes.to_vec()));
        assert_eq!(read.expect("read"), Some((0, whole)));
        let restored = restore(dir.path(), false).expect("restored");
        assert_eq!(restored.engine.state().expect("state"), engine.state().expect("state"));
    }
}
