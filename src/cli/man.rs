//! `armspan man DIR`: a manual page for each command, from the same text as `--help`.

use anyhow::{Context as _, Result};
use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The heading under which [`super::examples`] stand in a help text.
const EXAMPLES: &str = "Examples:\n";

/// What every page says of exit codes.
const EXITS: [(&str, &str); 8] = [
    ("0", "it went well"),
    ("1", "an error, which is told on standard error"),
    ("2", "the command line is wrong"),
    ("10", "the gate failed: a guardrail is breached or a quality metric regressed"),
    ("11", "the gate is inconclusive, with --fail-on inconclusive"),
    ("12", "the evidence is insufficient or invalid, or there is nothing to judge"),
    ("74", "the disk failed: what was acknowledged is kept, nothing more is taken"),
    ("130", "interrupted"),
];

/// Writes a page for a command and for each below it; gives their paths.
pub fn write(command: Command, dir: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut paths = Vec::new();
    below(&command, dir, &mut paths)?;
    Ok(paths)
}

fn below(command: &Command, dir: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let path = dir.join(format!("{name}.1"));
    let text = page(command, &name)?;
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    paths.push(path);
    for command in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        below(command, dir, paths)?;
    }
    Ok(())
}

fn page(command: &Command, name: &str) -> io::Result<Vec<u8>> {
    let version = concat!("armspan ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).title(name).source(version).manual("armspan manual");
    let mut out = Vec::new();
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    man.render_description_section(&mut out)?;
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        man.render_options_section(&mut out)?;
    }
    if command.get_subcommands().any(|below| !below.is_hide_set()) {
        man.render_subcommands_section(&mut out)?;
    }
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    if let Some(lines) = help.strip_prefix(EXAMPLES) {
        let mut roff = Roff::new();
        roff.control("SH", ["EXAMPLES"]).control("nf", []);
        for line in lines.lines() {
            roff.text([roman(line)]);
        }
        roff.control("fi", []).to_writer(&mut out)?;
    }
    exits().to_writer(&mut out)?;
    out.flush()?;
    Ok(out)
}

fn exits() -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in EXITS {
        roff.control("TP", []).text([roman(code)]).text([roman(meaning)]);
    }
    roff
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Args;
    use clap::CommandFactory;

    #[test]
    fn each_command_has_a_page_with_its_examples() {
        let dir = tempfile::tempdir().expect("folder");
        let paths = write(Args::command(), dir.path()).expect("written");
        let name = |path: &PathBuf| path.file_name().expect("name").to_string_lossy().into_owned();
        let names: Vec<String> = paths.iter().map(name).collect();
        for wanted in ["armspan.1", "armspan-serve.1", "armspan-arms-watch.1", "armspan-man.1"] {
            assert!(names.iter().any(|name| name == wanted), "{wanted} of {names:?}");
        }
        assert!(!names.iter().any(|name| name.contains("help")), "{names:?}");
        let page = fs::read_to_string(dir.path().join("armspan-arms-watch.1")).expect("a page");
        assert!(page.contains(".SH EXAMPLES") && page.contains("support"), "{page}");
        assert!(page.contains("armspan arms watch") && page.contains("EXIT STATUS"), "{page}");
    }
}
