//! The files of an experiment, in a folder of their own: parameters, metrics with their bounds,
//! curves by hour, the report and the record. DVC finds them by the `dvc.yaml` among them.

use crate::model::RunRecord;
use crate::model::record::MetricLine;
use crate::sink::hourly::Row;
use crate::sink::report;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The folder.
pub const FOLDER: &str = "armspan";
/// The record in the tree of a commit, relative to where DVC is.
pub const RECORD: &str = "armspan/record.json";

/// A file of an experiment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// Relative to where DVC is, with `/`; only letters, digits, `.`, `_`, `-`.
    pub path: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// A metric's column: its name in `metrics.json`, and whose figure it is.
type Column = (&'static str, fn(&MetricLine) -> Option<f64>);

/// What is drawn: the level, and the difference from control, each with its bounds.
const PLOTS: [(&str, [Column; 3]); 2] = [
    (
        "",
        [
            ("value", |line| Some(line.level.as_ref()?.estimate)),
            ("lower", |line| line.level.as_ref()?.lower),
            ("upper", |line| line.level.as_ref()?.upper),
        ],
    ),
    (
        " difference",
        [
            ("difference", |line| Some(line.difference.as_ref()?.estimate)),
            ("difference_lower", |line| line.difference.as_ref()?.lower),
            ("difference_upper", |line| line.difference.as_ref()?.upper),
        ],
    ),
];

/// All files of a record, ordered by path.
pub fn of(record: &RunRecord, rows: &[Row], dashboard: Option<&str>) -> Vec<File> {
    let (plots, mut out) = plots(record, rows);
    let stage = json!({"params": ["params.yaml"], "metrics": ["metrics.json"], "plots": plots});
    for (name, document) in [
        ("dvc.yaml", stage),
        ("params.yaml", params(record)),
        ("metrics.json", metrics(record)),
        ("record.json", serde_json::to_value(record).expect("a record has text keys")),
    ] {
        out.push(file(name, text(&document)));
    }
    out.push(file("report.md", report::markdown(record, dashboard)));
    out.sort_by(|a, b| a.path.cmp(&b.path));
    out
}

/// JSON that is YAML, too: characters that YAML does not take as they are get escaped. They can
/// only be in strings.
fn text(document: &Json) -> String {
    let json = serde_json::to_string_pretty(document).expect("a document is JSON");
    let mut out = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        let escaped = c != '\n' && c.is_control();
        if escaped || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') {
            write!(out, "\\u{:04x}", u32::from(c)).expect("a string takes everything");
        } else {
            out.push(c);
        }
    }
    out.push('\n');
    out
}

fn file(name: &str, text: String) -> File {
    File { path: format!("{FOLDER}/{name}"), bytes: text.into_bytes() }
}

/// The facets, nested as they are, and who the run is.
fn params(record: &RunRecord) -> Json {
    let head = &record.run;
    let mut out = record.config.clone();
    out.insert(
        "armspan".to_owned(),
        json!({
            "experiment": head.experiment,
            "arm": head.arm,
            "site": head.site,
            "epoch": record.window.epoch,
            "run": head.id,
            "fingerprint": head.fingerprint,
            "settings": record.collector.config,
        }),
    );
    Json::Object(out)
}

/// One line a metric; of several graders the first.
fn lines(record: &RunRecord) -> BTreeMap<&str, &MetricLine> {
    let mut out = BTreeMap::new();
    for line in &record.metrics {
        out.entry(line.name.as_str()).or_insert(line);
    }
    out
}

/// Figures and the words that belong to them; what is not known is left out, as DVC drops it.
fn metrics(record: &RunRecord) -> Json {
    let mut out = Map::new();
    for (name, line) in lines(record) {
        let mut own = Map::new();
        for (column, figure) in PLOTS.iter().flat_map(|plot| plot.1) {
            if let Some(value) = figure(line).filter(|value| value.is_finite()) {
                own.insert(column.to_owned(), value.into());
            }
        }
        own.insert("calls".to_owned(), line.calls.into());
        if let Some(verdict) = &line.verdict {
            own.insert("verdict".to_owned(), verdict.state.clone().into());
        }
        out.insert(name.to_owned(), Json::Object(own));
    }
    let traffic = json!({
        "calls": record.traffic.calls,
        "units": record.traffic.units,
        "evidence": record.evidence.grade,
    });
    out.insert("traffic".to_owned(), traffic);
    Json::Object(out)
}

