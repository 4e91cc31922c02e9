//! `armspan report`: an experiment as one file for people and CI systems. Markdown is the comment
//! on a pull request, JUnit XML the gate's test cases, JSON everything, HTML the server's page.

use super::args::Server;
use super::gate::Asked;
use super::read::{Client, notices, typed};
use crate::api::Status;
use crate::judge::gate::{self, GateDocument};
use crate::model::url::part;
use crate::model::view::ExperimentView;
use crate::sink::files;
use crate::sink::report::comment::{Subject, comment};
use crate::sink::report::experiment::Links;
use crate::sink::report::junit::junit;
use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use serde_json::{Value as Json, json};
use std::io::{Write, stdout};
use std::path::PathBuf;

/// Name and version of the JSON document.
const REPORT_SCHEMA: &str = "armspan/report/v1";

/// `report`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Which experiment, and what of it.
    #[command(flatten)]
    pub asked: Asked,
    /// As what.
    #[arg(long, value_enum, default_value_t = Kind::Markdown)]
    pub format: Kind,
    /// Write it to this file, whole or not at all, instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Where the artifacts of the CI run are, for a link.
    #[arg(long, value_name = "URL")]
    pub artifacts: Option<String>,
    /// Where people open the dashboard, for links.
    #[arg(long, value_name = "URL")]
    pub dashboard: Option<String>,
    /// Where to ask.
    #[command(flatten)]
    pub server: Server,
}

/// As what a report is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Kind {
    /// A comment for a pull request, at most 60,000 bytes
    Markdown,
    /// One document: experiment, gate and run records
    Json,
    /// The page, in one file
    Html,
    /// The gate's metrics as test cases
    Junit,
}

/// An experiment with what is said of it.
struct Found {
    experiment: ExperimentView,
    /// As the server sent it.
    json: Json,
    gate: GateDocument,
    status: Status,
}

/// Runs it.
pub async fn report(args: &Args) -> Result<()> {
    for (flag, url) in [("--artifacts", &args.artifacts), ("--dashboard", &args.dashboard)] {
        let web = |url: &String| url.starts_with("http://") || url.starts_with("https://");
        if url.as_ref().is_some_and(|url| !web(url)) {
            bail!("{flag} is an http or https URL");
        }
    }
    let text = text(&Client::new(&args.server)?, args).await?;
    match &args.out {
        Some(path) => {
            let written = files::write(path, text.as_bytes()).await;
            written.with_context(|| format!("the report {} was not written", path.display()))
        }
        None => {
            let mut out = stdout().lock();
            out.write_all(text.as_bytes())?;
            Ok(out.flush()?)
        }
    }
}

async fn text(client: &Client, args: &Args) -> Result<String> {
    if args.format == Kind::Html {
        return page(client, &args.asked.experiment).await;
    }
    let found = find(client, &args.asked).await?;
    match args.format {
        Kind::Json => whole(client, found).await,
        Kind::Junit => Ok(junit(&found.gate)),
        _ => Ok(markdown(&found, args)),
    }
}

/// The page as the server writes it.
async fn page(client: &Client, experiment: &str) -> Result<String> {
    let path = format!("/experiments/{}/report.html", part(experiment));
    match client.get_text(&path, &[]).await? {
        (200, page) => Ok(page),
        (404, _) => bail!("there is no page of {experiment}: no such experiment, or an old server"),
        (status, _) => bail!("the server answered {status} for the page of {experiment}"),
    }
}

/// The answer is made from the same document as the figures beside it: asked for separately, they
/// could be of two positions.
async fn find(client: &Client, asked: &Asked) -> Result<Found> {
    let path = format!("/api/v1/experiments/{}", part(&asked.experiment));
    let json = client.get(&path, &[]).await?;
    let status: Status = typed(&client.get("/api/v1/status", &[]).await?)?;
    let experiment: ExperimentView = typed(&json)?;
    let (position, as_of) = (Some(status.position), Some(status.log_time.clone()));
    let gate = gate::document(&experiment, &asked.question())?;
    Ok(Found { experiment, json, gate: GateDocument { position, as_of, ..gate }, status })
}

fn markdown(found: &Found, args: &Args) -> String {
    let dashboard = args.dashboard.as_deref().map(|url| url.trim_end_matches('/'));
    comment(&Subject {
        experiment: &found.experiment,
        gate: &found.gate,
        notices: &notices(&found.experiment, &found.status),
        links: Links { dashboard, artifacts: args.artifacts.as_deref() },
    })
}

