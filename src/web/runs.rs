//! `/runs`: the records there are, the newest epoch first, a hundred a page, with a form to filter
//! them and one to compare two. Both are plain forms; the address says everything.

use super::WebState;
use super::page::{frame, grade, short};
use super::{human, verdict};
use crate::model::record::{RunRecord, Verdict};
use crate::model::url::part;
use crate::model::view::View;
use axum::extract::{Query, State};
use maud::{Markup, html};
use serde::Deserialize;
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// Records on a page.
const PAGE: usize = 100;
/// Names offered in a list to choose from; above, a field to type in that suggests as many.
const CHOICES_MAX: usize = 50;

/// Which runs, and from where on. What is empty is not asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// Only of this experiment.
    pub experiment: String,
    /// Only of this arm.
    pub arm: String,
    /// Only of this site.
    pub site: String,
    /// The last record of the page before, as `epoch.id`.
    pub after: String,
}

/// The page as an answer.
pub async fn list(State(state): State<WebState>, Query(asked): Query<Asked>) -> Markup {
    page(&state.view.load(), &asked)
}

/// The page.
pub fn page(view: &View, asked: &Asked) -> Markup {
    let found = matching(view, asked);
    let start = asked.start(&found);
    let shown = &found[start..found.len().min(start + PAGE)];
    let body = html! { section {
        h1 { "Runs" }
        p.lead { "A run is what one arm served at one call site with one configuration." }
        @if view.runs.is_empty() {
            p { "There are none yet: a run begins with the first call that has an arm. "
                a href="/pipeline" { "See what has come so far" } "." }
        } @else {
            (filter(view, asked))
            @if shown.is_empty() {
                p { "No run matches. " a href="/runs" { "Show all" } "." }
            } @else {
                p.note { (range(start, shown.len(), found.len())) }
                (table(shown))
                (pages(asked, shown.last().filter(|_| start + shown.len() < found.len())))
            }
        }
        p.note { a href="/api/v1/runs" { "As JSON" } }
    } };
    frame("Runs", false, body)
}

/// The records that match, the newest epoch first.
fn matching<'v>(view: &'v View, asked: &Asked) -> Vec<&'v RunRecord> {
    let mut found: Vec<&RunRecord> = view.runs.iter().filter(|run| asked.takes(run)).collect();
    found.sort_by_key(|record| {
        let run = &record.run;
        (Reverse(record.window.epoch), &run.experiment, &run.site, &run.arm, &run.id)
    });
    found
}

fn range(start: usize, shown: usize, all: usize) -> String {
    let number = |n: usize| human::count(i64::try_from(n).unwrap_or(i64::MAX));
    match all {
        1 => "1 run".to_owned(),
        _ if shown == all => format!("{} runs", number(all)),
        _ => format!("{} to {} of {} runs", number(start + 1), number(start + shown), number(all)),
    }
}

fn filter(view: &View, asked: &Asked) -> Markup {
    let all = view.runs.iter().map(|record| record.run.experiment.as_str());
    let inside = || {
        view.runs
            .iter()
            .map(|record| &record.run)
            .filter(|run| asked.experiment.is_empty() || run.experiment == asked.experiment)
    };
    html! {
        form.filter method="get" action="/runs" {
            (choice("experiment", &asked.experiment, all.collect()))
            (choice("arm", &asked.arm, inside().map(|run| run.arm.as_str()).collect()))
            (choice("site", &asked.site, inside().map(|run| run.site.as_str()).collect()))
            button type="submit" { "Filter" }
            @if *asked != Asked::default() { a href="/runs" { "Show all" } }
        }
    }
}

/// One field of the filter. A name that was asked for stands there even when no run has it.
fn choice<'a>(name: &str, chosen: &'a str, mut names: BTreeSet<&'a str>) -> Markup {
    if !chosen.is_empty() {
        names.insert(chosen);
    }
    let list = format!("{name}-names");
    html! {
        label { span { (name) }
            @if names.len() > CHOICES_MAX {
                input type="text" name=(name) value=(chosen) list=(list) autocomplete="off";
                datalist id=(list) { @for name in names.iter().take(CHOICES_MAX) { option value=(name) {} } }
            } @else {
                select name=(name) {
                    option value="" { "all" }
                    @for name in &names { option value=(name) selected[*name == chosen] { (name) } }
                }
            }
        }
    }
}

