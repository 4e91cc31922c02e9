//! A run record as Markdown, for tools that show a text beside a run: what was tested, on what
//! evidence, what came out, and where to look. It is a function of the record, so the same record
//! gives the same bytes.
//!
//! Values come from traffic, so none is trusted: in tables they stand in code spans, in prose
//! their punctuation is escaped, and only web addresses become links.

pub mod comment;
pub mod experiment;
pub mod junit;

use crate::model::RunRecord;
use crate::model::human;
use crate::model::markdown::{bounded, code, code_cell, json_cell, link, prose};
use crate::model::record::{Difference, Level, MetricLine};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Bytes of a report at most; comments on pull requests take 65,536 characters.
pub const BYTES_MAX: usize = 60_000;

/// What stands where a report was cut.
const CUT: &str = "\n*The report was cut here; the record has all of it.*\n";

/// The report of a run; `dashboard` is the address of the dashboard, without a slash at its end.
/// At most [`BYTES_MAX`] bytes, cut on a line's end.
pub fn markdown(record: &RunRecord, dashboard: Option<&str>) -> String {
    let mut out = String::new();
    head(&mut out, record, dashboard);
    tested(&mut out, record);
    evidence(&mut out, record);
    traffic(&mut out, record);
    metrics(&mut out, record);
    sample_ratio(&mut out, record);
    changes(&mut out, record);
    links(&mut out, record);
    foot(&mut out, record);
    bounded(out, BYTES_MAX, CUT)
}

/// The commit that most calls of the run ran under, as its services said it.
pub fn commit(record: &RunRecord) -> Option<&str> {
    let mut calls: BTreeMap<&str, i64> = BTreeMap::new();
    let code = record.observed.iter().filter(|observed| observed.field == "code");
    for value in code.flat_map(|observed| &observed.values) {
        if let Some(commit) = value.value.get("commit").and_then(Json::as_str) {
            *calls.entry(commit).or_default() += value.calls;
        }
    }
    // Of equals the first by name: the answer must not depend on their order.
    calls.into_iter().rev().max_by_key(|pair| pair.1).map(|pair| pair.0)
}

/// The leaves of a nested object by their dotted paths.
pub fn leaves(config: &Map<String, Json>) -> Vec<(String, &Json)> {
    let mut out = Vec::new();
    for (key, value) in config {
        match value {
            Json::Object(inner) if !inner.is_empty() => {
                out.extend(
                    leaves(inner).into_iter().map(|(path, leaf)| (format!("{key}.{path}"), leaf)),
                );
            }
            _ => out.push((key.clone(), value)),
        }
    }
    out
}

/// The states of the verdicts that decide, each once, in the order of their metrics.
pub fn states(record: &RunRecord) -> Vec<&str> {
    let mut out: Vec<&str> = Vec::new();
    for verdict in record.metrics.iter().filter_map(|line| line.verdict.as_ref()) {
        if verdict.decides && !out.contains(&verdict.state.as_str()) {
            out.push(&verdict.state);
        }
    }
    out
}

/// One line; text cannot fail to take it.
macro_rules! line {
    ($out:expr, $($part:tt)*) => {
        writeln!($out, $($part)*).expect("a string takes everything")
    };
}

fn head(out: &mut String, record: &RunRecord, dashboard: Option<&str>) {
    let (run, window) = (&record.run, &record.window);
    let short = human::run(&run.id);
    line!(out, "# {}, arm {}: run {}\n", prose(&run.experiment), prose(&run.arm), prose(short));
    let over = if window.closed { "over" } else { "open" };
    let control = if run.control { ", the control arm" } else { "" };
    line!(
        out,
        "An {} run at call site {}{control}; epoch {} ({over}), {} to {} UTC.",
        prose(&run.mode),
        code(&run.site),
        window.epoch,
        prose(&human::minute(&window.first_seen)),
        prose(&human::minute(&window.last_seen)),
    );
    if run.partial {
        line!(out, "\nIts facets fit several other runs, and it belongs to none of them for sure.");
    }
    if run.overflow {
        line!(out, "\nIt collects all runs above the limit of live runs.");
    }
    if let Some(base) = dashboard {
        line!(out, "\n{}", link("Open it in the dashboard", &format!("{base}/runs/{}", run.id)));
    }
}

fn tested(out: &mut String, record: &RunRecord) {
    line!(out, "\n## What was tested\n");
    let facets = leaves(&record.config);
    if facets.is_empty() {
        line!(out, "Its calls named no facet.");
    } else {
        line!(out, "| facet | value |\n|---|---|");
    }
    for (path, value) in facets {
        line!(out, "| {} | {} |", code_cell(&path), json_cell(value));
    }
    if let Some(commit) = commit(record) {
        line!(out, "\nCommit of most calls: {}.", code(commit));
    }
    line!(out, "\nFingerprint: {}.", code(&record.run.fingerprint));
    if let Some(cases) = &record.cases {
        line!(out, "\nCases: {}, inputs {}.", cases.count, code(&cases.inputs));
    }
}

fn evidence(out: &mut String, record: &RunRecord) {
    let evidence = &record.evidence;
    let calls = human::count(evidence.calls);
    line!(out, "\n## Evidence\n\nGrade {} on {calls} calls.", prose(&evidence.grade));
    if evidence.facets.is_empty() {
        return;
    }
    line!(out, "\n| required facet | on calls | share | missing from |\n|---|---:|---:|---|");
    for facet in &evidence.facets {
        let missing = facet.missing_from.iter();
        let missing: Vec<String> = missing
            .map(|service| format!("{} ({})", code_cell(&service.service), service.calls))
            .collect();
        line!(
            out,
            "| {} | {} | {} | {} |",
            code_cell(&facet.facet),
            human::count(facet.present),
            human::share(facet.share),
            missing.join(", "),
        );
    }
}

