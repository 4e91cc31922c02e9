//! `armspan arms watch`: an experiment as it goes on. On a terminal a screen that is drawn again
//! with every answer of the server; elsewhere a line for each thing that changed. It asks only,
//! by the routes that everyone has, and changes nothing.

mod columns;
mod forest;
mod frame;
mod lines;
mod screen;
mod tables;
mod terminal;
mod text;
mod theme;

use super::args::{Format, Watch};
use super::read::{Client, notices, typed};
use crate::api::Status;
use crate::judge::trust::Notice;
use crate::model::Nanos;
use crate::model::url::part;
use crate::model::view::ExperimentView;
use anyhow::{Result, bail};
use std::io::{IsTerminal, stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// What an answer says.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The experiment.
    pub experiment: ExperimentView,
    /// What to know before its figures.
    pub notices: Vec<Notice>,
    /// Log time of the server, RFC 3339.
    pub log_time: String,
    /// No server runs: the figures are those at the end of a log.
    pub offline: bool,
}

/// Runs it.
pub async fn watch(args: &Watch, format: Format) -> Result<ExitCode> {
    let client = Arc::new(Client::new(&args.server)?);
    let first = ask(&client, &args.experiment).await?;
    if let Some(site) = &args.site {
        check_site(&first.experiment, site)?;
    }
    // A format that was asked for is meant for a program, whatever standard output is.
    match stdout().is_terminal() && format == Format::Table {
        true => terminal::run(client, args, first).await,
        false => lines::run(&client, args, format, first).await,
    }
}

fn check_site(experiment: &ExperimentView, site: &str) -> Result<()> {
    if experiment.sites.iter().any(|known| known.site == site) {
        return Ok(());
    }
    let sites: Vec<&str> = experiment.sites.iter().map(|known| known.site.as_str()).collect();
    match sites.as_slice() {
        [] => bail!("{} has no site yet", experiment.name),
        sites => bail!("{} has no site \"{site}\"; it has {}", experiment.name, sites.join(", ")),
    }
}

/// Asks for an experiment and for what was refused at the doors.
async fn ask(client: &Client, experiment: &str) -> Result<Seen> {
    let path = format!("/api/v1/experiments/{}", part(experiment));
    let experiment: ExperimentView = typed(&client.get(&path, &[]).await?)?;
    let status: Status = typed(&client.get("/api/v1/status", &[]).await?)?;
    let notices = notices(&experiment, &status);
    let offline = client.is_offline().await;
    Ok(Seen { experiment, notices, log_time: status.log_time, offline })
}

/// Now, by the clock of this machine.
fn now() -> Nanos {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Nanos::try_from(since.as_nanos()).unwrap_or(Nanos::MAX)
}

#[cfg(test)]
mod tests;