fn table(shown: &[&RunRecord]) -> Markup {
    html! {
        form method="get" action="/compare" {
            div.scroll tabindex="0" role="region" aria-label="Runs" { table.list {
                thead { tr {
                    th scope="col" { "from" } th scope="col" { "to" }
                    th scope="col" { "run" } th scope="col" { "experiment" } th scope="col" { "arm" }
                    th scope="col" { "site" } th.n scope="col" { "epoch" } th scope="col" { "verdicts" }
                    th scope="col" { "model revision" } th.n scope="col" { "calls" }
                    th.n scope="col" { "units" } th scope="col" { "evidence" }
                    th scope="col" { "first seen, UTC" } th scope="col" { "last seen, UTC" }
                } }
                tbody { @for record in shown { (row(record)) } }
            } }
            p.act { button type="submit" { "Compare the two" }
                span.note { "Choose one run to compare from and one to compare to." } }
        }
    }
}

fn row(record: &RunRecord) -> Markup {
    let (run, window) = (&record.run, &record.window);
    let id = human::run(&run.id);
    html! { tr {
        td { input type="radio" name="a" value=(run.id) required aria-label=(format!("from {id}")); }
        td { input type="radio" name="b" value=(run.id) required aria-label=(format!("to {id}")); }
        th.runs scope="row" { a href=(address(record)) { (id) } }
        td { (short(&run.experiment)) }
        td { (short(&run.arm)) @if run.control { span.tag { "control" } } }
        td { (short(&run.site)) }
        td.n { (window.epoch) }
        td { (marks(record)) }
        td { (short(&model(record))) }
        td.n { (human::count(record.traffic.calls)) }
        td.n { (human::count(record.traffic.units)) }
        td { (grade(&record.evidence.grade)) }
        td { time datetime=(window.first_seen) { (human::minute(&window.first_seen)) } }
        td { time datetime=(window.last_seen) { (human::minute(&window.last_seen)) } }
    } }
}

/// Where a record is shown.
pub fn address(record: &RunRecord) -> String {
    format!("/runs/{}?epoch={}", part(&record.run.id), record.window.epoch)
}

/// The revision of the model, else what was requested.
pub fn model(record: &RunRecord) -> String {
    let model = record.config.get("model");
    let named = |key: &str| model.and_then(|model| model.get(key)).and_then(|v| v.as_str());
    named("revision").or_else(|| named("requested")).unwrap_or("–").to_owned()
}

/// The states of what decides, each once with the metrics it is about.
fn marks(record: &RunRecord) -> Markup {
    let decides = |verdict: &&Verdict| verdict.decides;
    let mut told: Vec<(&Verdict, Vec<&str>)> = Vec::new();
    for line in &record.metrics {
        let Some(verdict) = line.verdict.as_ref().filter(decides) else { continue };
        match told.iter_mut().find(|pair| pair.0.state == verdict.state) {
            Some(pair) => pair.1.push(&line.name),
            None => told.push((verdict, vec![&line.name])),
        }
    }
    html! {
        @if told.is_empty() { span.dim { "–" } }
        @for (verdict, names) in &told {
            div { (verdict::mark(verdict)) " " span.dim { (names.join(", ")) } }
        }
    }
}

fn pages(asked: &Asked, last: Option<&&RunRecord>) -> Markup {
    html! { nav.pages aria-label="Pages" {
        @if !asked.after.is_empty() {
            a href=(Asked { after: String::new(), ..asked.clone() }.address()) { "First page" }
        }
        @if let Some(last) = last {
            a rel="next" href=(Asked { after: cursor(last), ..asked.clone() }.address()) { "Next page" }
        }
    } }
}

/// The place of a record in the list: records that come or go do not shift pages.
fn cursor(record: &RunRecord) -> String {
    format!("{}.{}", record.window.epoch, record.run.id)
}

// === impl Asked ===

impl Asked {
    fn takes(&self, record: &RunRecord) -> bool {
        let fits = |wanted: &str, is: &str| wanted.is_empty() || wanted == is;
        fits(&self.experiment, &record.run.experiment)
            && fits(&self.arm, &record.run.arm)
            && fits(&self.site, &record.run.site)
    }

    /// Where the page begins. A record that has gone since leaves its epoch to be shown again:
    /// better than to skip what was never seen.
    fn start(&self, found: &[&RunRecord]) -> usize {
        let Some((epoch, id)) = self.after.split_once('.') else { return 0 };
        let Ok(epoch) = epoch.parse::<u32>() else { return 0 };
        let is_last = |r: &&RunRecord| r.window.epoch == epoch && r.run.id == id;
        let after = found.iter().position(is_last).map(|at| at + 1);
        after.unwrap_or_else(|| found.partition_point(|record| record.window.epoch > epoch))
    }

    fn address(&self) -> String {
        let fields = [
            ("experiment", &self.experiment),
            ("arm", &self.arm),
            ("site", &self.site),
            ("after", &self.after),
        ];
        let given = fields.iter().filter(|(_, value)| !value.is_empty());
        let pairs: Vec<String> =
            given.map(|(name, value)| format!("{name}={}", part(value))).collect();
        if pairs.is_empty() { "/runs".to_owned() } else { format!("/runs?{}", pairs.join("&")) }
    }
}
