//! The three tables of a cut. Absent means unknown: null, never an empty text or 0.

use super::columns::Columns;
use crate::model::RunRecord;
use crate::model::canonical::sha256_text;
use crate::model::delivery::{Cut, HOUR, Why, WindowRow};
use crate::model::metric::{Direction, Role};
use crate::model::record::{Breach, Difference, GraderLine, Level, MetricLine, Verdict};
use crate::model::view::{ArmView, ExperimentView, SiteView};
use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use serde_json::Value as Json;
use std::slice::Iter;

/// A table of a cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Table {
    /// One row for each minute of a metric of a run.
    Windows,
    /// One row for each metric of an arm at a site, of its current epoch.
    Estimates,
    /// One row for each run record.
    Records,
}

/// A metric of an arm, with where it is.
#[derive(Clone, Copy)]
struct Estimate<'a> {
    experiment: &'a ExperimentView,
    site: &'a SiteView,
    arm: &'a ArmView,
    line: &'a MetricLine,
}

// === impl Table ===

impl Table {
    /// In the order in which they are written: when a cut's records are there, all of it is.
    pub const ALL: [Table; 3] = [Table::Windows, Table::Estimates, Table::Records];

    /// Its folder.
    pub fn name(self) -> &'static str {
        match self {
            Table::Windows => "windows",
            Table::Estimates => "estimates",
            Table::Records => "records",
        }
    }

    /// Its rows.
    pub fn rows(self, cut: &Cut) -> Result<RecordBatch, ArrowError> {
        match self {
            Table::Windows => windows(cut),
            Table::Estimates => estimates(cut),
            Table::Records => records(cut),
        }
    }

    /// A hash of what the rows are made from. It tells the same rows from others even when they
    /// were written by another version, whose bytes differ.
    pub fn content(self, cut: &Cut) -> String {
        let json = match self {
            Table::Windows => serde_json::to_vec(&(cut.position, cut.at, &cut.windows)),
            Table::Estimates => serde_json::to_vec(&(cut.position, cut.at, &cut.experiments)),
            Table::Records => serde_json::to_vec(&(cut.position, cut.at, &cut.records)),
        };
        sha256_text(&json.expect("a cut has text keys"))
    }
}

fn whole(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}

/// Which cut each row is from.
fn cut_columns(out: &mut Columns, cut: &Cut, rows: usize) {
    let why = match cut.why {
        Why::Hour => "hour",
        Why::Epoch => "epoch",
        Why::Drain => "drain",
    };
    let times = |value: i64| std::iter::repeat_n(value, rows);
    // `at` alone is a word of SQL.
    out.time("cut_at", times(whole(cut.at / 1_000)));
    out.time("cut_hour", times(whole(cut.hour().saturating_mul(HOUR / 1_000))));
    out.integer("cut_position", times(whole(cut.position)));
    out.text("cut_why", std::iter::repeat_n(why, rows));
}

// === records ===

fn records(cut: &Cut) -> Result<RecordBatch, ArrowError> {
    let mut out = Columns::default();
    let rows = || cut.records.iter();
    cut_columns(&mut out, cut, cut.records.len());
    run_columns(&mut out, rows);
    traffic_columns(&mut out, rows);
    config_columns(&mut out, rows);
    verdict_columns(&mut out, rows);
    out.text("collector_version", rows().map(|r| &r.collector.version));
    out.text("collector_config", rows().map(|r| &r.collector.config));
    out.some_time("exported_at", rows().map(|r| r.collector.exported_at.as_deref()));
    let json = |r: &RunRecord| serde_json::to_string(r).expect("a record has text keys");
    out.text("record", rows().map(json));
    out.finish()
}

fn run_columns<'a>(out: &mut Columns, rows: impl Fn() -> Iter<'a, RunRecord>) {
    out.text("run", rows().map(|r| &r.run.id));
    out.text("experiment", rows().map(|r| &r.run.experiment));
    out.text("site", rows().map(|r| &r.run.site));
    out.text("arm", rows().map(|r| &r.run.arm));
    out.flag("control", rows().map(|r| r.run.control));
    out.text("mode", rows().map(|r| &r.run.mode));
    out.text("fingerprint", rows().map(|r| &r.run.fingerprint));
    out.flag("partial", rows().map(|r| r.run.partial));
    out.flag("overflow", rows().map(|r| r.run.overflow));
    out.integer("epoch", rows().map(|r| r.window.epoch.into()));
    out.flag("closed", rows().map(|r| r.window.closed));
    out.some_time("first_seen", rows().map(|r| Some(r.window.first_seen.as_str())));
    out.some_time("last_seen", rows().map(|r| Some(r.window.last_seen.as_str())));
}

