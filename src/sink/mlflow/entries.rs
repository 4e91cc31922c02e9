//! What a record is in MLflow's words: params, metrics with their time, and tags. All of it is a
//! function of the cut, so a repeat writes what is there already.

use super::batch::{Entry, Pair, Point};
use super::keys;
use crate::model::delivery::{Cut, hour_of};
use crate::model::record::{MetricLine, RunRecord};
use crate::model::view::ArmView;
use serde_json::{Map, Value as Json};

/// Characters of a param that MLflow keeps; it would cut the rest without a word.
pub const PARAM_MAX: usize = 6_000;
/// Characters of a tag that MLflow keeps.
pub const TAG_MAX: usize = 8_000;
/// The tag by which a run is found again.
pub const RUN_ID: &str = "armspan.run_id";
/// The position of the log that the run's tags show.
pub const POSITION: &str = "armspan.position";
/// The start of tags of an epoch.
pub const EPOCH: &str = "armspan.epoch.";
/// The start of tags with the state of a verdict.
const VERDICT: &str = "armspan.verdict.";
/// Other tags that a run has in some epochs only.
const PASSING: [&str; 5] = [
    "armspan.cases.count",
    "armspan.cases.inputs",
    "armspan.decision",
    "armspan.gate",
    "armspan.sample_ratio",
];

/// A param with its full text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Param {
    /// Its key.
    pub key: String,
    /// Its text, however long.
    pub text: String,
}

/// The time of a record's figures in histories.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// Milliseconds since the Unix epoch.
    pub at: i64,
    /// Hours since the Unix epoch.
    pub step: u64,
}

/// Milliseconds since the Unix epoch of an RFC 3339 time.
pub fn millis(at: &str) -> i64 {
    at.parse::<jiff::Timestamp>().map_or(0, |time| time.as_millisecond())
}

// === impl Stamp ===

impl Stamp {
    /// The cut's time; for an epoch that another one of the run has followed, its own end, so the
    /// last value of a history is always one of the newest epoch.
    pub fn of(record: &RunRecord, cut: &Cut) -> Self {
        if !is_superseded(record, cut) {
            return Stamp { at: (cut.at / 1_000_000).cast_signed(), step: cut.hour() };
        }
        let at = millis(&record.window.last_seen);
        let nanos = at.unsigned_abs().saturating_mul(1_000_000);
        Stamp { at, step: hour_of(nanos, false) }
    }
}

/// Whether the cut shows a newer epoch of the run.
fn is_superseded(record: &RunRecord, cut: &Cut) -> bool {
    let (id, epoch) = (&record.run.id, record.window.epoch);
    let newer = |other: &RunRecord| other.run.id == *id && other.window.epoch > epoch;
    let live = arm_now(record, cut, |now| now > epoch);
    cut.records.iter().any(newer) || live.is_some_and(|arm| arm.runs.contains(id))
}

/// The record's arm as the cut shows it, when the site's present epoch is one that is wanted.
fn arm_now<'c>(
    record: &RunRecord,
    cut: &'c Cut,
    wanted: impl Fn(u32) -> bool,
) -> Option<&'c ArmView> {
    let experiment = cut.experiments.iter().find(|view| view.name == record.run.experiment)?;
    let site = experiment.sites.iter().find(|view| view.site == record.run.site)?;
    let arm = site.arms.iter().find(|view| view.arm == record.run.arm)?;
    wanted(site.epoch).then_some(arm)
}

/// Params: all facets by path, and what makes the run's id.
pub fn params(record: &RunRecord) -> Vec<Param> {
    let run = &record.run;
    let mut out = Vec::new();
    flatten("", &record.config, &mut out);
    for (key, text) in [
        ("armspan.experiment", &run.experiment),
        ("armspan.arm", &run.arm),
        ("armspan.site", &run.site),
        ("armspan.mode", &run.mode),
        ("armspan.fingerprint", &run.fingerprint),
    ] {
        out.push(Param { key: key.to_owned(), text: text.clone() });
    }
    out
}

fn flatten(path: &str, map: &Map<String, Json>, out: &mut Vec<Param>) {
    for (name, value) in map {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match value {
            Json::Object(inner) => flatten(&path, inner, out),
            Json::String(text) => out.push(Param { key: keys::clean(&path), text: text.clone() }),
            other => out.push(Param { key: keys::clean(&path), text: other.to_string() }),
        }
    }
}

