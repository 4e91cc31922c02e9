//! A comparison as Markdown, to paste into an issue or a pull request. It is a function of the
//! comparison; names and values are strangers', so none of them can become anything but text.

use crate::compare::words::missing_arm;
use crate::compare::{Comparison, FacetDifference, MetricContrast, RunSide};
use crate::model::human;
use crate::model::markdown::{bounded, code, code_cell, json_cell, prose};
use serde_json::Value as Json;

/// Bytes at most; comments on pull requests take 65,536 characters.
pub const BYTES_MAX: usize = 60_000;
/// What stands where it was cut.
const CUT: &str = "\n*Cut here; the page has all of it.*\n";

/// The text, at most [`BYTES_MAX`] bytes, cut on a line's end.
pub fn text(found: &Comparison) -> String {
    let (a, b) = (human::run(&found.a), human::run(&found.b));
    let head = format!("## Run {} against run {}\n", code(a), code(b));
    let mut parts = vec![head, format!("{}\n", prose(&found.attribution.sentence))];
    let arm = found.attribution.missing_arm.as_ref().map(missing_arm);
    parts.extend(arm.map(|arm| format!("{}\n", prose(&arm))));
    parts.extend(found.attribution.limits.iter().map(|limit| format!("{}\n", prose(limit))));
    parts.push(sides(found));
    parts.push(facets(found));
    parts.push(metrics(found));
    parts.extend(found.metrics.iter().map(|metric| effects(found, metric)));
    parts.retain(|part| !part.is_empty());
    bounded(parts.join("\n"), BYTES_MAX, CUT)
}

/// A table; cells are Markdown already.
fn table(head: &[String], rule: &str, rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rows: String = rows.map(|row| line(&row)).collect();
    format!("{}{rule}\n{rows}", line(head))
}

fn sides(found: &Comparison) -> String {
    let row = |id: &str, side: &RunSide| {
        let control = if side.control { " (control)" } else { "" };
        vec![
            code_cell(human::run(id)),
            code_cell(&side.experiment),
            code_cell(&side.site),
            format!("{}{control}", code_cell(&side.arm)),
            side.epoch.to_string(),
            human::count(side.calls),
            human::count(side.units),
            human::minute(&side.last_seen),
        ]
    };
    let head = ["run", "experiment", "site", "arm", "epoch", "calls", "units", "last seen, UTC"];
    let rows = [row(&found.a, &found.run_a), row(&found.b, &found.run_b)];
    table(&head.map(str::to_owned), "|---|---|---|---|---:|---:|---:|---|", rows.into_iter())
}

fn facets(found: &Comparison) -> String {
    let [a, b] = found.names();
    let leaf = |json: Option<&Json>| json.map_or("unknown".to_owned(), json_cell);
    let row = |facet: &FacetDifference| {
        vec![code_cell(&facet.facet), leaf(facet.a.as_ref()), leaf(facet.b.as_ref())]
    };
    let apart = found.differing.iter().chain(&found.missing).map(row);
    let equal = found.equal_text();
    if found.differing.is_empty() && found.missing.is_empty() {
        return format!("{equal}\n");
    }
    let head = ["facet".to_owned(), code_cell(&a), code_cell(&b)];
    format!("{}\n{equal}\n", table(&head, "|---|---|---|", apart))
}

fn metrics(found: &Comparison) -> String {
    let [a, b] = found.names().map(|name| code_cell(&name));
    let row = |metric: &MetricContrast| {
        vec![
            code_cell(&found.named(metric)),
            metric.level(metric.a),
            metric.level(metric.b),
            metric.signed(metric.difference),
            metric.interval(),
            metric.confidence_text(),
        ]
    };
    if found.metrics.is_empty() {
        return String::new();
    }
    let minus = format!("{b} − {a}");
    let head = ["metric".to_owned(), a, b, minus, "interval".into(), "confidence".into()];
    table(&head, "|---|---:|---:|---:|---|---:|", found.metrics.iter().map(row))
}

fn effects(found: &Comparison, metric: &MetricContrast) -> String {
    let lines = metric.effect_lines();
    if lines.is_empty() {
        return String::new();
    }
    let head = [format!("effect on {}", code_cell(&found.named(metric)))];
    let head = [&head[..], &["estimate".to_owned(), "interval".to_owned()]].concat();
    let rows =
        lines.into_iter().map(|line| vec![code_cell(&line.text), line.estimate, line.interval]);
    table(&head, "|---|---:|---|", rows)
}
