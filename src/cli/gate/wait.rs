//! Asking the gate until it has decided. What is not there yet (the experiment, the arm, the
//! server itself while it is restarted) is waited for, too; what is asked wrongly is not.

use super::Args;
use crate::cli::print::clean;
use crate::cli::read::{Client, refusal, typed};
use crate::judge::gate::GateDocument;
use anyhow::{Context as _, Error, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value as Json;
use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;
use tokio::time::Instant;

/// How often it is asked again.
const AGAIN: Duration = Duration::from_secs(1);
/// How often the sign of life moves.
const TICK: Duration = Duration::from_millis(120);

/// The gate's document, and as it came.
pub struct Found {
    /// As we know it.
    pub document: GateDocument,
    /// As the server sent it.
    pub json: Json,
}

/// One answer.
enum Answer {
    Found(Box<Found>),
    /// Not there yet, or not reachable: this is the error if it stays so.
    Later(Error),
}

/// Says what is waited for: with a spinner on a terminal, else a line when it changes.
struct Talk {
    spinner: Option<ProgressBar>,
    said: String,
}

// === impl Talk ===

impl Talk {
    fn new() -> Self {
        let spinner = stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            let style = ProgressStyle::with_template("{spinner} {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(TICK);
            bar
        });
        Talk { spinner, said: String::new() }
    }

    fn say(&mut self, what: &str, left: Duration) {
        let what = clean(what);
        match &self.spinner {
            Some(bar) => {
                let (minutes, seconds) = (left.as_secs() / 60, left.as_secs() % 60);
                bar.set_message(format!("{minutes}:{seconds:02} left; {what}"));
            }
            // Nobody reads the same line a thousand times in a CI log.
            None if what != self.said => {
                let _ = writeln!(stderr(), "waiting: {what}");
            }
            None => {}
        }
        self.said = what;
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        if let Some(bar) = &self.spinner {
            bar.finish_and_clear();
        }
    }
}

/// Asks once, or with `--wait` until it passes or fails or the time is over.
pub async fn ask(args: &Args) -> Result<Found> {
    let Some(wait) = args.wait else {
        return match once(args).await? {
            Answer::Found(found) => Ok(*found),
            Answer::Later(error) => Err(error),
        };
    };
    let end = Instant::now() + Duration::from_nanos(wait.0);
    let mut talk = Talk::new();
    loop {
        let answer = once(args).await?;
        let left = end.saturating_duration_since(Instant::now());
        match answer {
            Answer::Found(found) if !found.document.is_open() || left.is_zero() => {
                return Ok(*found);
            }
            Answer::Later(error) if left.is_zero() => return Err(error),
            Answer::Found(found) => talk.say(&found.document.sentence, left),
            Answer::Later(error) => talk.say(&format!("{error:#}"), left),
        }
        tokio::time::sleep(AGAIN.min(left)).await;
    }
}

async fn once(args: &Args) -> Result<Answer> {
    // A folder's server may come back on another port, so that it is looked for each time.
    let client = match Client::new(&args.server) {
        Ok(client) => client,
        Err(not_there) => return Ok(Answer::Later(not_there)),
    };
    let sent = client.get_text(&args.asked.path(), &args.asked.query()).await;
    let (status, text) = match sent {
        Ok(answer) => answer,
        Err(error) if is_no_address(&error) => return Err(error),
        Err(unreachable) => return Ok(Answer::Later(unreachable)),
    };
    let json =
        serde_json::from_str::<Json>(&text).context("the answer is no JSON: is this armspan?");
    match (status, json) {
        (200, Ok(json)) => Ok(Answer::Found(Box::new(Found { document: typed(&json)?, json }))),
        // Not there yet, or what a proxy or a server says that is being restarted.
        (404 | 429 | 500.., Ok(json)) => Ok(Answer::Later(refusal(&json))),
        (404 | 429 | 500.., Err(error)) => Ok(Answer::Later(error)),
        (_, Ok(json)) => Err(refusal(&json)),
        (_, Err(error)) => Err(error),
    }
}

/// No waiting makes an address of it.
fn is_no_address(error: &Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref()).any(reqwest::Error::is_builder)
}