/// The param as it is logged, and for one that is too long where its whole text is.
pub fn short(param: &Param) -> (Entry, Option<String>) {
    let path = format!("armspan/params/{}.txt", param.key);
    let value = cut_to(&param.text, PARAM_MAX, &path);
    let whole = (value != param.text).then_some(path);
    (Entry::Param(Pair { key: param.key.clone(), value }), whole)
}

/// The text, or its start and a remark on where the rest is.
pub fn cut_to(text: &str, chars_max: usize, whole: &str) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let remark = format!("… (cut by armspan; all of it: artifact {whole})");
    let start: String = text.chars().take(chars_max - remark.chars().count()).collect();
    start + &remark
}

/// The figures of a record.
pub fn metrics(record: &RunRecord, stamp: Stamp) -> Vec<Entry> {
    let mut values = traffic(record);
    for (line, key) in record.metrics.iter().zip(keys::of_metrics(&record.metrics)) {
        values.extend(figures(line).into_iter().map(|(end, value)| (format!("{key}{end}"), value)));
    }
    let point = |(key, value): (String, f64)| {
        Entry::Metric(Point { key, value, timestamp: stamp.at, step: stamp.step })
    };
    values.into_iter().filter(|(_, value)| value.is_finite()).map(point).collect()
}

fn traffic(record: &RunRecord) -> Vec<(String, f64)> {
    let traffic = &record.traffic;
    let mut out = vec![
        ("traffic/calls".to_owned(), traffic.calls as f64),
        ("traffic/units".to_owned(), traffic.units as f64),
        ("traffic/duplicates".to_owned(), traffic.duplicates as f64),
        ("traffic/late".to_owned(), traffic.late as f64),
        ("traffic/crossover_units".to_owned(), traffic.crossover_units as f64),
        ("traffic/epoch".to_owned(), f64::from(record.window.epoch)),
    ];
    let ratio = record.sample_ratio.as_ref();
    out.extend(ratio.and_then(|ratio| Some(("sample_ratio/log_e".to_owned(), ratio.log_e?))));
    out.extend(ratio.and_then(|ratio| Some(("sample_ratio/p".to_owned(), ratio.p?))));
    for facet in &record.evidence.facets {
        out.push((format!("evidence/{}", keys::clean(&facet.facet)), facet.share));
    }
    out
}

/// The figures of a metric by the ends of their keys; what is not known is left out.
fn figures(line: &MetricLine) -> Vec<(&'static str, f64)> {
    let Some(level) = &line.level else { return Vec::new() };
    let mut out =
        vec![("", Some(level.estimate)), ("/lower", level.lower), ("/upper", level.upper)];
    if level.method != "count" {
        out.push(("/calls", Some(line.calls as f64)));
    }
    out.push(("/scored", line.scored.map(|scored| scored as f64)));
    out.push(("/units", line.units.map(|units| units as f64)));
    if let Some(difference) = &line.difference {
        out.extend([
            ("/difference", Some(difference.estimate)),
            ("/difference_lower", difference.lower),
            ("/difference_upper", difference.upper),
            ("/log_e", difference.log_e),
            ("/p", difference.p),
        ]);
    }
    out.into_iter().filter_map(|(end, value)| Some((end, value?))).collect()
}

/// Tags of the record's epoch.
pub fn epoch_tags(record: &RunRecord, cut: &Cut) -> Vec<Entry> {
    let (window, traffic) = (&record.window, &record.traffic);
    let tag =
        |name: &str, value: String| Entry::tag(format!("{EPOCH}{}.{name}", window.epoch), value);
    let mut out = vec![
        tag("first_seen", window.first_seen.clone()),
        tag("last_seen", window.last_seen.clone()),
        tag("closed", window.closed.to_string()),
        tag("calls", traffic.calls.to_string()),
        tag("units", traffic.units.to_string()),
    ];
    let verdicts: Vec<String> =
        verdicts(record).into_iter().map(|(key, state)| format!("{key}={state}")).collect();
    if !verdicts.is_empty() {
        let path = super::artifacts::record_path(window.epoch);
        out.push(tag("verdicts", cut_to(&verdicts.join(", "), TAG_MAX, &path)));
    }
    out.push(tag("position", cut.position.to_string()));
    out
}

