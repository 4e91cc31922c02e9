//! Experiments and runs on the server: looked up before they are made, because MLflow itself
//! would make a second one of the same name.

use super::entries::{self, EPOCH, RUN_ID};
use super::rest::{self, Rest, V2};
use crate::model::RunRecord;
use crate::sink::Failure;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

/// A run as the server has it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Run {
    /// MLflow's id of it.
    pub id: String,
    /// MLflow's id of its experiment.
    pub experiment: String,
    /// Where its files are.
    pub artifact_uri: String,
    /// `RUNNING`, `FINISHED`, …
    pub status: String,
    /// Milliseconds since the Unix epoch.
    pub end_time: Option<i64>,
    /// Its params.
    pub params: BTreeMap<String, String>,
    /// Its tags that a later epoch may not have.
    pub passing: BTreeSet<String>,
    /// For each epoch the position of the log whose figures it has.
    pub epochs: BTreeMap<u32, u64>,
    /// The logged models that it made.
    pub models: BTreeSet<String>,
    /// Whether the logged model was seen to by this process.
    pub has_model: bool,
}

/// The id of an experiment, which is made when there is none of the name.
pub async fn experiment(rest: &Rest, name: &str) -> Result<String, Failure> {
    if let Some(id) = experiment_named(rest, name).await? {
        return Ok(id);
    }
    let body = json!({"name": name, "tags": [
        {"key": "mlflow.note.content", "value": "Runs of online evals, delivered by armspan."},
    ]});
    let (answer, what) = rest.try_post(&format!("{V2}/experiments/create"), &body).await?;
    // Another client was faster.
    if rest::code(&answer).as_deref() == Some("RESOURCE_ALREADY_EXISTS") {
        let made = experiment_named(rest, name).await?;
        return made.ok_or_else(|| Failure::later(format!("{what}: exists and cannot be read")));
    }
    rest::ok(answer.clone(), &what)?;
    let made: Json = serde_json::from_slice(&answer.body).unwrap_or_default();
    text(&made["experiment_id"], &what)
}

async fn experiment_named(rest: &Rest, name: &str) -> Result<Option<String>, Failure> {
    let path = format!("{V2}/experiments/get-by-name");
    let found = rest.find(&path, &[("experiment_name", name)]).await?;
    let Some(found) = found else { return Ok(None) };
    let id = text(&found["experiment"]["experiment_id"], &path)?;
    if found["experiment"]["lifecycle_stage"] == "deleted" {
        return Err(Failure::refused(format!(
            "mlflow: the experiment {name:?} was deleted: restore it with `mlflow experiments \
             restore --experiment-id {id}`, or name another one in the sink; then deliver again \
             with `armspan export mlflow`"
        )));
    }
    Ok(Some(id))
}

/// The run with the record's id; `None` when there is none yet.
pub async fn find(
    rest: &Rest,
    experiment: &str,
    record: &RunRecord,
) -> Result<Option<Run>, Failure> {
    let id = &record.run.id;
    if !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Failure::refused(format!("mlflow: {id:?} is no run id")));
    }
    let found = rest
        .post(
            &format!("{V2}/runs/search"),
            &json!({
                "experiment_ids": [experiment],
                "filter": format!("tags.`{RUN_ID}` = '{id}'"),
                "run_view_type": "ALL",
                "max_results": 2,
                "order_by": ["attributes.start_time ASC"],
            }),
        )
        .await?;
    let runs = found["runs"].as_array().map_or(&[][..], Vec::as_slice);
    let Some(first) = runs.first() else { return Ok(None) };
    let run = Run::read(first)?;
    if runs.len() > 1 {
        tracing::warn!(run = %id, mlflow = %run.id, "several MLflow runs have the tag {RUN_ID} of one run; the oldest is taken");
    }
    if first["info"]["lifecycle_stage"] == "deleted" {
        return Err(Failure::refused(format!(
            "mlflow: the run {} (armspan run {id}) was deleted: restore it with `mlflow runs \
             restore --run-id {}`, then deliver again with `armspan export mlflow`",
            run.id, run.id
        )));
    }
    Ok(Some(run))
}

