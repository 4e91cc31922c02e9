//! `armspan replay`.

use super::args::{Format, Replay};
use anyhow::{Result, bail};
use std::process::ExitCode;

/// Runs it.
pub fn replay(_args: &Replay, _format: Format) -> Result<ExitCode> {
    bail!("replay is not wired yet")
}
