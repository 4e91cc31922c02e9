//! The Markdown summary of a cut: a table per experiment and site, verdicts as sentences, run
//! ids. GitHub drops a summary above 1024 KiB as a whole, so ours ends well before that.

use crate::model::delivery::Cut;
use crate::model::human;
use crate::model::id::rfc3339;
use crate::model::markdown::{bounded, code, code_cell, link, prose};
use crate::model::record::MetricLine;
use crate::model::view::{ArmView, ExperimentView, SiteView};
use std::fmt::Write as _;

/// Bytes of the whole file.
pub const BYTES_MAX: usize = 1_000_000;
/// What begins and ends our part of the file.
const BEGIN: &str = "<!-- armspan:summary -->\n";
const END: &str = "<!-- /armspan:summary -->\n";
/// What stands where it was cut.
const CUT: &str = "\n*The summary was cut here: it has a limit of size.*\n";
/// Metrics in the table: more do not fit on a page.
const COLUMNS_MAX: usize = 6;
/// Runs named per arm.
const RUNS_MAX: usize = 3;

/// Where more is to be seen.
pub struct Links<'a> {
    /// The dashboard, without a slash at its end.
    pub dashboard: Option<&'a str>,
    /// The artifacts of the CI run.
    pub artifacts: Option<&'a str>,
}

/// A file's text with our part replaced, or added at its end.
pub fn into(there: &str, cut: &Cut, links: &Links<'_>) -> String {
    let (before, after) = match there.split_once(BEGIN) {
        Some((before, rest)) => (before, rest.split_once(END).map_or("", |pair| pair.1)),
        None => (there, ""),
    };
    let gap = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
    let others = before.len() + gap.len() + after.len() + BEGIN.len() + END.len();
    let room = BYTES_MAX.saturating_sub(others).max(CUT.len());
    format!("{before}{gap}{BEGIN}{}{END}{after}", bounded(summary(cut, links), room, CUT))
}

/// Our part.
fn summary(cut: &Cut, links: &Links<'_>) -> String {
    let mut out = String::new();
    for experiment in &cut.experiments {
        one(&mut out, experiment, links);
    }
    let artifacts = links.artifacts.map(|url| format!(" · {}", link("artifacts", url)));
    line(
        &mut out,
        &format!(
            "<sub>armspan {} · as of {} · log position {}{}</sub>",
            env!("CARGO_PKG_VERSION"),
            human::minute(&rfc3339(cut.at)),
            cut.position,
            artifacts.unwrap_or_default()
        ),
    );
    out
}

fn line(out: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{text}\n");
}

fn one(out: &mut String, experiment: &ExperimentView, links: &Links<'_>) {
    let name = match links.dashboard {
        Some(dashboard) => link(&experiment.name, &format!("{dashboard}/")),
        None => prose(&experiment.name),
    };
    line(out, &format!("## {name}"));
    if let Some(ratio) = experiment.sample_ratio.as_ref().filter(|r| r.state == "mismatch") {
        let p = ratio.p.map(|p| format!(" (p = {p:.1e})")).unwrap_or_default();
        line(out, &format!(":warning: **Sample ratio mismatch**{p}: no verdict can be trusted."));
    }
    for site in &experiment.sites {
        of_site(out, site, links);
    }
}

fn of_site(out: &mut String, site: &SiteView, links: &Links<'_>) {
    line(
        out,
        &format!(
            "**Site {}** · epoch {} · {} calls",
            prose(&site.site),
            site.epoch,
            human::count(site.calls)
        ),
    );
    let names = columns(site);
    let heads: Vec<String> = names.iter().map(|name| prose(name)).collect();
    let _ = writeln!(out, "| arm | calls | units | {} | decision | runs |", heads.join(" | "));
    let _ = writeln!(out, "|---|--:|--:|{}---|---|", "--:|".repeat(names.len()));
    for arm in &site.arms {
        row(out, arm, &names, links);
    }
    out.push('\n');
    for metric in site.arms.iter().flat_map(|arm| &arm.metrics) {
        let Some(verdict) = metric.verdict.as_ref().filter(|v| v.decides) else { continue };
        let _ = writeln!(
            out,
            "- {} **{}** {}",
            sign(&verdict.state),
            verdict.state,
            prose(&verdict.sentence)
        );
    }
    for change in &site.changes {
        let arm = if change.arm.is_empty() {
            String::new()
        } else {
            format!(" in {}", prose(&change.arm))
        };
        let value = |json: &Option<serde_json::Value>| match json {
            Some(serde_json::Value::String(text)) => code(text),
            Some(other) => code(&other.to_string()),
            None => "nothing".to_owned(),
        };
        let (from, to) = (value(&change.from), value(&change.to));
        let _ = writeln!(
            out,
            "- :arrows_counterclockwise: {} {}{arm}: {from} → {to}",
            human::minute(&change.at),
            prose(&change.field)
        );
    }
    out.push('\n');
}

/// Metrics that decide come first, then those with a level.
fn columns(site: &SiteView) -> Vec<String> {
    let lines = || site.arms.iter().flat_map(|arm| arm.metrics.iter());
    let decides = |line: &&MetricLine| line.verdict.as_ref().is_some_and(|v| v.decides);
    let mut names: Vec<String> = Vec::new();
    for line in lines().filter(decides).chain(lines().filter(|line| line.level.is_some())) {
        if !names.contains(&line.name) {
            names.push(line.name.clone());
        }
    }
    names.truncate(COLUMNS_MAX);
    names
}

fn row(out: &mut String, arm: &ArmView, names: &[String], links: &Links<'_>) {
    let cell = |name: &String| {
        let line = arm.metrics.iter().find(|line| line.name == *name)?;
        let level = line.level.as_ref().map(|level| human::level(level.estimate, &line.unit))?;
        let difference = line.difference.as_ref();
        let difference =
            difference.map(|d| format!(" ({})", human::difference(d.estimate, &line.unit)));
        Some(format!("{level}{}", difference.unwrap_or_default()))
    };
    let cells: Vec<String> =
        names.iter().map(|name| cell(name).unwrap_or_else(|| "–".to_owned())).collect();
    let control = if arm.control { " (control)" } else { "" };
    let decision = arm.decision.as_ref().map_or("–", |decision| decision.action.as_str());
    let runs: Vec<String> = arm.runs.iter().take(RUNS_MAX).map(|id| run(id, links)).collect();
    let (calls, units) = (human::count(arm.calls), human::count(arm.units));
    let (name, cells, runs) = (code_cell(&arm.arm), cells.join(" | "), runs.join(" "));
    let _ =
        writeln!(out, "| {name}{control} | {calls} | {units} | {cells} | {decision} | {runs} |");
}

fn run(id: &str, links: &Links<'_>) -> String {
    match links.dashboard {
        Some(dashboard) => link(human::run(id), &format!("{dashboard}/runs/{id}")),
        None => code(human::run(id)),
    }
}

fn sign(state: &str) -> &'static str {
    match state {
        "breached" | "regressed" => ":red_circle:",
        "better" | "healthy" => ":green_circle:",
        "invalid" => ":warning:",
        _ => ":white_circle:",
    }
}