/// The definitions of the plots, and a table for each curve.
fn plots(record: &RunRecord, rows: &[Row]) -> (Vec<Json>, Vec<File>) {
    let (mut definitions, mut files) = (Vec::new(), Vec::new());
    for name in lines(record).into_keys() {
        for (suffix, columns) in &PLOTS {
            let mut curves = Map::new();
            for (column, figure) in columns {
                let path = format!("plots/metrics/{}/{column}.tsv", folder(name));
                if let Some(text) = table(rows, name, column, *figure) {
                    files.push(file(&path, text));
                    curves.insert(path, (*column).into());
                }
            }
            if !curves.is_empty() {
                let plot = json!({"x": "step", "y": curves, "x_label": "hours"});
                definitions.push(json!({format!("{name}{suffix}"): plot}));
            }
        }
    }
    (definitions, files)
}

/// A folder for a metric; equal ones for different metrics are told apart by what was changed.
fn folder(metric: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !metric.is_empty() && metric.len() <= 100 && metric.chars().all(plain) {
        return metric.to_owned();
    }
    let kept: String = metric.chars().take(60).map(|c| if plain(c) { c } else { '_' }).collect();
    let hash = crate::model::canonical::sha256_text(metric.as_bytes());
    format!("_{kept}.{}", &hash[hash.len() - 12..])
}

/// Step and value of the hours in which there is one.
fn table(
    rows: &[Row],
    metric: &str,
    column: &str,
    figure: fn(&MetricLine) -> Option<f64>,
) -> Option<String> {
    let mut out = format!("step\t{column}\n");
    let mut known = false;
    for row in rows {
        let line = row.record.metrics.iter().find(|line| line.name == metric);
        if let Some(value) = line.and_then(figure).filter(|value| value.is_finite()) {
            writeln!(out, "{}\t{value}", row.step).expect("a string takes everything");
            known = true;
        }
    }
    known.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::{hourly, sample};

    #[test]
    fn the_files_are_functions_of_record_and_history() {
        let cut = sample::cut();
        let record = &cut.records[1];
        let rows = hourly::rows(vec![(cut.hour() - 2, record.clone())], cut.hour(), record);
        let files = of(record, &rows, None);
        assert!(files.is_sorted_by(|a, b| a.path < b.path));
        let text = |path: &str| {
            let found = files.iter().find(|file| file.path == path).expect("the file");
            String::from_utf8(found.bytes.clone()).expect("text")
        };
        let curve = text("armspan/plots/metrics/answer_ok/difference_lower.tsv");
        let lower = "0.015021046145654623";
        assert_eq!(curve, format!("step\tdifference_lower\n0\t{lower}\n2\t{lower}\n"));
        let metrics: Json = serde_json::from_str(&text("armspan/metrics.json")).expect("JSON");
        assert_eq!(metrics["answer_ok"]["verdict"], "better");
        assert!(metrics["calls"].get("lower").is_none());
        let params: Json = serde_json::from_str(&text("armspan/params.yaml")).expect("JSON");
        assert_eq!(params["model"]["revision"], "gpt-4o-mini-2024-12-01");
        let held: RunRecord = serde_json::from_str(&text(RECORD)).expect("a record");
        assert_eq!(held.run.id, record.run.id);
    }

    #[test]
    fn metrics_of_any_name_have_a_folder_of_their_own() {
        assert_eq!(folder("latency_p95"), "latency_p95");
        for name in ["", "..", "a/b", "a\tb", &"x".repeat(300), ".git", "a.b"] {
            let folder = folder(name);
            let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            assert!(folder.chars().all(plain) && folder.len() < 80, "{folder}");
            assert!(!folder.starts_with('.'), "{folder}");
        }
        assert_ne!(folder("a/b"), folder("a:b"));
    }
}
