//! A run record and its history as the records of an offline run.
//!
//! The step of a row counts hours from the run's first one, so curves are to scale and lie above
//! each other; the hour itself, since the Unix epoch, is the metric `hour`.

use super::Failure;
use super::files::{RECORD, REPORT};
use super::log::Log;
use super::proto::{self, Kind};
use crate::model::RunRecord;
use crate::model::canonical::hex;
use crate::model::delivery::HOUR;
use crate::model::human;
use crate::model::record::MetricLine;
use crate::sink::{hourly, report};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use md5::{Digest, Md5};
use prost::Message as _;
use serde_json::{Map, Value as Json, json};
use sha2::Sha256;
use std::collections::BTreeMap;
use std::path::Path;

/// The oldest client that reads this.
const MIN_CONSUMER: &str = "0.70.0";
/// Uploaded at the end.
const POLICY_END: i32 = 1;
/// The type of the artifact.
const ARTIFACT: &str = "armspan-run-record";
/// Characters of a tag.
const TAG_CHARS_MAX: usize = 64;
/// Characters of group, job type and name.
const NAME_CHARS_MAX: usize = 128;

/// Whose run it is and how it is linked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Named {
    /// Team or user.
    pub entity: String,
    /// Project.
    pub project: String,
    /// Where people open the dashboard.
    pub dashboard: Option<String>,
}

/// The history of a run, one row an hour.
#[derive(Clone, PartialEq, Debug)]
pub struct Rows {
    /// When the run began.
    pub began: Timestamp,
    ended: Timestamp,
    rows: Vec<Row>,
}

#[derive(Clone, PartialEq, Debug)]
struct Row {
    step: i64,
    hour: u64,
    at: Timestamp,
    values: BTreeMap<String, Json>,
}

/// The id of the run of a record: a run that is in two epochs is two runs here.
pub fn id(record: &RunRecord) -> String {
    format!("{}-e{}", human::run(&record.run.id), record.window.epoch)
}

/// The run's files: name and bytes.
pub fn files(record: &RunRecord, dashboard: Option<&str>) -> Vec<(&'static str, Vec<u8>)> {
    let mut json = serde_json::to_vec_pretty(record).expect("a record has text keys");
    json.push(b'\n');
    vec![(RECORD, json), (REPORT, report::markdown(record, dashboard).into_bytes())]
}

/// The bytes of the `.wandb` file. `folder` is where the files will be: the client reads the
/// artifact's from there.
pub fn log(
    record: &RunRecord,
    rows: &Rows,
    named: &Named,
    folder: &Path,
    files: &[(&str, Vec<u8>)],
) -> Vec<u8> {
    let mut kinds = vec![
        header(&record.collector.version),
        Kind::Run(run(record, rows, named)),
        Kind::Files(proto::Files { files: files.iter().map(|(name, _)| file(name)).collect() }),
    ];
    kinds.extend(rows.history());
    kinds.push(Kind::Summary(proto::Summary { update: items(summary(record, rows)) }));
    kinds.push(Kind::Artifact(artifact(record, named, folder, files)));
    kinds.push(Kind::Exit(proto::Exit { exit_code: 0, runtime: rows.seconds() }));
    let mut log = Log::new();
    for (num, kind) in (1..).zip(kinds) {
        log.append(&proto::Record { num, kind: Some(kind) }.encode_to_vec());
    }
    log.into_bytes()
}

fn header(version: &str) -> Kind {
    let version = proto::Version {
        producer: format!("armspan-{version}"),
        min_consumer: MIN_CONSUMER.to_owned(),
    };
    Kind::Header(proto::Header { version_info: Some(version) })
}

fn file(name: &str) -> proto::File {
    proto::File { path: name.to_owned(), policy: POLICY_END }
}

fn run(record: &RunRecord, rows: &Rows, named: &Named) -> proto::Run {
    let (head, window) = (&record.run, &record.window);
    let short = human::run(&head.id);
    let began = prost_types::Timestamp {
        seconds: rows.began.as_second(),
        nanos: rows.began.subsec_nanosecond(),
    };
    proto::Run {
        run_id: id(record),
        entity: named.entity.clone(),
        project: named.project.clone(),
        config: Some(proto::Config { update: items(config(record)) }),
        run_group: clipped(&head.experiment, NAME_CHARS_MAX),
        job_type: clipped(&head.arm, NAME_CHARS_MAX),
        display_name: clipped(
            &format!("{} {short} epoch {}", head.arm, window.epoch),
            NAME_CHARS_MAX,
        ),
        notes: notes(record, named.dashboard.as_deref()),
        tags: tags(record),
        start_time: Some(began),
        git: report::commit(record).map(|commit| proto::Git { commit: commit.to_owned() }),
    }
}