/// Keys and states of the verdicts that decide.
fn verdicts(record: &RunRecord) -> Vec<(String, String)> {
    let keys = keys::of_metrics(&record.metrics);
    let lines = record.metrics.iter().zip(keys);
    let state = |(line, key): (&MetricLine, String)| {
        let verdict = line.verdict.as_ref().filter(|verdict| verdict.decides)?;
        Some((key, verdict.state.clone()))
    };
    lines.filter_map(state).collect()
}

/// Whether a tag may be gone in a later epoch.
pub fn is_passing(key: &str) -> bool {
    key.starts_with(VERDICT) || PASSING.contains(&key)
}

/// Tags of the run as its newest epoch has it.
pub fn head_tags(record: &RunRecord, cut: &Cut, note: &str) -> Vec<Entry> {
    let mut out = identity_tags(record);
    for (key, state) in verdicts(record) {
        out.push(Entry::tag(format!("{VERDICT}{key}"), state));
    }
    out.push(Entry::tag("armspan.evidence", record.evidence.grade.clone()));
    out.push(Entry::tag("armspan.epoch", record.window.epoch.to_string()));
    if let Some(ratio) = &record.sample_ratio {
        out.push(Entry::tag("armspan.sample_ratio", ratio.state.clone()));
    }
    let decision = arm_now(record, cut, |now| now == record.window.epoch);
    if let Some(decision) = decision.and_then(|arm| arm.decision.as_ref()) {
        out.push(Entry::tag("armspan.decision", decision.action.clone()));
        out.push(Entry::tag("armspan.gate", gate(&decision.gate)));
    }
    if let Some(cases) = &record.cases {
        out.push(Entry::tag("armspan.cases.count", cases.count.to_string()));
        out.push(Entry::tag("armspan.cases.inputs", cases.inputs.clone()));
    }
    for (key, value) in source(record) {
        out.push(Entry::tag(key, cut_to(&value, TAG_MAX, super::artifacts::REPORT)));
    }
    let note = cut_to(note, TAG_MAX, super::artifacts::REPORT);
    out.push(Entry::tag("mlflow.note.content", note));
    out.push(Entry::tag(POSITION, cut.position.to_string()));
    out
}

fn gate(gate: &crate::model::verdict::Gate) -> String {
    let value = serde_json::to_value(gate).unwrap_or_default();
    value.as_str().unwrap_or("unknown").to_owned()
}

/// Tags that a run has from the moment it is made.
pub fn identity_tags(record: &RunRecord) -> Vec<Entry> {
    let run = &record.run;
    let mut out = vec![
        Entry::tag(RUN_ID, run.id.clone()),
        Entry::tag("armspan.experiment", run.experiment.clone()),
        Entry::tag("armspan.arm", run.arm.clone()),
        Entry::tag("armspan.site", run.site.clone()),
        Entry::tag("armspan.control", run.control.to_string()),
        Entry::tag("armspan.mode", run.mode.clone()),
        Entry::tag("armspan.fingerprint", run.fingerprint.clone()),
        Entry::tag("armspan.version", record.collector.version.clone()),
        Entry::tag("mlflow.runName", name(record)),
        Entry::tag("mlflow.user", "armspan"),
        Entry::tag("mlflow.source.type", "JOB"),
    ];
    for (what, is) in [("partial", run.partial), ("overflow", run.overflow)] {
        if is {
            out.push(Entry::tag(format!("armspan.{what}"), "true"));
        }
    }
    out
}

/// The code that served most of the calls.
fn source(record: &RunRecord) -> Vec<(&'static str, String)> {
    let code = record.observed.iter().find(|observed| observed.field == "code");
    let of = |key: &str| {
        let mut values = code.into_iter().flat_map(|code| &code.values);
        Some(values.find_map(|value| value.value[key].as_str())?.to_owned())
    };
    let name = of("service").unwrap_or_else(|| "armspan".to_owned());
    let mut out = vec![("mlflow.source.name", name)];
    out.extend(of("commit").map(|commit| ("mlflow.source.git.commit", commit)));
    out.extend(of("version").map(|version| ("armspan.code.version", version)));
    out
}

/// What the run is called in lists: its arm, its site and the start of its id.
pub fn name(record: &RunRecord) -> String {
    let run = &record.run;
    format!("{}-{}-{}", run.arm, run.site, crate::model::human::run(&run.id))
}
