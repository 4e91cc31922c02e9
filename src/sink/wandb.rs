//! Weights & Biases: each run of an epoch that is over as an offline run, as the SDK leaves it
//! when there is no network. `wandb sync DIR/wandb/offline-run-*` uploads them, with the user's
//! own client and credentials; `sync: true` calls it.
//!
//! A run's folder is a function of its record and history, so the same cut gives the same bytes.
//! A repeat leaves the folder alone, with the mark that it was uploaded; a record that is newer
//! (late data) replaces it as a whole, and an older one, of a backfill, changes nothing.

mod files;
mod log;
mod proto;
mod run;
mod upload;

use super::{Around, Failure, History, Settings, Sink};
use crate::model::RunRecord;
use crate::model::delivery::{Body, Cut, Item, ItemKind};
use async_trait::async_trait;
use files::Folder;
use run::{Named, Rows};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Characters that the names of projects may not have.
const NOT_IN_PROJECTS: [char; 6] = ['/', '\\', '#', '?', '%', ':'];
/// Characters of a project's name.
const PROJECT_CHARS_MAX: usize = 128;

/// Settings.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Offline runs go to `wandb/` in it; the data folder when absent. It must stay where it is
    /// until they are uploaded: the client reads artifacts from their absolute paths.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// The project; the name of the experiment when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[arg(long)]
    pub project: Option<String>,
    /// The team or user that owns the project. Set it to yours, or say `wandb sync --entity`.
    #[arg(long, default_value = "armspan")]
    pub entity: String,
    /// Call `wandb sync` for what was written. The client and its credentials must be there.
    #[arg(long)]
    pub sync: bool,
    /// Write runs of epochs that are not over, too: as of each cut.
    #[arg(long)]
    pub open: bool,
}

/// An open sink.
#[derive(Debug)]
struct Wandb {
    config: Config,
    /// `…/wandb`, absolute.
    dir: PathBuf,
    dashboard: Option<String>,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Config { dir: None, project: None, entity: "armspan".into(), sync: false, open: false }
    }
}

impl Settings for Config {
    fn target(&self) -> String {
        self.dir.as_ref().map_or_else(|| "data".to_owned(), |dir| dir.display().to_string())
    }

    fn faults(&self) -> Vec<(&'static str, String)> {
        let mut out = Vec::new();
        if self.entity.trim().is_empty() {
            out.push(("entity", "is empty: name the team or user that owns the project".into()));
        }
        if self.project.as_ref().is_some_and(|name| *name != project(name)) {
            let what = "must be 1 to 128 characters without / \\ # ? % :, not only dots";
            out.push(("project", what.into()));
        }
        out
    }

    fn open(&self, around: &Around) -> Result<Box<dyn Sink>, Failure> {
        let base = self.dir.as_deref().unwrap_or(&around.data);
        let dir = std::path::absolute(base)
            .map_err(|error| Failure::io("cannot find the folder", base, &error))?;
        let dashboard = around.dashboard.clone();
        Ok(Box::new(Wandb { config: self.clone(), dir: dir.join("wandb"), dashboard }))
    }
}

/// The project for an experiment's name.
fn project(experiment: &str) -> String {
    let kept = experiment
        .chars()
        .map(|c| if c.is_control() || NOT_IN_PROJECTS.contains(&c) { '-' } else { c });
    let name: String = kept.take(PROJECT_CHARS_MAX).collect();
    if name.trim_matches(['.', ' ']).is_empty() { "armspan".to_owned() } else { name }
}

// === impl Wandb ===

#[async_trait]
impl Sink for Wandb {
    fn takes(&self, kind: ItemKind) -> bool {
        kind == ItemKind::Cut
    }

    async fn deliver(&mut self, item: &Item, history: &dyn History) -> Result<(), Failure> {
        let Body::Cut(cut) = &item.body else { return Ok(()) };
        let mut refused = Vec::new();
        let mut folders = Vec::new();
        for record in cut.records.iter().filter(|record| self.config.open || record.window.closed) {
            match self.write(cut, record, history).await {
                Ok(folder) => folders.push(folder),
                Err(Failure::Refused { what }) => refused.push(what),
                Err(failure) => return Err(failure),
            }
        }
        if self.config.sync {
            let dir = self.dir.clone();
            blocking(move || upload::sync(&dir, &folders)).await?;
        }
        if refused.is_empty() { Ok(()) } else { Err(Failure::refused(refused.join("; "))) }
    }
}

impl Wandb {
    /// Writes a run; gives its folder.
    async fn write(
        &self,
        cut: &Cut,
        record: &RunRecord,
        history: &dyn History,
    ) -> Result<Folder, Failure> {
        let epoch = record.window.epoch;
        let past = history.of_run(&record.run.id, epoch, cut.position)?;
        let rows = Rows::new(past, cut.hour(), record)?;
        let (dir, record) = (self.dir.clone(), record.clone());
        let named = Named {
            entity: self.config.entity.clone(),
            project: self.config.project.clone().unwrap_or_else(|| project(&record.run.experiment)),
            dashboard: self.dashboard.clone(),
        };
        blocking(move || write(&dir, &record, &rows, &named)).await
    }
}

fn write(dir: &Path, record: &RunRecord, rows: &Rows, named: &Named) -> Result<Folder, Failure> {
    let folder = Folder::of(dir, &run::id(record), rows.began)?;
    if !folder.takes(record) {
        return Ok(folder);
    }
    let files = run::files(record, named.dashboard.as_deref());
    let log = run::log(record, rows, named, &folder.path.join("files"), &files);
    folder.write(&log, &files)?;
    Ok(folder)
}

/// Work that would keep others waiting.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::later(format!("wandb: the work was not done: {error}")))?
}

#[cfg(test)]
mod tests;