fn notes(record: &RunRecord, dashboard: Option<&str>) -> String {
    let verdicts = record.metrics.iter().filter_map(|line| line.verdict.as_ref());
    let mut lines: Vec<String> = verdicts
        .filter(|verdict| verdict.decides && !verdict.sentence.is_empty())
        .map(|verdict| verdict.sentence.clone())
        .collect();
    lines.extend(dashboard.map(|base| format!("{base}/runs/{}", record.run.id)));
    lines.join("\n")
}

fn tags(record: &RunRecord) -> Vec<String> {
    let head = &record.run;
    let named = [("experiment", &head.experiment), ("arm", &head.arm), ("site", &head.site)];
    let mut out: Vec<String> = named
        .iter()
        .map(|(key, value)| clipped(&format!("{key}:{value}"), TAG_CHARS_MAX))
        .collect();
    out.extend(report::states(record).iter().map(|state| format!("verdict:{state}")));
    out
}

/// The facets as they are, nested, and who the run is under `armspan`.
fn config(record: &RunRecord) -> BTreeMap<String, Json> {
    let mut out: BTreeMap<String, Json> =
        record.config.iter().map(|(key, value)| (unreserved(key), value.clone())).collect();
    out.insert("armspan".to_owned(), identity(record));
    out
}

fn identity(record: &RunRecord) -> Json {
    let head = &record.run;
    json!({
        "run": head.id,
        "fingerprint": head.fingerprint,
        "experiment": head.experiment,
        "arm": head.arm,
        "control": head.control,
        "site": head.site,
        "mode": head.mode,
        "epoch": record.window.epoch,
        "evidence": record.evidence.grade,
        "unit": record.traffic.unit,
        "settings": record.collector.config,
    })
}

/// The last row, and the words that belong to it.
fn summary(record: &RunRecord, rows: &Rows) -> BTreeMap<String, Json> {
    let mut out = rows.last();
    for line in &record.metrics {
        if let Some(verdict) = &line.verdict {
            let key = format!("{}/verdict", unreserved(&line.name));
            out.entry(key).or_insert_with(|| verdict.state.clone().into());
        }
    }
    out.insert("evidence/grade".to_owned(), record.evidence.grade.clone().into());
    if let Some(ratio) = &record.sample_ratio {
        out.insert("sample_ratio/state".to_owned(), ratio.state.clone().into());
    }
    out
}

/// The figures of a record. Intervals are not of 95 %, so the keys do not say that.
fn figures(record: &RunRecord) -> BTreeMap<String, Json> {
    let mut out = BTreeMap::new();
    for line in &record.metrics {
        for (key, value) in metric(line) {
            // Of several graders the first.
            out.entry(key).or_insert(value);
        }
    }
    out.insert("traffic/calls".to_owned(), record.traffic.calls.into());
    out.insert("traffic/units".to_owned(), record.traffic.units.into());
    out
}

fn metric(line: &MetricLine) -> Vec<(String, Json)> {
    let mut values: Vec<(&str, Option<f64>)> = Vec::new();
    if let Some(level) = &line.level {
        values.push(("", Some(level.estimate)));
        values.extend([("/lower", level.lower), ("/upper", level.upper)]);
    }
    if let Some(found) = &line.difference {
        values.push(("/difference", Some(found.estimate)));
        values.extend([("/difference_lower", found.lower), ("/difference_upper", found.upper)]);
        values.push(("/p", found.p));
    }
    // What is not finite has no JSON.
    let known = values.into_iter().filter_map(|(end, value)| Some((end, value?)));
    let finite = known.filter(|(_, value)| value.is_finite());
    let name = unreserved(&line.name);
    finite.map(|(end, value)| (format!("{name}{end}"), value.into())).collect()
}