fn traffic(out: &mut String, record: &RunRecord) {
    let traffic = &record.traffic;
    line!(
        out,
        "\n## Traffic\n\n{} calls of {} units ({}); {} repeats and {} late calls were not counted; \
         {} units were seen in another arm, too.",
        human::count(traffic.calls),
        human::count(traffic.units),
        code(&traffic.unit),
        human::count(traffic.duplicates),
        human::count(traffic.late),
        human::count(traffic.crossover_units),
    );
}

fn metrics(out: &mut String, record: &RunRecord) {
    if record.metrics.is_empty() {
        return;
    }
    line!(out, "\n## Metrics\n\nLevels are of this run, differences and verdicts of its arm.\n");
    let from = record.metrics.iter().find_map(|line| line.difference.as_ref());
    let from = from.map_or_else(|| "control".to_owned(), |found| code_cell(&found.from));
    line!(
        out,
        "| metric | role | level | interval | difference from {from} | interval | verdict |"
    );
    line!(out, "|---|---|---:|---|---:|---|---|");
    for line in &record.metrics {
        let found = line.difference.as_ref();
        line!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} |",
            code_cell(&line.name),
            role(line),
            human::line(line),
            line.level.as_ref().map(|level| level_interval(line, level)).unwrap_or_default(),
            found.map(|found| human::difference(found.estimate, &line.unit)).unwrap_or_default(),
            found.map(|found| difference_interval(line, found)).unwrap_or_default(),
            line.verdict.as_ref().map(|verdict| prose(&verdict.state)).unwrap_or_default(),
        );
    }
    sentences(out, record);
}

fn sentences(out: &mut String, record: &RunRecord) {
    let verdicts = record.metrics.iter().filter_map(|line| line.verdict.as_ref());
    let worth = verdicts.filter(|verdict| verdict.decides || verdict.discovery);
    let said: Vec<String> = worth
        .filter(|verdict| !verdict.sentence.is_empty())
        .map(|verdict| format!("- {}", prose(&verdict.sentence)))
        .collect();
    if !said.is_empty() {
        line!(out, "\n{}", said.join("\n"));
    }
}

fn role(line: &MetricLine) -> String {
    let role = serde_json::to_value(line.role).expect("a role is a word");
    role.as_str().unwrap_or_default().to_owned()
}

/// `40.1 % to 42.3 % (99.75 %)`: the bounds in the unit of the level, and their confidence.
fn level_interval(line: &MetricLine, level: &Level) -> String {
    let bounds = human::bounds(level, &line.unit);
    bounds.map(|bounds| bounds + &confidence(level.confidence)).unwrap_or_default()
}

fn difference_interval(line: &MetricLine, found: &Difference) -> String {
    let known = found.lower.is_some() || found.upper.is_some();
    let confidence = if known { confidence(found.confidence) } else { String::new() };
    human::interval(found.lower, found.upper, &line.unit) + &confidence
}

fn confidence(share: Option<f64>) -> String {
    share.map(|share| format!(" ({})", human::confidence(share))).unwrap_or_default()
}

fn sample_ratio(out: &mut String, record: &RunRecord) {
    let Some(ratio) = &record.sample_ratio else { return };
    line!(out, "\n## Sample ratio\n");
    let p = ratio.p.map(|p| format!(", p = {}", human::probability(p))).unwrap_or_default();
    line!(out, "Units against the planned shares: {}{p}.\n", prose(&ratio.state));
    line!(out, "| arm | units | planned share |\n|---|---:|---:|");
    for (arm, units) in &ratio.units {
        let planned = ratio.expected.get(arm).map(|share| human::share(*share));
        let planned = planned.unwrap_or_default();
        line!(out, "| {} | {} | {planned} |", code_cell(arm), human::count(*units));
    }
}

fn changes(out: &mut String, record: &RunRecord) {
    if record.changes.is_empty() {
        return;
    }
    line!(out, "\n## Changes\n\n| at | arm | field | from | to |\n|---|---|---|---|---|");
    for change in &record.changes {
        line!(
            out,
            "| {} | {} | {} | {} | {} |",
            code_cell(&change.at),
            code_cell(&change.arm),
            code_cell(&change.field),
            change.from.as_ref().map(json_cell).unwrap_or_default(),
            change.to.as_ref().map(json_cell).unwrap_or_default(),
        );
    }
}

fn links(out: &mut String, record: &RunRecord) {
    if record.links.is_empty() {
        return;
    }
    line!(out, "\n## Traces\n");
    for trace in &record.links {
        let shown = match &trace.href {
            Some(href) => link(&trace.trace_id, href),
            None => code(&trace.trace_id),
        };
        let why = trace.why.as_deref().map(|why| format!(" ({})", prose(why)));
        line!(out, "- {}{}: {shown}", prose(&trace.rel), why.unwrap_or_default());
    }
}

fn foot(out: &mut String, record: &RunRecord) {
    let by = &record.collector;
    let position = record.position();
    let at = by.exported_at.as_deref().map(|at| format!(", {}", prose(at))).unwrap_or_default();
    line!(out, "\n---\narmspan {}, log position {position}{at}.", prose(&by.version));
}

#[cfg(test)]
mod tests;
