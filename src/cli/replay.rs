//! `armspan replay`: OTLP files or our own log through the same engine, with the same result.

use super::args::{Format, Replay};
use super::{print, progress, read};
use crate::app::replay;
use crate::config::{self, Config, Flags};
use crate::model::View;
use crate::normalize::Blind;
use crate::sink::jsonl::records_jsonl;
use anyhow::{Result, bail};
use std::io::{Write, stderr, stdout};
use std::path::Path;
use std::process::ExitCode;

/// Runs it.
pub fn replay(args: &Replay, format: Format) -> Result<ExitCode> {
    let view = view(args)?;
    if args.records {
        let mut out = stdout().lock();
        write!(out, "{}", records_jsonl(&view.runs))?;
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = stdout().lock();
    // What the config names but the files do not have is nothing to see.
    let seen: Vec<_> = view.experiments.iter().filter(|e| e.calls > 0).collect();
    for experiment in &seen {
        let document = serde_json::to_value(experiment)?;
        print::print(&read::arms_table(experiment, document), format, &mut out)?;
    }
    if seen.is_empty() {
        let counts = &view.counts;
        writeln!(
            stderr(),
            "no experiment: {} calls, {} of them with an arm; `armspan explain` says why",
            counts.calls,
            counts.with_arm
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn view(args: &Replay) -> Result<View> {
    let files = &args.files.files;
    if let [dir] = files.as_slice()
        && replay::is_data(dir)
    {
        let progress = progress::Counter::new("entries read");
        return Ok(replay::log(dir, &|done| progress.at(done))?.view());
    }
    if let Some(dir) = files.iter().find(|path| path.is_dir()) {
        bail!(
            "{} is no data folder of armspan; name OTLP files, or one data folder",
            dir.display()
        );
    }
    let config = load(args.files.config.as_deref())?;
    let progress = progress::Counter::new("requests read");
    let fold = replay::otlp(&config, files, &mut Blind, &|done| progress.at(done))?;
    Ok(fold.engine.view())
}

/// The config of commands that read files.
pub fn load(path: Option<&Path>) -> Result<Config> {
    Ok(config::load(path, &config::process_env, &Flags::default())?)
}
