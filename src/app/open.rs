//! Opens a data folder: lock, log, newest snapshot, and the rest of the log applied to it.

use super::fold::apply;
use super::record::Recorder;
use super::state_version;
use crate::config::Config;
use crate::engine::Engine;
use crate::log::{self, LocalLog, Tail};
use crate::model::{Meter, Position};
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
    let mut engine = restore(&config.data)?;
    if engine.position() > outbox.position()? {
        engine = without_outbox(engine, opened.first(), &outbox)?;
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
        let mut output = apply(&mut engine, position, &entry);
        recorder.take(&engine, &mut output);
        seen(position + 1, next);
    }
    let (log, tail) = opened.start()?;
    Ok(Data { lock, log, tail, engine, outbox, recorder })
}

/// The outbox was lost, or is older than the snapshot: what it lacks comes from the log when
/// that reaches back to its beginning.
fn without_outbox(engine: Engine, first: Position, outbox: &store::Outbox) -> Result<Engine> {
    if first == 0 {
        tracing::warn!("the outbox is older than the snapshot; it is made again from the log");
        return Ok(Engine::new(Default::default()));
    }
    tracing::error!(
        from = outbox.position()?,
        to = engine.position(),
        "the outbox is older than the snapshot, and the log does not reach back: run records and \
         events of these positions are missing in it; figures are not touched"
    );
    Ok(engine)
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

/// The engine of the newest snapshot that can be read; an empty one when there is none.
pub fn restore(dir: &Path) -> Result<Engine> {
    let Some((position, bytes)) = store::newest_valid(dir, &state_version())? else {
        return Ok(Engine::new(Default::default()));
    };
    let engine = Engine::restore(&bytes)
        .with_context(|| format!("the snapshot at position {position} cannot be understood"))?;
    Ok(engine)
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
