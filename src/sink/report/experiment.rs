//! An experiment in Markdown: a table of arms per call site, what was decided, what changed. The
//! step summary of a CI run and the comment on a pull request show the same.

use crate::model::human;
use crate::model::markdown::{code, code_cell, link, prose};
use crate::model::metric::Role;
use crate::model::record::{Change, MetricLine};
use crate::model::view::{ArmView, ExperimentView, SiteView};
use serde_json::Value as Json;
use std::fmt::Write as _;

/// Metrics in the table: more do not fit on a page.
const COLUMNS_MAX: usize = 6;
/// Runs named per arm.
const RUNS_MAX: usize = 3;

/// Where more is to be seen.
#[derive(Clone, Copy, Default)]
pub struct Links<'a> {
    /// The dashboard, without a slash at its end.
    pub dashboard: Option<&'a str>,
    /// The artifacts of the CI run.
    pub artifacts: Option<&'a str>,
}

// === impl Links ===

impl Links<'_> {
    /// The experiment's name, as a link where there is a dashboard.
    pub fn experiment(&self, name: &str) -> String {
        match self.dashboard {
            Some(dashboard) => link(name, &format!("{dashboard}/")),
            None => prose(name),
        }
    }

    /// A run's short id, as a link where there is a dashboard.
    pub fn run(&self, id: &str) -> String {
        match self.dashboard {
            Some(dashboard) => link(human::run(id), &format!("{dashboard}/runs/{id}")),
            None => code(human::run(id)),
        }
    }
}

/// A line and an empty one.
pub fn line(out: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{text}\n");
}

/// Every call site of an experiment.
pub fn sites(out: &mut String, experiment: &ExperimentView, links: &Links<'_>) {
    for site in &experiment.sites {
        of_site(out, site, links);
    }
}

/// Who says it, as of when; `at` is RFC 3339.
pub fn foot(out: &mut String, at: &str, position: u64, links: &Links<'_>) {
    let artifacts = links.artifacts.map(|url| format!(" · {}", link("artifacts", url)));
    line(
        out,
        &format!(
            "<sub>armspan {} · as of {} · log position {position}{}</sub>",
            env!("CARGO_PKG_VERSION"),
            prose(&human::minute(at)),
            artifacts.unwrap_or_default()
        ),
    );
}

fn of_site(out: &mut String, site: &SiteView, links: &Links<'_>) {
    let (name, calls) = (prose(&site.site), human::count(site.calls));
    line(out, &format!("**Site {name}** · epoch {} · {calls} calls", site.epoch));
    let names = columns(site);
    let heads: Vec<String> = names.iter().map(|name| prose(name)).collect();
    let _ = writeln!(out, "| arm | calls | units | {} | decision | runs |", heads.join(" | "));
    let _ = writeln!(out, "|---|--:|--:|{}---|---|", "--:|".repeat(names.len()));
    for arm in &site.arms {
        row(out, arm, &names, links);
    }
    out.push('\n');
    for metric in site.arms.iter().flat_map(|arm| &arm.metrics) {
        verdict(out, metric);
    }
    for what in &site.changes {
        change(out, what);
    }
    out.push('\n');
}

/// What was decided of a metric that decides.
fn verdict(out: &mut String, metric: &MetricLine) {
    let Some(verdict) = metric.verdict.as_ref().filter(|v| v.decides) else { return };
    let (sign, state) = (sign(&verdict.state, metric.role), &verdict.state);
    let _ = writeln!(out, "- {sign} **{}** {}", prose(state), prose(&verdict.sentence));
}

fn change(out: &mut String, change: &Change) {
    let arm = match change.arm.as_str() {
        "" => String::new(),
        arm => format!(" in {}", prose(arm)),
    };
    let value = |json: &Option<Json>| match json {
        Some(Json::String(text)) => code(text),
        Some(other) => code(&other.to_string()),
        None => "nothing".to_owned(),
    };
    let (from, to) = (value(&change.from), value(&change.to));
    let (at, field) = (prose(&human::minute(&change.at)), prose(&change.field));
    let _ = writeln!(out, "- :arrows_counterclockwise: {at} {field}{arm}: {from} → {to}");
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
        let line = arm.line(name)?;
        line.level.as_ref()?;
        let difference = line.difference.as_ref();
        let difference =
            difference.map(|d| format!(" ({})", human::difference(d.estimate, &line.unit)));
        Some(format!("{}{}", human::line(line), difference.unwrap_or_default()))
    };
    let cells: Vec<String> =
        names.iter().map(|name| cell(name).unwrap_or_else(|| "–".to_owned())).collect();
    let control = if arm.control { " (control)" } else { "" };
    let decision = arm.decision.as_ref().map_or("–", |decision| decision.action.as_str());
    let runs: Vec<String> = arm.runs.iter().take(RUNS_MAX).map(|id| links.run(id)).collect();
    let (calls, units) = (human::count(arm.calls), human::count(arm.units));
    let (name, cells, runs) = (code_cell(&arm.arm), cells.join(" | "), runs.join(" "));
    let _ =
        writeln!(out, "| {name}{control} | {calls} | {units} | {cells} | {decision} | {runs} |");
}

fn sign(state: &str, role: Role) -> &'static str {
    match state {
        // A guardrail that is worse within what is allowed fails no gate.
        "regressed" if role == Role::Guardrail => ":warning:",
        "breached" | "regressed" => ":red_circle:",
        "better" | "healthy" => ":green_circle:",
        "invalid" => ":warning:",
        _ => ":white_circle:",
    }
}