fn traffic_columns<'a>(out: &mut Columns, rows: impl Fn() -> Iter<'a, RunRecord>) {
    out.integer("calls", rows().map(|r| r.traffic.calls));
    out.integer("units", rows().map(|r| r.traffic.units));
    out.text("unit", rows().map(|r| &r.traffic.unit));
    out.integer("duplicates", rows().map(|r| r.traffic.duplicates));
    out.integer("late", rows().map(|r| r.traffic.late));
    out.integer("crossover_units", rows().map(|r| r.traffic.crossover_units));
    out.text("evidence_grade", rows().map(|r| &r.evidence.grade));
    out.integer("evidence_calls", rows().map(|r| r.evidence.calls));
}

/// A facet by its path: `model.revision`.
fn facet<'a>(record: &'a RunRecord, path: &str) -> Option<&'a Json> {
    let (group, name) = path.split_once('.')?;
    record.config.get(group)?.get(name)
}

fn config_columns<'a>(out: &mut Columns, rows: impl Fn() -> Iter<'a, RunRecord>) {
    const TEXTS: [&str; 11] = [
        "model.provider",
        "model.requested",
        "model.revision",
        "prompt.name",
        "prompt.version",
        "prompt.hash",
        "tools.hash",
        "retrieval.source",
        "retrieval.snapshot",
        "safety.policy",
        "sampling.reasoning_level",
    ];
    const NUMBERS: [&str; 6] = [
        "sampling.temperature",
        "sampling.top_p",
        "sampling.top_k",
        "sampling.max_tokens",
        "sampling.frequency_penalty",
        "sampling.presence_penalty",
    ];
    for path in TEXTS {
        out.some_text(&path.replace('.', "_"), rows().map(|r| facet(r, path)?.as_str()));
    }
    for path in NUMBERS {
        out.some_number(&path.replace('.', "_"), rows().map(|r| facet(r, path)?.as_f64()));
    }
    let json = |r: &RunRecord| serde_json::to_string(&r.config).expect("facets have text keys");
    out.text("config", rows().map(json));
}

fn verdict_columns<'a>(out: &mut Columns, rows: impl Fn() -> Iter<'a, RunRecord>) {
    let ratio = |r: &'a RunRecord| r.sample_ratio.as_ref();
    out.some_text("sample_ratio", rows().map(|r| Some(&ratio(r)?.state)));
    out.some_number("sample_ratio_log_e", rows().map(|r| ratio(r)?.log_e));
    out.some_number("sample_ratio_p", rows().map(|r| ratio(r)?.p));
    out.pairs("verdicts", ["metric", "state"], rows().map(decided));
}

/// The state of each metric of the run that decides.
fn decided(record: &RunRecord) -> Vec<[&str; 2]> {
    let mut out = Vec::new();
    for line in &record.metrics {
        if let Some(verdict) = line.verdict.as_ref().filter(|verdict| verdict.decides) {
            out.push([line.name.as_str(), verdict.state.as_str()]);
        }
    }
    out
}

// === estimates ===

fn estimates(cut: &Cut) -> Result<RecordBatch, ArrowError> {
    let all = lines(cut);
    let mut out = Columns::default();
    let rows = || all.iter();
    cut_columns(&mut out, cut, all.len());
    place_columns(&mut out, rows);
    level_columns(&mut out, rows);
    difference_columns(&mut out, rows);
    state_columns(&mut out, rows);
    out.finish()
}

fn lines(cut: &Cut) -> Vec<Estimate<'_>> {
    let mut out = Vec::new();
    for experiment in &cut.experiments {
        for site in &experiment.sites {
            for arm in &site.arms {
                let of = |line| Estimate { experiment, site, arm, line };
                out.extend(arm.metrics.iter().map(of));
            }
        }
    }
    out
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Quality => "quality",
        Role::Guardrail => "guardrail",
        Role::Info => "info",
    }
}

fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Increase => "increase",
        Direction::Decrease => "decrease",
        Direction::Unknown => "unknown",
    }
}

fn place_columns<'a, 'c: 'a>(out: &mut Columns, rows: impl Fn() -> Iter<'a, Estimate<'c>>) {
    let grader = |r: &'a Estimate<'c>| -> Option<&'a GraderLine> { r.line.grader.as_ref() };
    out.text("experiment", rows().map(|r| &r.experiment.name));
    out.text("site", rows().map(|r| &r.site.site));
    out.integer("epoch", rows().map(|r| r.site.epoch.into()));
    out.text("arm", rows().map(|r| &r.arm.arm));
    out.flag("control", rows().map(|r| r.arm.control));
    out.text("metric", rows().map(|r| &r.line.name));
    out.some_text("grader", rows().map(|r| grader(r)?.name.as_ref()));
    out.some_text("grader_version", rows().map(|r| grader(r)?.version.as_ref()));
    out.some_text("grader_model", rows().map(|r| grader(r)?.model.as_ref()));
    out.text("role", rows().map(|r| role(r.line.role)));
    out.text("direction", rows().map(|r| direction(r.line.direction)));
    out.text("unit", rows().map(|r| &r.line.unit));
    out.text("definition", rows().map(|r| &r.line.definition));
}

