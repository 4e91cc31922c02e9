//! What is wrong with a folder that is opened, and what can be made good: an outbox from the log,
//! nothing else. What cannot is refused with the place named, or accepted as lost when asked to.

use super::open::Restored;
use crate::log::Opened;
use crate::model::Position;
use crate::store::Outbox;
use anyhow::{Result, bail};
use std::path::Path;

/// Opens the outbox of a folder; one that is damaged is begun anew.
pub fn outbox(dir: &Path) -> Result<Outbox> {
    let (outbox, aside) = Outbox::open_or_remake(dir)?;
    if let Some(aside) = aside {
        tracing::warn!(
            "sinks get everything again that the log still has; remove {} when it is of no use",
            aside.display()
        );
    }
    Ok(outbox)
}

/// The outbox was lost, or is older than the snapshot: what it lacks comes from the log when
/// that reaches back to its beginning. Gives what to begin with.
pub fn behind(
    state: Restored,
    first: Position,
    outbox: &Outbox,
    dir: &Path,
    accept_loss: bool,
) -> Result<Restored> {
    let known = outbox.position()?;
    let engine = &state.engine;
    if engine.position() <= known {
        return Ok(state);
    }
    if first == 0 {
        tracing::warn!("the outbox is older than the snapshot; it is made again from the log");
        return Restored::empty(dir);
    }
    let gap = format!("positions {known} to {}", engine.position() - 1);
    if !accept_loss {
        bail!(
            "run records and events of {gap} are missing in the outbox in {}, and the log begins \
             at position {first}: restore the folder `outbox` from a copy, or start with \
             --accept-loss to go on without them; figures are not touched",
            dir.display()
        );
    }
    tracing::warn!("accepted: run records and events of {gap} are missing in the outbox");
    outbox.sync(engine.position())?;
    Ok(state)
}

/// Snapshot and outbox rest on the log; when it ends before them, its end is missing.
pub fn beyond(opened: &mut Opened, rests: Position, dir: &Path, accept_loss: bool) -> Result<()> {
    let next = opened.next();
    if rests <= next {
        return Ok(());
    }
    if !accept_loss {
        bail!(
            "the log in {} ends at position {next} but snapshot or outbox rest on {rests}: \
             positions {next} to {} are missing; restore the end of the log from a copy, or start \
             with --accept-loss to go on without it",
            dir.display(),
            rests - 1
        );
    }
    tracing::warn!("accepted: positions {next} to {} of the log are missing", rests - 1);
    Ok(opened.skip_to(rests)?)
}
