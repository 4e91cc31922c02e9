//! `armspan check`: what is wrong with a config, and where; or the config as it takes effect.

use super::args::{Check, Format};
use super::{ERROR, dry_run, print};
use crate::config;
use anyhow::Result;
use std::io::Write;
use std::process::ExitCode;

/// Checks and prints; talk goes to `talk`.
pub fn check(
    args: &Check,
    format: Format,
    out: &mut impl Write,
    talk: &mut impl Write,
) -> Result<ExitCode> {
    if args.print_schema {
        writeln!(out, "{:#}", config::schema())?;
        return Ok(ExitCode::SUCCESS);
    }
    let config =
        config::load(args.config.as_deref(), &config::process_env, &config::Flags::default())?;
    if args.print_effective {
        match format {
            Format::Json => writeln!(out, "{:#}", config.effective_json())?,
            Format::Jsonl => writeln!(out, "{}", config.effective_json())?,
            _ => write!(out, "{}", config.effective())?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    let name = match &args.config {
        Some(path) => path.display().to_string(),
        None => "no file, all defaults".to_owned(),
    };
    let settings = config.settings();
    let (experiments, metrics) = (settings.experiments.len(), settings.metrics.len());
    writeln!(talk, "config is fine ({name}): {experiments} experiments, {metrics} metrics")?;
    if args.dry_run.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let (data, missing) = dry_run::dry_run(args, &config)?;
    print::print(&data, format, out)?;
    Ok(if missing { ExitCode::from(ERROR) } else { ExitCode::SUCCESS })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_config_is_a_config() {
        let args = Check { print_effective: true, ..Check::default() };
        let (mut out, mut talk) = (Vec::new(), Vec::new());
        check(&args, Format::Table, &mut out, &mut talk).expect("fine");
        let text = String::from_utf8(out).expect("text");
        assert!(text.contains("listen:") && talk.is_empty());
    }
}
