//! `armspan bench`: sends spans of LLM calls to a receiver of OTLP, flat out or at a set rate, and
//! says how many were acknowledged, how soon, and what that cost the server.
//!
//! ```text
//! shape ─encode→ Template ─patch(Fresh)→ request ─transport→ Answer ─load→ Outcome ─report→ Data
//! ```
//! Requests are encoded once and sent with fresh ids, users and times written in, so that the
//! client stays cheap and no id repeats. Any receiver will do; nothing is read from it but its
//! answers, and from `/proc` what its process uses.

mod args;
mod fresh;
mod load;
mod process;
mod report;
mod shape;
mod template;
mod transport;

pub use args::Args;

use super::INTERRUPTED;
use super::args::Format;
use super::print;
use anyhow::{Context as _, Result, bail};
use std::io::{Write, stdout};
use std::process::ExitCode;
use tokio::runtime::{Builder, Runtime};

/// Runs it.
pub fn bench(args: &Args, format: Format) -> Result<ExitCode> {
    let runtime = runtime(args.threads)?;
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = load::run(args) => outcome.map(Some),
            interrupted = tokio::signal::ctrl_c() => {
                interrupted.context("cannot listen for Ctrl-C").map(|()| None)
            }
        }
    });
    // What is still on its way has been counted as not delivered.
    runtime.shutdown_background();
    let Some(outcome) = outcome? else { return Ok(ExitCode::from(INTERRUPTED)) };
    if outcome.acknowledged_in_all == 0 {
        let why = outcome.first_failure.as_deref().unwrap_or("it did not answer");
        bail!("{} acknowledged nothing: {why}", args.target());
    }
    let mut out = stdout().lock();
    print::print(&report::data(args, &outcome), format, &mut out)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn runtime(threads: usize) -> std::io::Result<Runtime> {
    let mut builder = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(threads).enable_all().build()
}
