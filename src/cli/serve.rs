//! `armspan serve`.

use super::args::{Format, Serve};
use anyhow::{Result, bail};
use std::process::ExitCode;

/// Runs it.
pub fn serve(_args: &Serve, _format: Format) -> Result<ExitCode> {
    bail!("serve is not wired yet")
}