fn artifact(
    record: &RunRecord,
    named: &Named,
    folder: &Path,
    files: &[(&str, Vec<u8>)],
) -> proto::Artifact {
    let contents: Vec<proto::Entry> =
        files.iter().map(|(name, bytes)| entry(folder, name, bytes)).collect();
    let name = format!("record-{}", id(record));
    let digest = manifest_digest(&contents);
    let sequence = format!("{}/{}/{name}", named.entity, named.project);
    let policy = proto::PolicyItem { key: "storageLayout".into(), value_json: "\"V2\"".into() };
    let mut metadata = Map::new();
    metadata.insert("armspan".to_owned(), identity(record));
    proto::Artifact {
        run_id: id(record),
        project: named.project.clone(),
        entity: named.entity.clone(),
        kind: ARTIFACT.to_owned(),
        metadata: Json::Object(metadata).to_string(),
        aliases: vec!["latest".to_owned(), format!("epoch-{}", record.window.epoch)],
        manifest: Some(proto::Manifest {
            version: 1,
            storage_policy: "wandb-storage-policy-v1".into(),
            storage_policy_config: vec![policy],
            contents,
        }),
        finalize: true,
        client_id: client_id(&format!("{sequence}:{digest}")),
        sequence_client_id: client_id(&sequence),
        digest_algorithm: "MANIFEST_MD5".into(),
        name,
        digest,
    }
}

fn entry(folder: &Path, name: &str, bytes: &[u8]) -> proto::Entry {
    proto::Entry {
        path: name.to_owned(),
        digest: STANDARD.encode(Md5::digest(bytes)),
        size: i64::try_from(bytes.len()).expect("a record is small"),
        local_path: folder.join(name).to_string_lossy().into_owned(),
    }
}

/// As the client computes it: over paths and digests in the order of the paths.
fn manifest_digest(contents: &[proto::Entry]) -> String {
    let mut lines: Vec<String> =
        contents.iter().map(|entry| format!("{}:{}\n", entry.path, entry.digest)).collect();
    lines.sort();
    hex(&Md5::digest(format!("wandb-artifact-manifest-v1\n{}", lines.concat())))
}

/// The client draws 128 characters by chance; here they follow from what is named, so that a
/// repeat names the same version.
fn client_id(of: &str) -> String {
    let half = |salt: &str| hex(&Sha256::digest(format!("armspan {salt} {of}")));
    half("a") + &half("b")
}

fn items(values: BTreeMap<String, Json>) -> Vec<proto::Item> {
    let item = |(key, value): (String, Json)| proto::Item { key, value_json: value.to_string() };
    values.into_iter().map(item).collect()
}

/// Keys with a leading underscore are the client's own.
fn unreserved(key: &str) -> String {
    if key.starts_with('_') { format!("x{key}") } else { key.to_owned() }
}

fn clipped(text: &str, chars_max: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(chars_max).collect()
}

// === impl Rows ===

impl Rows {
    /// From the records of the past and the present one; of an hour the last one counts.
    pub fn new(past: Vec<(u64, RunRecord)>, hour: u64, now: &RunRecord) -> Result<Self, Failure> {
        let time = |text: &str| {
            text.parse::<Timestamp>().map_err(|error| {
                let run = id(now);
                Failure::refused(format!("run {run}: {text:?} is no time ({error}); not written"))
            })
        };
        let mut rows = Vec::new();
        for hourly::Row { step, hour, record } in hourly::rows(past, hour, now) {
            let at = match &record.collector.exported_at {
                Some(text) => time(text)?,
                None => end_of(hour),
            };
            let step = i64::try_from(step).unwrap_or(i64::MAX);
            rows.push(Row { step, hour, at, values: figures(&record) });
        }
        Ok(Rows { began: time(&now.window.first_seen)?, ended: time(&now.window.last_seen)?, rows })
    }

    fn history(&self) -> impl Iterator<Item = Kind> {
        self.rows.iter().map(|row| {
            let step = proto::Step { num: row.step };
            Kind::History(proto::History { item: items(self.values(row)), step: Some(step) })
        })
    }

    fn last(&self) -> BTreeMap<String, Json> {
        self.rows.last().map(|row| self.values(row)).unwrap_or_default()
    }

    fn values(&self, row: &Row) -> BTreeMap<String, Json> {
        let seconds = row.at.duration_since(self.began).as_secs_f64();
        let mut out = row.values.clone();
        out.insert("hour".to_owned(), row.hour.into());
        out.insert("_step".to_owned(), row.step.into());
        out.insert("_timestamp".to_owned(), (row.at.as_microsecond() as f64 / 1e6).into());
        out.insert("_runtime".to_owned(), seconds.max(0.0).into());
        out
    }

    /// How long the run was, in whole seconds.
    fn seconds(&self) -> i32 {
        i32::try_from(self.ended.duration_since(self.began).as_secs().max(0)).unwrap_or(i32::MAX)
    }
}

/// The end of an hour.
fn end_of(hour: u64) -> Timestamp {
    let seconds = (hour + 1).saturating_mul(HOUR / 1_000_000_000);
    i64::try_from(seconds).ok().and_then(|s| Timestamp::from_second(s).ok()).unwrap_or_default()
}