/// Makes the run; `start` in milliseconds since the Unix epoch.
pub async fn create(
    rest: &Rest,
    experiment: &str,
    record: &RunRecord,
    start: i64,
) -> Result<Run, Failure> {
    let tags: Vec<Json> = entries::identity_tags(record)
        .into_iter()
        .filter_map(|entry| match entry {
            super::batch::Entry::Tag(pair) => Some(json!(pair)),
            _ => None,
        })
        .collect();
    let body = json!({
        "experiment_id": experiment,
        "run_name": entries::name(record),
        "start_time": start,
        "tags": tags,
    });
    let made = rest.post(&format!("{V2}/runs/create"), &body).await?;
    Run::read(&made["run"])
}

/// Sets the run's status, unless it is that already. MLflow cannot take an end back: the end of a
/// run that was opened again moves along with what was seen last.
pub async fn set_status(rest: &Rest, run: &mut Run, record: &RunRecord) -> Result<(), Failure> {
    let status = if record.window.closed { "FINISHED" } else { "RUNNING" };
    let ends = record.window.closed || run.end_time.is_some();
    let end_time = ends.then(|| entries::millis(&record.window.last_seen));
    if run.status == status && run.end_time == end_time {
        return Ok(());
    }
    let mut body = json!({"run_id": run.id, "status": status});
    if let Some(end) = end_time {
        body["end_time"] = json!(end);
    }
    rest.post(&format!("{V2}/runs/update"), &body).await?;
    (run.status, run.end_time) = (status.to_owned(), end_time);
    Ok(())
}

// === impl Run ===

impl Run {
    /// Reads what the server says of a run.
    fn read(run: &Json) -> Result<Self, Failure> {
        let (info, data) = (&run["info"], &run["data"]);
        let mut read = Run {
            id: text(&info["run_id"], "run")?,
            experiment: text(&info["experiment_id"], "run")?,
            artifact_uri: info["artifact_uri"].as_str().unwrap_or_default().to_owned(),
            status: info["status"].as_str().unwrap_or_default().to_owned(),
            end_time: info["end_time"].as_i64().filter(|end| *end > 0),
            params: pairs(&data["params"]).collect(),
            ..Run::default()
        };
        for (key, value) in pairs(&data["tags"]) {
            read.note_tag(&key, &value);
        }
        let models = run["outputs"]["model_outputs"].as_array().into_iter().flatten();
        read.models =
            models.filter_map(|model| model["model_id"].as_str()).map(str::to_owned).collect();
        Ok(read)
    }

    /// Keeps of a tag what later deliveries ask for.
    pub fn note_tag(&mut self, key: &str, value: &str) {
        if entries::is_passing(key) {
            self.passing.insert(key.to_owned());
        }
        let epoch = key.strip_prefix(EPOCH).and_then(|rest| rest.strip_suffix(".position"));
        if let (Some(Ok(epoch)), Ok(position)) = (epoch.map(str::parse), value.parse()) {
            self.epochs.insert(epoch, position);
        }
    }

    /// Whether it has figures of the epoch that are newer than those of a position: then the
    /// cut is an old one that comes again.
    pub fn is_past(&self, epoch: u32, position: u64) -> bool {
        self.epochs.get(&epoch).is_some_and(|known| *known > position)
    }

    /// Whether an epoch is its newest.
    pub fn is_newest(&self, epoch: u32) -> bool {
        self.epochs.keys().next_back().is_none_or(|newest| *newest <= epoch)
    }
}

fn pairs(list: &Json) -> impl Iterator<Item = (String, String)> {
    list.as_array().into_iter().flatten().filter_map(|pair| {
        Some((pair["key"].as_str()?.to_owned(), pair["value"].as_str().unwrap_or("").to_owned()))
    })
}

fn text(value: &Json, what: &str) -> Result<String, Failure> {
    let found = value.as_str().map(str::to_owned);
    found.ok_or_else(|| Failure::later(format!("mlflow: {what}: the answer has no id")))
}
