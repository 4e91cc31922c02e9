//! DVC experiments: each run as an experiment on the commit that it ran under, so that `dvc exp
//! show` and `dvc exp diff` put arms beside each other, with the user's own experiments. Written
//! by git's plumbing into the user's repository: workspace, index and HEAD stay as they are.
//!
//! An experiment is a commit whose parent, author, dates and files follow from the record, so a
//! repeat is the same commit. A newer record moves the reference, an older one (of a backfill)
//! does not. Our files are in a folder `armspan`: a `dvc.yaml` of the user stays.

mod files;
mod git;
mod name;

use super::{Around, Failure, History, Settings, Sink, hourly, report};
use crate::model::delivery::{Body, Cut, Item, ItemKind};
use crate::model::{RunRecord, human};
use async_trait::async_trait;
use files::File;
use git::{Git, Move, Reference, Stamp};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Settings.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The git repository, or the folder in it that DVC was initialised in. The commits that
    /// calls ran under must be in it: fetch them.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub repo: PathBuf,
}

/// An open sink.
#[derive(Debug)]
struct Dvc {
    repo: PathBuf,
    dashboard: Option<String>,
}

/// A record with its files.
struct Experiment {
    record: RunRecord,
    files: Vec<File>,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Config { repo: ".".into() }
    }
}

impl Settings for Config {
    fn target(&self) -> String {
        self.repo.display().to_string()
    }

    fn faults(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn open(&self, around: &Around) -> Result<Box<dyn Sink>, Failure> {
        Ok(Box::new(Dvc { repo: self.repo.clone(), dashboard: around.dashboard.clone() }))
    }
}

// === impl Dvc ===

#[async_trait]
impl Sink for Dvc {
    fn takes(&self, kind: ItemKind) -> bool {
        kind == ItemKind::Cut
    }

    async fn deliver(&mut self, item: &Item, history: &dyn History) -> Result<(), Failure> {
        let Body::Cut(cut) = &item.body else { return Ok(()) };
        let experiments = self.experiments(cut, history)?;
        if experiments.is_empty() {
            return Ok(());
        }
        let repo = self.repo.clone();
        let done = tokio::task::spawn_blocking(move || put_all(&Git::open(&repo)?, &experiments));
        done.await
            .map_err(|error| Failure::later(format!("dvc: the work was not done: {error}")))?
    }
}

impl Dvc {
    /// Of each run the newest epoch, which comes first.
    fn experiments(&self, cut: &Cut, history: &dyn History) -> Result<Vec<Experiment>, Failure> {
        let mut seen = BTreeSet::new();
        let mut out = Vec::new();
        for record in cut.records.iter().filter(|record| seen.insert(&record.run.id)) {
            let past = history.of_run(&record.run.id, record.window.epoch, cut.position)?;
            let rows = hourly::rows(past, cut.hour(), record);
            let files = files::of(record, &rows, self.dashboard.as_deref());
            out.push(Experiment { record: record.clone(), files });
        }
        Ok(out)
    }
}

/// All of them; those that are refused do not keep the others back.
fn put_all(git: &Git, experiments: &[Experiment]) -> Result<(), Failure> {
    let mut refused = Vec::new();
    for experiment in experiments {
        match put(git, experiment) {
            Ok(()) => {}
            Err(Failure::Refused { what }) => {
                let short = human::run(&experiment.record.run.id);
                refused.push(format!("run {short}: {what}"));
            }
            Err(failure) => return Err(failure),
        }
    }
    match refused.len() {
        0 => Ok(()),
        count => Err(Failure::refused(format!(
            "dvc: {count} of {} runs were refused: {}",
            experiments.len(),
            refused.join("; ")
        ))),
    }
}

fn put(git: &Git, experiment: &Experiment) -> Result<(), Failure> {
    let record = &experiment.record;
    let name = name::of(&record.run.arm, &record.run.id);
    let held = git.references(&name)?;
    for reference in &held {
        if later(git, reference, record)? {
            return Ok(());
        }
    }
    let base = baseline(git, record)?;
    let tree = git.tree(&base, &experiment.files)?;
    let message = format!("dvc: commit experiment {name}\n\nrun {}\n", record.run.id);
    let commit = git.commit(&tree, &base, &message, &stamp(record)?)?;
    git.update(&moves(&held, &name::reference(&base, &name), &commit))
}

/// Whether a reference holds what must not be replaced by the record: an experiment of a later
/// epoch or position. One that armspan did not make is refused.
fn later(git: &Git, held: &Reference, record: &RunRecord) -> Result<bool, Failure> {
    let text = git.file(&held.commit, files::RECORD)?;
    let theirs = text.and_then(|text| serde_json::from_slice::<RunRecord>(&text).ok());
    match theirs.filter(|theirs| theirs.run.id == record.run.id) {
        Some(theirs) => Ok(age(&theirs) > age(record)),
        None => Err(Failure::refused(format!(
            "{} is an experiment that armspan did not make; rename or remove it",
            held.name
        ))),
    }
}

fn age(record: &RunRecord) -> (u32, u64) {
    (record.window.epoch, record.position())
}

fn baseline(git: &Git, record: &RunRecord) -> Result<String, Failure> {
    let Some(said) = report::commit(record) else {
        return Err(Failure::refused(
            "its calls name no commit; let its services say it (resource attribute \
             vcs.ref.head.revision), and keep `code` among identity.observed",
        ));
    };
    if !name::is_commit(said) {
        let shown: String = said.chars().filter(|c| !c.is_control()).take(64).collect();
        return Err(Failure::refused(format!(
            "its commit {shown:?} is no hash of 7 to 64 hexadecimal digits; let its services say \
             the full hash"
        )));
    }
    git.resolve(said)?.ok_or_else(|| {
        Failure::refused(format!(
            "its commit {said} is not in the repository, or not unique there; fetch it (or push \
             it from where it was built), then deliver again with `armspan export dvc`"
        ))
    })
}

/// Dates of the commit: the end of the run's latest call.
fn stamp(record: &RunRecord) -> Result<Stamp, Failure> {
    let text = &record.window.last_seen;
    let at: Timestamp =
        text.parse().map_err(|_| Failure::refused(format!("its last_seen {text:?} is no time")))?;
    Ok(Stamp { seconds: at.as_second() })
}

/// Nothing, when the reference is as it should be; else it moves, and those under other commits
/// go: the run is one experiment.
fn moves(held: &[Reference], name: &str, commit: &str) -> Vec<Move> {
    let own = held.iter().find(|reference| reference.name == name);
    let mut out = Vec::new();
    if own.is_none_or(|own| own.commit != commit) {
        out.push(Move {
            name: name.to_owned(),
            from: own.map(|own| own.commit.clone()),
            to: Some(commit.to_owned()),
        });
    }
    let others = held.iter().filter(|reference| reference.name != name);
    out.extend(others.map(|reference| Move {
        name: reference.name.clone(),
        from: Some(reference.commit.clone()),
        to: None,
    }));
    out
}

#[cfg(test)]
mod tests;
