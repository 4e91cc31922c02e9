//! MLflow Tracking over its REST interface: one MLflow run for each run, whatever its epochs, with
//! params, metrics that have a history, tags, a note, files, a logged model and datasets.
//!
//! MLflow has no keys that are unique, so every thing is looked up before it is made, and the
//! steps go from the run to what hangs on it: a delivery that was broken off is simply done again.
//! Times and steps are those of the cut; MLflow keeps an equal point of a history once.

mod artifacts;
mod assess;
mod batch;
mod entries;
mod inputs;
mod keys;
mod note;
mod rest;
mod runs;
#[cfg(test)]
mod standin;
#[cfg(test)]
mod tests;

use super::http::Auth;
use super::{Around, Failure, History, Settings, Sink};
use crate::model::delivery::{Body, Cut, Item, ItemKind};
use crate::model::{RunRecord, Secret};
use async_trait::async_trait;
use batch::Entry;
use entries::Stamp;
use rest::{Rest, V2};
use runs::Run;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Where MLflow listens when nobody says otherwise.
const URL: &str = "http://127.0.0.1:5000";
/// Earlier epochs whose records are read for the start of a run that is new to MLflow.
const EPOCHS_BACK_MAX: u32 = 32;
/// Runs whose state on the server is kept in memory.
const RUNS_MAX: usize = 10_000;

/// Settings.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The tracking server.
    #[arg(long, value_name = "URL", default_value = URL)]
    pub url: String,
    /// The MLflow experiment that takes the runs; absent: one of the same name for each
    /// experiment of armspan.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[arg(id = "into", long = "into", value_name = "NAME")]
    pub experiment: Option<String>,
    /// User of MLflow's basic authentication.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[arg(long, value_name = "NAME")]
    pub username: Option<String>,
    /// Its password.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub password: Secret,
    /// Bearer token, for a proxy before MLflow.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub token: Secret,
}

/// An open sink.
#[derive(Debug)]
pub struct Mlflow {
    rest: Rest,
    into: Option<String>,
    dashboard: Option<String>,
    experiments: BTreeMap<String, String>,
    runs: BTreeMap<(String, String), Run>,
    /// It was said that files cannot be delivered.
    warned: bool,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Config {
            url: URL.to_owned(),
            experiment: None,
            username: None,
            password: Secret::default(),
            token: Secret::default(),
        }
    }
}

impl Config {
    fn auth(&self) -> Auth {
        match (&self.username, self.token.reveal()) {
            (Some(user), _) => Auth::Basic(user.clone(), self.password.clone()),
            (None, Some(_)) => Auth::Bearer(self.token.clone()),
            (None, None) => Auth::None,
        }
    }

    /// The URL without a slash at its end.
    fn base(&self) -> &str {
        self.url.trim_end_matches('/')
    }

    fn url_fault(&self) -> Option<String> {
        let Ok(url) = reqwest::Url::parse(&self.url) else {
            return Some("is no URL: name it as http://HOST:PORT".to_owned());
        };
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Some("must begin with http:// or https:// and name a host".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Some("holds credentials: move them to username and password".to_owned());
        }
        let more = url.query().is_some() || url.fragment().is_some();
        more.then(|| "must end with its path: leave out what follows ? or #".to_owned())
    }
}

impl Settings for Config {
    fn target(&self) -> String {
        match &self.experiment {
            Some(name) => format!("{}#{name}", self.base()),
            None => self.base().to_owned(),
        }
    }

    fn faults(&self) -> Vec<(&'static str, String)> {
        let mut out = Vec::new();
        out.extend(self.url_fault().map(|what| ("url", what)));
        if self.experiment.as_ref().is_some_and(|name| name.trim().is_empty()) {
            out.push(("experiment", "is empty: name an MLflow experiment, or leave it out".into()));
        }
        if self.username.is_some() && self.token.reveal().is_some() {
            out.push(("token", "cannot be used with username: leave one of them out".into()));
        }
        if self.username.is_none() && self.password.reveal().is_some() {
            out.push(("password", "needs username".into()));
        }
        out
    }