fn level_columns<'a, 'c: 'a>(out: &mut Columns, rows: impl Fn() -> Iter<'a, Estimate<'c>>) {
    let level = |r: &'a Estimate<'c>| -> Option<&'a Level> { r.line.level.as_ref() };
    out.integer("calls", rows().map(|r| r.line.calls));
    out.some_integer("scored", rows().map(|r| r.line.scored));
    out.some_integer("units", rows().map(|r| r.line.units));
    out.some_number("estimate", rows().map(|r| Some(level(r)?.estimate)));
    out.some_number("lower", rows().map(|r| level(r)?.lower));
    out.some_number("upper", rows().map(|r| level(r)?.upper));
    out.some_number("confidence", rows().map(|r| level(r)?.confidence));
    out.some_text("method", rows().map(|r| Some(&level(r)?.method)));
}

fn difference_columns<'a, 'c: 'a>(out: &mut Columns, rows: impl Fn() -> Iter<'a, Estimate<'c>>) {
    let found = |r: &'a Estimate<'c>| -> Option<&'a Difference> { r.line.difference.as_ref() };
    out.some_text("difference_from", rows().map(|r| Some(&found(r)?.from)));
    out.some_number("difference", rows().map(|r| Some(found(r)?.estimate)));
    out.some_number("difference_lower", rows().map(|r| found(r)?.lower));
    out.some_number("difference_upper", rows().map(|r| found(r)?.upper));
    out.some_number("difference_confidence", rows().map(|r| found(r)?.confidence));
    out.some_text("difference_method", rows().map(|r| Some(&found(r)?.method)));
    out.some_number("log_e", rows().map(|r| found(r)?.log_e));
    out.some_number("p", rows().map(|r| found(r)?.p));
}

fn state_columns<'a, 'c: 'a>(out: &mut Columns, rows: impl Fn() -> Iter<'a, Estimate<'c>>) {
    let verdict = |r: &'a Estimate<'c>| -> Option<&'a Verdict> { r.line.verdict.as_ref() };
    let breach = |r: &'a Estimate<'c>| -> Option<&'a Breach> { verdict(r)?.breach.as_ref() };
    out.some_text("verdict", rows().map(|r| Some(&verdict(r)?.state)));
    out.some_texts("reasons", rows().map(|r| Some(verdict(r)?.reasons.as_slice())));
    let sentence = |r| Some(&verdict(r)?.sentence).filter(|text| !text.is_empty());
    out.some_text("sentence", rows().map(sentence));
    out.some_flag("discovery", rows().map(|r| Some(verdict(r)?.discovery)));
    out.some_flag("decides", rows().map(|r| Some(verdict(r)?.decides)));
    out.some_time("since", rows().map(|r| verdict(r)?.since.as_deref()));
    out.some_integer("breach_epoch", rows().map(|r| Some(breach(r)?.epoch.into())));
    out.some_time("breached_at", rows().map(|r| Some(breach(r)?.at.as_str())));
    out.some_text("breach_reason", rows().map(|r| Some(&breach(r)?.reason)));
    let decision = |r: &'a Estimate<'c>| r.arm.decision.as_ref();
    out.some_text("arm_decision", rows().map(|r| Some(&decision(r)?.action)));
}

// === windows ===

fn windows(cut: &Cut) -> Result<RecordBatch, ArrowError> {
    let mut out = Columns::default();
    let rows = || -> Iter<'_, WindowRow> { cut.windows.iter() };
    cut_columns(&mut out, cut, cut.windows.len());
    out.some_time("minute", rows().map(|r| Some(r.at.as_str())));
    out.text("experiment", rows().map(|r| &r.experiment));
    out.text("site", rows().map(|r| &r.site));
    out.integer("epoch", rows().map(|r| r.epoch.into()));
    out.text("arm", rows().map(|r| &r.arm));
    out.text("run", rows().map(|r| &r.run));
    out.text("metric", rows().map(|r| &r.metric));
    out.number("n", rows().map(|r| r.n));
    out.some_number("level", rows().map(|r| r.level));
    out.finish()
}
