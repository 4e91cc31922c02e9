//! Off a terminal: a line for each arm, then one for each thing that changed, until the reader
//! closes the pipe or Ctrl-C.

use super::tables::share;
use super::{Seen, ask};
use crate::cli::args::{Format, Watch};
use crate::cli::print::{clean, quoted};
use crate::cli::read::Client;
use crate::cli::{INTERRUPTED, compare};
use crate::model::human;
use crate::model::record::{MetricLine, Verdict};
use crate::model::view::{ArmView, SiteView};
use anyhow::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use std::io::{Write, stderr, stdout};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;

/// Said of a folder.
const OFFLINE: &str = "no server runs: these are the figures at the end of the log";

/// One line.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Event {
    /// Log time, RFC 3339.
    pub at: String,
    /// `arm`, `verdict`, `decision`, `run`, `change`, `epoch`, `state` or `notice`.
    pub kind: &'static str,
    /// The experiment.
    pub experiment: String,
    /// The site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// The arm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arm: Option<String>,
    /// The metric of a verdict, or the field of a change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The same for people.
    pub text: String,
}

/// Prints until something ends it.
pub async fn run(client: &Client, args: &Watch, format: Format, first: Seen) -> Result<ExitCode> {
    let mut due = tokio::time::interval(args.interval);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    due.reset();
    // From here on, before anything is printed: who reads may interrupt at once.
    let mut interrupted = signal(SignalKind::interrupt())?;
    let site = args.site.as_deref();
    let mut last = first;
    let mut gone = false;
    if format == Format::Csv {
        writeln!(stdout(), "at,kind,experiment,site,arm,name,from,to,text")?;
    }
    print(&beginning(&last, site), format)?;
    if last.offline {
        writeln!(stderr(), "{OFFLINE}")?;
    }
    loop {
        tokio::select! {
            _ = due.tick() => {}
            _ = interrupted.recv() => return Ok(ExitCode::from(INTERRUPTED)),
        }
        if is_closed() {
            return Ok(ExitCode::SUCCESS);
        }
        let answer = tokio::select! {
            answer = ask(client, &args.experiment) => answer,
            _ = interrupted.recv() => return Ok(ExitCode::from(INTERRUPTED)),
        };
        match answer {
            Ok(seen) => {
                if gone || (last.offline && !seen.offline) {
                    writeln!(stderr(), "the server is back")?;
                }
                if seen.offline && !last.offline {
                    writeln!(stderr(), "{OFFLINE}")?;
                }
                gone = false;
                print(&changed(&last, &seen, site), format)?;
                last = seen;
            }
            Err(error) if !gone => {
                gone = true;
                writeln!(stderr(), "{error:#}; asking again")?;
            }
            Err(_) => {}
        }
    }
}

/// Whether nobody reads what we write any more.
fn is_closed() -> bool {
    let out = stdout();
    let mut fds = [PollFd::new(&out, PollFlags::empty())];
    let ready = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    ready.is_ok() && fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

fn print(events: &[Event], format: Format) -> Result<()> {
    let mut out = stdout().lock();
    for event in events {
        match format {
            Format::Json | Format::Jsonl => writeln!(out, "{}", serde_json::to_string(event)?)?,
            Format::Csv => writeln!(out, "{}", csv(event))?,
            Format::Markdown => writeln!(out, "- {}", plain(event))?,
            Format::Table => writeln!(out, "{}", plain(event))?,
        }
    }
    Ok(out.flush()?)
}

fn plain(event: &Event) -> String {
    let place = [&event.site, &event.arm].into_iter().flatten();
    let place = place.map(|name| format!("{name}  ")).collect::<String>();
    clean(&format!("{}  {place}{}", human::minute(&event.at), event.text))
}

fn csv(event: &Event) -> String {
    let some = |text: &Option<String>| quoted(text.as_deref().unwrap_or_default());
    let named = [&event.site, &event.arm, &event.name, &event.from, &event.to].map(some);
    let [at, kind, experiment, text] =
        [event.at.as_str(), event.kind, &event.experiment, &event.text].map(quoted);
    format!("{at},{kind},{experiment},{},{text}", named.join(","))
}

/// Where something happened.
#[derive(Clone, Copy)]
struct Place<'a> {
    seen: &'a Seen,
    site: Option<&'a str>,
    arm: Option<&'a str>,
}

impl Place<'_> {
    fn event(&self, kind: &'static str, text: String) -> Event {
        Event {
            at: self.seen.log_time.clone(),
            kind,
            experiment: self.seen.experiment.name.clone(),
            site: self.site.map(str::to_owned),
            arm: self.arm.map(str::to_owned),
            text,
            ..Event::default()
        }
    }

    /// Something named went from one thing to another.
    fn turned(&self, kind: &'static str, name: &str, from: &str, to: &str, text: String) -> Event {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Event { name: some(name), from: some(from), to: some(to), ..self.event(kind, text) }
    }
}

/// A line for each notice and each arm.
fn beginning(seen: &Seen, site: Option<&str>) -> Vec<Event> {
    let whole = Place { seen, site: None, arm: None };
    let mut out: Vec<Event> = noticed(&whole, &[]).collect();
    for view in sites(seen, site) {
        out.extend(view.arms.iter().map(|arm| {
            let place = Place { seen, site: Some(&view.site), arm: Some(&arm.arm) };
            place.event("arm", summary(arm))
        }));
    }
    out
}