    fn open(&self, around: &Around) -> Result<Box<dyn Sink>, Failure> {
        Ok(Box::new(Mlflow {
            rest: Rest::new(self)?,
            into: self.experiment.clone(),
            dashboard: around.dashboard.clone(),
            experiments: BTreeMap::new(),
            runs: BTreeMap::new(),
            warned: false,
        }))
    }
}

#[async_trait]
impl Sink for Mlflow {
    fn takes(&self, kind: ItemKind) -> bool {
        kind == ItemKind::Cut
    }

    async fn deliver(&mut self, item: &Item, history: &dyn History) -> Result<(), Failure> {
        let Body::Cut(cut) = &item.body else { return Ok(()) };
        // The newest epoch comes last and decides.
        let mut records: Vec<&RunRecord> = cut.records.iter().collect();
        records.sort_by_key(|record| record.window.epoch);
        let mut refused = None;
        for record in records {
            let Err(failure) = self.record(record, cut, history).await else { continue };
            // What is remembered may be what was wrong: deleted, or half written.
            self.experiments.clear();
            self.runs.clear();
            match failure {
                Failure::Later { .. } => return Err(failure),
                // One run that is refused does not keep the others back.
                Failure::Refused { .. } => refused = refused.or(Some(failure)),
            }
        }
        refused.map_or(Ok(()), Err)
    }
}

// === impl Mlflow ===

impl Mlflow {
    async fn record(
        &mut self,
        record: &RunRecord,
        cut: &Cut,
        history: &dyn History,
    ) -> Result<(), Failure> {
        let key = (self.experiment(record).await?, record.run.id.clone());
        let mut run = match self.runs.remove(&key) {
            Some(known) => known,
            None => self.find_or_create(&key.0, record, cut, history).await?,
        };
        self.write(&mut run, record, cut).await?;
        if self.runs.len() >= RUNS_MAX {
            self.runs.clear();
        }
        self.runs.insert(key, run);
        Ok(())
    }

    async fn experiment(&mut self, record: &RunRecord) -> Result<String, Failure> {
        let name = self.into.as_ref().unwrap_or(&record.run.experiment);
        if let Some(id) = self.experiments.get(name) {
            return Ok(id.clone());
        }
        let id = runs::experiment(&self.rest, name).await?;
        self.experiments.insert(name.clone(), id.clone());
        Ok(id)
    }

    async fn find_or_create(
        &self,
        experiment: &str,
        record: &RunRecord,
        cut: &Cut,
        history: &dyn History,
    ) -> Result<Run, Failure> {
        if let Some(found) = runs::find(&self.rest, experiment, record).await? {
            return Ok(found);
        }
        let start = first_seen(record, cut, history)?;
        runs::create(&self.rest, experiment, record, start).await
    }

    /// Writes all that a record says. Of an old cut that comes again, only what cannot undo
    /// anything: points of histories.
    async fn write(&mut self, run: &mut Run, record: &RunRecord, cut: &Cut) -> Result<(), Failure> {
        let epoch = record.window.epoch;
        let is_past = run.is_past(epoch, cut.position);
        let decides = !is_past && run.is_newest(epoch);
        let entries = self.entries(run, record, cut, (is_past, decides));
        for body in batch::requests(&run.id, &entries) {
            self.rest.post(&format!("{V2}/runs/log-batch"), &body).await?;
        }
        if decides {
            self.drop_passed(run, &entries).await?;
            inputs::model(&self.rest, run, record).await?;
        }
        if !is_past {
            inputs::dataset(&self.rest, run, record).await?;
            self.files(run, record, decides).await?;
        }
        if decides {
            runs::set_status(&self.rest, run, record).await?;
            assess::verdicts(&self.rest, record).await?;
        }
        note(run, &entries);
        Ok(())
    }

    fn entries(
        &self,
        run: &Run,
        record: &RunRecord,
        cut: &Cut,
        (is_past, decides): (bool, bool),
    ) -> Vec<Entry> {
        let mut out = new_params(run, record);
        out.extend(entries::metrics(record, Stamp::of(record, cut)));
        if decides {
            let note = note::note(record, self.dashboard.as_deref());
            out.extend(entries::head_tags(record, cut, &note));
        }
        if !is_past {
            out.extend(entries::epoch_tags(record, cut));
        }
        out
    }

