//! What a CI run shows: a Markdown summary of the experiments (GitHub's step summary, or any file
//! that a job publishes) and an SVG badge. Both name run ids and link to the dashboard.

mod badge;
mod summary;

use super::files::write;
use super::report::experiment::Links;
use super::{Around, Failure, History, Settings, Sink};
use crate::model::delivery::{Body, Cut, Item, ItemKind};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Settings.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The Markdown file; our part of it is replaced, what others wrote is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[arg(long, value_name = "FILE", env = "GITHUB_STEP_SUMMARY")]
    pub summary: Option<PathBuf>,
    /// The SVG file.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[arg(long, value_name = "FILE")]
    pub badge: Option<PathBuf>,
    /// Where the run's artifacts are, for a link in both.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[arg(long, value_name = "URL")]
    pub artifacts: Option<String>,
}

/// An open sink.
struct Ci {
    config: Config,
    dashboard: Option<String>,
}

// === impl Config ===

impl Settings for Config {
    fn target(&self) -> String {
        let paths = [&self.summary, &self.badge].into_iter().flatten();
        paths.map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
    }

    fn faults(&self) -> Vec<(&'static str, String)> {
        let mut out = Vec::new();
        if self.summary.is_none() && self.badge.is_none() {
            let what = "name a file: summary for Markdown (on GitHub $GITHUB_STEP_SUMMARY), badge \
                        for SVG";
            out.push(("summary", what.to_owned()));
        }
        let web = |url: &String| url.starts_with("http://") || url.starts_with("https://");
        if self.artifacts.as_ref().is_some_and(|url| !web(url)) {
            out.push(("artifacts", "is an http or https URL".to_owned()));
        }
        out
    }

    fn open(&self, around: &Around) -> Result<Box<dyn Sink>, Failure> {
        Ok(Box::new(Ci { config: self.clone(), dashboard: around.dashboard.clone() }))
    }
}

#[async_trait]
impl Sink for Ci {
    fn takes(&self, kind: ItemKind) -> bool {
        kind == ItemKind::Cut
    }

    async fn deliver(&mut self, item: &Item, _history: &dyn History) -> Result<(), Failure> {
        let Body::Cut(cut) = &item.body else { return Ok(()) };
        // A cut of another experiment only, as a filtered export has them, says nothing.
        if cut.experiments.is_empty() {
            return Ok(());
        }
        if let Some(path) = &self.config.summary {
            self.write_summary(path, cut).await?;
        }
        if let Some(path) = &self.config.badge {
            let svg = badge::svg(cut, self.dashboard.as_deref().or(self.artifacts()));
            write(path, svg.as_bytes()).await?;
        }
        Ok(())
    }
}

impl Ci {
    async fn write_summary(&self, path: &Path, cut: &Cut) -> Result<(), Failure> {
        let there = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Failure::io("cannot read", path, &error)),
        };
        let links = Links { dashboard: self.dashboard.as_deref(), artifacts: self.artifacts() };
        write(path, summary::into(&there, cut, &links).as_bytes()).await
    }

    fn artifacts(&self) -> Option<&str> {
        self.config.artifacts.as_deref()
    }
}

#[cfg(test)]
mod tests;
