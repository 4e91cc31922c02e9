//! Where figures and run records go out. A sink is one file with its `Config`, and one line in
//! [`sinks!`] below: that gives it a kind in the config file and a command `armspan export KIND`.
//!
//! Items come from a durable outbox, in order, each until [`Sink::deliver`] says that it is done
//! or that it never will be. An item may come again after a crash: its key, timestamps and bytes
//! are then the same, and a sink tells the repeat where its tool can.

pub mod ci;
pub mod dvc;
pub mod failure;
pub mod files;
pub mod hourly;
pub mod http;
pub mod intoto;
pub mod jsonl;
pub mod mlflow;
pub mod otlp;
#[cfg(feature = "parquet")]
pub mod parquet;
pub mod prometheus;
pub mod report;
#[cfg(test)]
pub mod sample;
pub mod wandb;
pub mod webhook;
pub mod xml;

pub use failure::Failure;

use crate::model::delivery::{Item, ItemKind};
use crate::model::{RunRecord, View};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// Delivers items to one tool.
#[async_trait]
pub trait Sink: Send {
    /// Whether it takes items of a kind; others are passed over.
    fn takes(&self, kind: ItemKind) -> bool;

    /// Delivers an item; when this returns `Ok`, the tool has it, durably as far as the tool
    /// promises that.
    async fn deliver(&mut self, item: &Item, history: &dyn History) -> Result<(), Failure>;

    /// How often [`Sink::beat`] wants the present figures; never by default.
    fn pulse(&self) -> Option<Duration> {
        None
    }

    /// Sends the present figures: for tools that keep the last value only.
    async fn beat(&mut self, _view: &View) -> Result<(), Failure> {
        Ok(())
    }
}

/// Reads what the outbox keeps.
pub trait History: Send + Sync {
    /// The records of a run in an epoch up to a position of the log, oldest first, each with the
    /// hour whose figures it shows (`Cut::hour`).
    fn of_run(
        &self,
        run: &str,
        epoch: u32,
        position: u64,
    ) -> Result<Vec<(u64, RunRecord)>, Failure>;
}

/// What a sink may need to know of the server around it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Around {
    /// The data folder.
    pub data: PathBuf,
    /// Where people open the dashboard, without a slash at its end; for links.
    pub dashboard: Option<String>,
}

/// From where a sink that has no cursor yet begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Begin {
    /// With the oldest item that is kept: a tool that is connected late gets all of it.
    Oldest,
    /// With the next one: what acts on events must not act on old ones.
    Now,
}

/// The settings of a sink.
pub trait Settings {
    /// What it delivers to, as people would name it: a URL without secrets, or a folder. With the
    /// kind it names the cursor, so another target begins anew.
    fn target(&self) -> String;

    /// What is wrong with it: the key, and what to do.
    fn faults(&self) -> Vec<(&'static str, String)>;

    /// Where it sends OTLP to: not to our own listeners, which would come back for ever.
    fn receiver(&self) -> Option<&str> {
        None
    }

    /// From where it begins without a cursor.
    fn begin(&self) -> Begin {
        Begin::Oldest
    }

    /// Makes the sink. It does not connect yet: that a tool is down must not keep a server from
    /// starting.
    fn open(&self, around: &Around) -> Result<Box<dyn Sink>, Failure>;
}

/// Makes [`Config`] from a list of kinds.
macro_rules! sinks {
    ($($(#[doc = $doc:expr])* $name:ident: $module:ident $(if $feature:literal)?,)*) => {
        /// A sink with its settings: `{kind: mlflow, url: …}`.
        #[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema, clap::Subcommand)]
        #[serde(tag = "kind", rename_all = "lowercase")]
        pub enum Config {
            $(
                $(#[doc = $doc])*
                $(#[cfg(feature = $feature)])?
                $name($module::Config),
            )*
        }

        impl Config {
            /// All kinds.
            pub const KINDS: &[&str] = &[$($(#[cfg(feature = $feature)])? stringify!($module)),*];

            /// What kind it is.
            pub fn kind(&self) -> &'static str {
                match self {
                    $($(#[cfg(feature = $feature)])? Config::$name(_) => stringify!($module),)*
                }
            }

            /// Its settings.
            pub fn settings(&self) -> &dyn Settings {
                match self {
                    $($(#[cfg(feature = $feature)])? Config::$name(config) => config,)*
                }
            }

            /// Whether nothing but the kind was said.
            pub fn is_plain(&self) -> bool {
                match self {
                    $($(#[cfg(feature = $feature)])? Config::$name(config) => *config == $module::Config::default(),)*
                }
            }
        }
    };
}

sinks! {
    /// Run records as JSON lines: runs/YYYY-MM-DD.jsonl under a folder
    Jsonl: jsonl,
    /// MLflow Tracking: one MLflow run for each run, with params, metric histories, tags and a report
    Mlflow: mlflow,
    /// Runs of epochs that are over as offline runs for Weights & Biases: wandb sync uploads them
    Wandb: wandb,
    /// Runs as experiments of DVC, in the git repository that the code came from
    Dvc: dvc,
    /// A Markdown summary of the experiments and an SVG badge, for a CI run
    Ci: ci,
    /// In-toto statements of what was tested and what came out, with the files they speak of
    Intoto: intoto,
    /// Verdict and change events as signed POSTs: CloudEvents, or messages for Slack
    Webhook: webhook,
    /// Verdicts and changes as log records, figures as metrics, over OTLP
    Otlp: otlp,
    /// Tidy tables as Parquet files: records, estimates and windows by day, in a folder or on S3
    Parquet: parquet if "parquet",
}

// === impl Config ===

impl Config {
    /// The name of its cursor and in `/status`: kind and target.
    pub fn name(&self) -> String {
        format!("{}:{}", self.kind(), self.settings().target())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_targets_name_sinks() {
        let text = r#"{"kind": "jsonl", "dir": "/tmp/x"}"#;
        let config: Config = serde_json::from_str(text).expect("config");
        assert_eq!(config.name(), "jsonl:/tmp/x");
        assert!(Config::KINDS.contains(&config.kind()) && !config.is_plain());
        assert!(serde_json::from_str::<Config>(r#"{"kind": "jsonl", "dri": "x"}"#).is_err());
    }

    #[test]
    fn the_sample_is_one_cut() {
        let cut = sample::cut();
        assert_eq!((cut.records.len(), cut.experiments.len()), (7, 1));
        assert_eq!(cut.records.iter().filter(|record| record.window.closed).count(), 4);
        let record = &cut.records[0];
        let of_run = |position| sample::ThreeHours.of_run(&record.run.id, 2, position);
        assert_eq!(of_run(3000).expect("history").len(), 3);
        assert_eq!(of_run(2500).expect("history").last().map(|row| row.0), Some(cut.hour() - 1));
    }
}