    /// Takes away the tags that no longer hold: verdicts and decisions of an earlier cut.
    async fn drop_passed(&self, run: &mut Run, entries: &[Entry]) -> Result<(), Failure> {
        let now: BTreeSet<&str> = entries.iter().filter_map(tag).map(|tag| tag.0).collect();
        let gone = |key: &&String| !now.contains(key.as_str());
        let gone: Vec<String> = run.passing.iter().filter(gone).cloned().collect();
        for key in gone {
            let body = json!({"run_id": run.id, "key": key});
            self.rest.post(&format!("{V2}/runs/delete-tag"), &body).await?;
            run.passing.remove(&key);
        }
        Ok(())
    }

    async fn files(&mut self, run: &Run, record: &RunRecord, decides: bool) -> Result<(), Failure> {
        let Some(folder) = artifacts::folder(&run.artifact_uri) else {
            self.warn_of_files(run);
            return Ok(());
        };
        let mut files =
            vec![(artifacts::record_path(record.window.epoch), artifacts::record_bytes(record))];
        for param in entries::params(record) {
            files.extend(entries::short(&param).1.map(|path| (path, param.text.into_bytes())));
        }
        if decides {
            let text = crate::sink::report::markdown(record, self.dashboard.as_deref());
            files.push((artifacts::REPORT.to_owned(), text.into_bytes()));
        }
        for (path, bytes) in files {
            artifacts::put(&self.rest, &folder, &path, bytes).await?;
        }
        Ok(())
    }

    fn warn_of_files(&mut self, run: &Run) {
        if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(
                artifact_uri = %run.artifact_uri,
                "mlflow: files (the report and the record) are not delivered, because the \
                 experiment does not keep its artifacts behind the server: use one that was made \
                 under `mlflow server --serve-artifacts`, the default; all else is delivered"
            );
        }
    }
}

/// Params that the run does not have yet: MLflow refuses another text for one that it has.
fn new_params(run: &Run, record: &RunRecord) -> Vec<Entry> {
    let mut out = Vec::new();
    for param in entries::params(record) {
        let (entry, whole) = entries::short(&param);
        let Entry::Param(pair) = &entry else { continue };
        match run.params.get(&param.key) {
            Some(known) if *known == pair.value => {}
            Some(_) => tracing::warn!(
                run = %record.run.id, param = %param.key,
                "mlflow: the run has another text for this param, and params cannot change"
            ),
            None => {
                let key = format!("armspan.truncated.{}", param.key);
                out.extend(whole.map(|path| Entry::tag(key, path)));
                out.push(entry);
            }
        }
    }
    out
}

/// Keeps what the server has now.
fn note(run: &mut Run, entries: &[Entry]) {
    for entry in entries {
        match entry {
            Entry::Param(pair) => {
                run.params.insert(pair.key.clone(), pair.value.clone());
            }
            Entry::Tag(pair) => run.note_tag(&pair.key, &pair.value),
            Entry::Metric(_) => {}
        }
    }
}

fn tag(entry: &Entry) -> Option<(&str, &str)> {
    match entry {
        Entry::Tag(pair) => Some((&pair.key, &pair.value)),
        _ => None,
    }
}

/// The end of the earliest call of the run that is known, in milliseconds since the Unix epoch.
fn first_seen(record: &RunRecord, cut: &Cut, history: &dyn History) -> Result<i64, Failure> {
    let own = |other: &&RunRecord| other.run.id == record.run.id;
    let seen = |record: &RunRecord| entries::millis(&record.window.first_seen);
    let mut first = cut.records.iter().filter(own).map(seen).min().unwrap_or_default();
    let newest = record.window.epoch;
    for epoch in newest.saturating_sub(EPOCHS_BACK_MAX)..newest {
        let rows = history.of_run(&record.run.id, epoch, cut.position)?;
        first = rows.iter().map(|row| seen(&row.1)).chain([first]).min().unwrap_or(first);
    }
    Ok(first)
}
