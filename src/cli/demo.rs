//! `armspan demo`.

use super::args::{Demo, Format};
use anyhow::{Result, bail};
use std::process::ExitCode;

/// Runs it.
pub fn demo(_args: &Demo, _format: Format) -> Result<ExitCode> {
    bail!("demo is not wired yet")
}
