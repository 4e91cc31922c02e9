//! Opens a data folder: lock, log, newest snapshot, and the rest of the log applied to it.

use super::fold::apply;
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
    let opened = LocalLog::open(log_config(config, accept_loss), meter.clone())?;
    if let Some((file, offset)) = &opened.cut {
        tracing::warn!(file = %file.display(), offset, "a torn last write was cut; it was never acknowledged");
    }
    let outbox = store::Outbox::open(&config.data)?;
    let (keep, bytes) = (config.outbox.keep.0, config.outbox.keep_bytes_max);
    let mut recorder = Recorder::new(outbox.clone(), keep, bytes)?;
    let (mut engine, mut shelf) = restore(&config.data, false)?;
    if engine.position() < opened.first() && accept_loss {
        (engine, shelf) = restore(&config.data, true)?;
    }
    if engine.position() > outbox.position()? && is_remade(opened.first(), &engine, &outbox)? {
        engine = Engine::new(Default::default());
        shelf = empty_shelf(&config.data)?;
    }
    if engine.position() > opened.next() {
        bail!(
            "the log in {} ends at position {} but the snapshot rests on {}: the end of the log is \
             missing; restore it from a copy, or remove the folder `snap` to rebuild from what is left",
            config.data.display(),
            opened.next(),
            engine.position()
        );
    }
    check_gap(&engine, opened.first(), &config.data, accept_loss)?;
    let (from, next) = (engine.position().max(opened.first()), opened.next());
    for entry in opened.entries(from)? {
        let (position, entry) = entry?;
        // Decisions that a look makes here are in the log already, or are made again later.
        let mut output = apply(&mut engine, position, &entry, &mut shelf).map_err(set_aside)?;
        recorder.take(&engine, &mut output);
        seen(position + 1, next);
    }
    let (log, tail) = opened.start()?;
    Ok(Data { lock, log, tail, engine, shelf, outbox, recorder })
}

/// The outbox was lost, or is older than the snapshot: what it lacks comes from the log when
/// that reaches back to its beginning.
fn is_remade(first: Position, engine: &Engine, outbox: &store::Outbox) -> Result<bool> {
    if first == 0 {
        tracing::warn!("the outbox is older than the snapshot; it is made again from the log");
        return Ok(true);
    }
    tracing::error!(
        from = outbox.position()?,
        to = engine.position(),
        "the outbox is older than the snapshot, and the log does not reach back: run records and \
         events of these positions are missing in it; figures are not touched"
    );
    Ok(false)
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

/// Engine and shelf of the newest snapshot that can be read and whose tables are there; empty
/// ones when there is none. With `accept_loss` damaged tables are left out.
pub fn restore(dir: &Path, accept_loss: bool) -> Result<(Engine, store::Sealed)> {
    let mut below = Position::MAX;
    while let Some((position, bytes)) = store::newest_valid_below(dir, &state_version(), below)? {
        let snapshot: Snapshot = postcard::from_bytes(&bytes)
            .with_context(|| format!("the snapshot at position {position} is none"))?;
        match store::Sealed::open(dir, &snapshot.manifest, accept_loss) {
            Ok(shelf) => {
                let engine = Engine::restore(&snapshot.state).with_context(|| {
                    format!("the snapshot at position {position} cannot be understood")
                })?;
                return Ok((engine, shelf));
            }
            Err(error @ ShelfError::Damaged { .. }) => {
                tracing::warn!(position, %error, "a snapshot is passed over");
                below = position;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok((Engine::new(Default::default()), empty_shelf(dir)?))
}

fn empty_shelf(dir: &Path) -> Result<store::Sealed> {
    Ok(store::Sealed::open(dir, &store::Manifest::default(), false)?)
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
