//! `armspan explain`.

use super::args::{Files, Format};
use anyhow::{Result, bail};
use std::process::ExitCode;

/// Runs it.
pub fn explain(_args: &Files, _format: Format) -> Result<ExitCode> {
    bail!("explain is not wired yet")
}
