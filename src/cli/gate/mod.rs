//! `armspan gate`: whether an experiment, or one arm of it, may ship, as an exit code: 0 pass, 10
//! failed, 11 not decided (when that shall fail), 12 insufficient or invalid. It prints the gate's
//! document and judges nothing itself.

mod wait;

use super::INTERRUPTED;
use super::args::{Format, Server};
use super::print::{self, Data};
use crate::judge::gate::{self as judged, GateArm, GateDocument, GateMetric, GateSite};
use crate::model::human;
use crate::model::settings::Span;
use crate::model::url::part;
use crate::model::verdict::Gate;
use crate::sink::files;
use crate::sink::report::junit::junit;
use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde_json::{Value as Json, json};
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What stands for nothing.
const NONE: &str = "–";

/// `gate`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Which experiment, and what of it.
    #[command(flatten)]
    pub asked: Asked,
    /// Ask again until it passes or fails, for so long at most: 30m, 2h.
    #[arg(long, value_name = "TIME", value_parser = Span::parse)]
    pub wait: Option<Span>,
    /// Write the answer as JUnit XML, too.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Where to ask.
    #[command(flatten)]
    pub server: Server,
}

/// What is asked of which experiment.
#[derive(Clone, Debug, clap::Args)]
pub struct Asked {
    /// The experiment.
    #[arg(long)]
    pub experiment: String,
    /// Only this arm; all but control without it.
    #[arg(long)]
    pub arm: Option<String>,
    /// What fails besides what is worse.
    #[arg(long, value_enum, value_name = "WHAT")]
    pub fail_on: Option<FailOn>,
}

/// What may fail besides what is worse.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum FailOn {
    /// Not decided: exit code 11.
    Inconclusive,
}

// === impl Asked ===

impl Asked {
    /// The route of the gate.
    pub fn path(&self) -> String {
        format!("/api/v1/experiments/{}/gate", part(&self.experiment))
    }

    /// Its parameters.
    pub fn query(&self) -> Vec<(&str, &str)> {
        let arm = self.arm.as_deref().map(|arm| ("arm", arm));
        let fail_on = self.fail_on.map(|FailOn::Inconclusive| ("fail_on", "inconclusive"));
        arm.into_iter().chain(fail_on).collect()
    }

    /// The same for an experiment's document that is here.
    pub fn question(&self) -> judged::Asked<'_> {
        let fail_on_inconclusive = self.fail_on == Some(FailOn::Inconclusive);
        judged::Asked { arm: self.arm.as_deref(), fail_on_inconclusive }
    }
}

/// Runs it.
pub async fn gate(args: &Args, format: Format) -> Result<ExitCode> {
    let found = tokio::select! {
        found = wait::ask(args) => found?,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.context("cannot listen for Ctrl-C")?;
            return Ok(ExitCode::from(INTERRUPTED));
        }
    };
    if let Some(path) = &args.junit {
        write_junit(path, &found.document).await?;
    }
    show(&data(&found.document, found.json), format)?;
    Ok(ExitCode::from(found.document.exit_code))
}

async fn write_junit(path: &Path, document: &GateDocument) -> Result<()> {
    let written = files::write(path, junit(document).as_bytes()).await;
    written.with_context(|| format!("the JUnit report {} was not written", path.display()))
}

/// Prints it; a reader that has seen enough must not turn a failure into a pass.
fn show(data: &Data, format: Format) -> Result<()> {
    let mut out = stdout().lock();
    let printed = print::print(data, format, &mut out).and_then(|()| out.flush());
    match printed {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        printed => Ok(printed?),
    }
}

/// The document as a table, a row for each metric that was judged.
fn data(document: &GateDocument, json: Json) -> Data {
    let sites = document.arms.iter().flat_map(|arm| arm.sites.iter().map(move |site| (arm, site)));
    let rows = sites.flat_map(|(arm, site)| {
        let nothing = site.nothing.as_ref().map(|_| nothing(arm, site));
        nothing.into_iter().chain(site.metrics.iter().map(|metric| row(arm, site, metric)))
    });
    let columns = ["arm", "site", "metric", "verdict", ">difference", "interval", "gate"];
    Data {
        columns: columns.map(str::to_owned).into(),
        rows: rows.collect(),
        items: document.rows().map(|(arm, site, metric)| item(arm, site, metric)).collect(),
        notes: notes(document),
        document: json,
        sections: Vec::new(),
    }
}

fn row(arm: &GateArm, site: &GateSite, metric: &GateMetric) -> Vec<String> {
    let difference = metric.estimate.map(|by| human::difference(by, &metric.unit));
    let interval = human::interval(metric.lower, metric.upper, &metric.unit);
    vec![
        arm.arm.clone(),
        site.site.clone(),
        metric.name.clone(),
        metric.state.clone(),
        difference.unwrap_or_else(|| NONE.to_owned()),
        if metric.estimate.is_some() { interval } else { NONE.to_owned() },
        if metric.warning { "pass (warning)" } else { metric.result.name() }.to_owned(),
    ]
}

fn nothing(arm: &GateArm, site: &GateSite) -> Vec<String> {
    let [metric, difference, interval] = [NONE; 3].map(str::to_owned);
    let (arm, site) = (arm.arm.clone(), site.site.clone());
    vec![
        arm,
        site,
        metric,
        "nothing to judge".into(),
        difference,
        interval,
        Gate::Invalid.name().into(),
    ]
}

/// A line of JSON: the metric with its arm and site.
fn item(arm: &GateArm, site: &GateSite, metric: &GateMetric) -> Json {
    let mut item = json!(metric);
    item["arm"] = json!(arm.arm);
    item["site"] = json!(site.site);
    item
}

/// Reasons, warnings, and last the answer.
fn notes(document: &GateDocument) -> Vec<String> {
    let mut notes = document.reasons.clone();
    notes.extend(document.warnings.iter().map(|warning| format!("Warning: {warning}")));
    notes.push(document.sentence.clone());
    notes
}

#[cfg(test)]
mod tests;