async fn whole(client: &Client, found: Found) -> Result<String> {
    let name = Some(found.experiment.name.clone());
    let runs = client.all_runs(&[("experiment", &name)]).await?;
    let document = json!({
        "schema": REPORT_SCHEMA,
        "experiment": found.json,
        "gate": found.gate,
        "runs": runs,
    });
    Ok(format!("{document:#}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::tests::state_over;
    use crate::model::View;
    use crate::model::reject::Reject;
    use crate::sink::sample;
    use axum::Router;
    use axum::routing::get;
    use clap::Parser;
    use std::sync::Arc;

    /// A server with the sinks' sample, and a page.
    async fn served() -> String {
        let cut = sample::cut();
        let state = state_over(Arc::default());
        state.meter.reject(Reject::FromTheFuture, 3);
        let (position, log_time) = (cut.position, cut.at);
        let (experiments, runs) = (cut.experiments, cut.records);
        state.view.store(Arc::new(View {
            position,
            log_time,
            experiments,
            runs,
            ..View::default()
        }));
        let page = Router::new()
            .route("/experiments/support-bot/report.html", get(async || "<!doctype html>"));
        let router = crate::api::http_router(state).merge(page);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = listener.local_addr().expect("address").to_string();
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    async fn reported(address: &str, words: &[&str]) -> Result<String> {
        let fixed = ["report", "--experiment", "support-bot", "--server", address];
        let line = Line::try_parse_from(fixed.iter().chain(words))?;
        text(&Client::new(&line.args.server)?, &line.args).await
    }

    #[tokio::test]
    async fn each_format_tells_the_same() {
        let address = served().await;
        let links = ["--dashboard", "https://d.example/", "--artifacts", "https://a.example"];
        let comment = reported(&address, &links).await.expect("a comment");
        let mut lines = comment.lines();
        assert!(lines.next().is_some_and(|line| line.starts_with("<!-- armspan:run=")));
        assert_eq!(
            lines.next(),
            Some("### :red_circle: support-bot fails: error_rate in C, latency_p95 in C.")
        );
        assert!(comment.contains(":warning: **Clock skew** 3 refused"), "{comment}");
        assert!(comment.contains("(<https://d.example/runs/9cb97ebd526e853fa2707bdde1deacf4>)"));
        assert!(comment.contains("as of 2026-11-24 18:00") && comment.contains("a.example"));
        let json = reported(&address, &["--format", "json", "--arm", "B"]).await.expect("JSON");
        let json: Json = serde_json::from_str(&json).expect("JSON");
        assert_eq!(json["runs"].as_array().map(Vec::len), Some(7));
        assert_eq!(
            (&json["gate"]["result"], &json["gate"]["arm"]),
            (&json!("inconclusive"), &json!("B"))
        );
        assert_eq!(json["experiment"]["schema"], "armspan/experiment/v1");
        let junit = reported(&address, &["--format", "junit"]).await.expect("XML");
        assert!(junit.contains("failures=\"2\"") && junit.contains("2026-11-24T18:00:00"));
        assert_eq!(
            reported(&address, &["--format", "html"]).await.expect("a page"),
            "<!doctype html>"
        );
    }

    #[tokio::test]
    async fn what_is_not_there_is_an_error() {
        let address = served().await;
        let told = reported(&address, &["--arm", "D"]).await.expect_err("no arm").to_string();
        assert!(told.contains("its arms are A, B, C"), "{told}");
        let line = ["report", "--experiment", "x", "--server", &address, "--format", "html"];
        let line = Line::try_parse_from(line).expect("flags");
        let told = report(&line.args).await.expect_err("no page").to_string();
        assert!(told.contains("no page of x"), "{told}");
        let line = ["report", "--experiment", "x", "--dashboard", "javascript:alert(1)"];
        let told = report(&Line::try_parse_from(line).expect("flags").args).await;
        assert!(told.expect_err("no URL").to_string().contains("--dashboard"));
    }

    #[tokio::test]
    async fn a_file_is_written_as_a_whole() {
        let (address, dir) = (served().await, tempfile::tempdir().expect("folder"));
        let path = dir.path().join("report.md");
        let out = path.to_str().expect("path");
        let line = ["report", "--experiment", "support-bot", "--server", &address, "--out", out];
        report(&Line::try_parse_from(line).expect("flags").args).await.expect("written");
        let written = std::fs::read_to_string(&path).expect("a file");
        assert_eq!(written, reported(&address, &[]).await.expect("a comment"));
    }
}