fn sites<'a>(seen: &'a Seen, only: Option<&'a str>) -> impl Iterator<Item = &'a SiteView> {
    let sites = seen.experiment.sites.iter();
    sites.filter(move |site| only.is_none_or(|only| only == site.site))
}

fn noticed<'a>(whole: &'a Place<'_>, known: &'a [String]) -> impl Iterator<Item = Event> + 'a {
    let new = whole.seen.notices.iter().filter(|notice| !known.contains(&notice.title));
    new.map(|notice| {
        let text = format!("{}: {} {}", notice.title, notice.text, notice.advice);
        whole.turned("notice", &notice.title, "", "", text)
    })
}

/// An arm in one line.
fn summary(arm: &ArmView) -> String {
    let control = if arm.control { "control, " } else { "" };
    let mut text = format!(
        "{control}{} calls, {} units, {}, evidence {}",
        human::count(arm.calls),
        human::count(arm.units),
        share(arm),
        arm.evidence
    );
    let decides = |line: &&MetricLine| line.verdict.as_ref().is_some_and(|v| v.decides);
    for line in arm.metrics.iter().filter(decides) {
        let by = line.difference.as_ref();
        let by = by.map(|d| format!(" {}", human::difference(d.estimate, &line.unit)));
        let state = line.verdict.as_ref().map_or("", |verdict| &verdict.state);
        let by = by.unwrap_or_default();
        text.push_str(&format!("; {} {}{by} {state}", line.name, human::line(line)));
    }
    if let Some(decision) = &arm.decision {
        text.push_str(&format!("; {}", decision.action));
    }
    text
}

/// What is not as it was.
fn changed(before: &Seen, after: &Seen, only: Option<&str>) -> Vec<Event> {
    let whole = Place { seen: after, site: None, arm: None };
    let known: Vec<String> = before.notices.iter().map(|notice| notice.title.clone()).collect();
    let mut out: Vec<Event> = noticed(&whole, &known).collect();
    let (was, is) = (&before.experiment.state, &after.experiment.state);
    if was != is {
        out.push(whole.turned("state", "", was, is, format!("{was} → {is}")));
    }
    for site in sites(after, only) {
        let place = Place { seen: after, site: Some(&site.site), arm: None };
        match sites(before, only).find(|old| old.site == site.site) {
            Some(old) => out.extend(site_changed(&place, old, site)),
            None => out.extend(
                site.arms
                    .iter()
                    .map(|arm| Place { arm: Some(&arm.arm), ..place }.event("arm", summary(arm))),
            ),
        }
    }
    out
}

fn site_changed(place: &Place<'_>, before: &SiteView, after: &SiteView) -> Vec<Event> {
    let mut out = Vec::new();
    if before.epoch != after.epoch {
        let (was, is) = (before.epoch.to_string(), after.epoch.to_string());
        out.push(place.turned("epoch", "", &was, &is, format!("epoch {is} began")));
    }
    for change in after.changes.iter().filter(|change| !before.changes.contains(change)) {
        let value =
            |value: &Option<_>| value.as_ref().map_or(String::new(), |v| compare::value(Some(v)));
        let (from, to) = (value(&change.from), value(&change.to));
        let text = format!("{} {from} → {to}", change.field);
        let place = Place { arm: Some(&change.arm), ..*place };
        out.push(place.turned("change", &change.field, &from, &to, text));
    }
    for arm in &after.arms {
        let place = Place { arm: Some(&arm.arm), ..*place };
        match before.arms.iter().find(|old| old.arm == arm.arm) {
            Some(old) => arm_changed(&place, old, arm, &mut out),
            None => out.push(place.event("arm", summary(arm))),
        }
    }
    out
}

fn arm_changed(place: &Place<'_>, before: &ArmView, after: &ArmView, out: &mut Vec<Event>) {
    let new = after.runs.iter().filter(|id| !before.runs.contains(id));
    out.extend(
        new.map(|id| place.turned("run", "", "", id, format!("new run {}", human::run(id)))),
    );
    for line in &after.metrics {
        let old = before.metrics.iter().find(|old| same(old, line));
        let was = old.and_then(|old| old.verdict.as_ref()).map_or("", told);
        let Some(verdict) = line.verdict.as_ref().filter(|v| told(v) != was) else { continue };
        if verdict.decides || verdict.discovery {
            let is = told(verdict);
            let from = if was.is_empty() { "–" } else { was };
            let sign = human::sign(&verdict.state);
            let text = format!("{}: {from} → {sign} {is}: {}", line.name, verdict.sentence);
            out.push(place.turned("verdict", &line.name, was, is, text));
        }
    }
    let action = |arm: &ArmView| arm.decision.as_ref().map_or(String::new(), |d| d.action.clone());
    let (was, is) = (action(before), action(after));
    if was != is && !is.is_empty() {
        out.push(place.turned("decision", "", &was, &is, format!("decision {was} → {is}")));
    }
}

fn same(a: &MetricLine, b: &MetricLine) -> bool {
    a.name == b.name && a.grader == b.grader
}

/// The state of what decides, or that exploration found something; else nothing.
fn told(verdict: &Verdict) -> &str {
    match (verdict.decides, verdict.discovery) {
        (true, _) => &verdict.state,
        (_, true) => "discovery",
        _ => "",
    }
}

#[cfg(test)]
mod tests;
