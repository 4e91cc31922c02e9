//! `/runs/{id}`: one record, readable: what can be said of it, its figures, its configuration,
//! what that rests on, and where to look.

mod evidence;
mod metrics;

use super::page::{figure, frame, from_to, grade, short, trace, value};
use super::{WebState, absent, human, runs};
use crate::compare::find;
use crate::model::record::{Change, Link, RunRecord};
use crate::model::url::part;
use crate::model::view::View;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value as Json;

/// Changes shown at most; the record has all.
const CHANGES_MAX: usize = 50;

/// Which of the epochs of a run.
#[derive(Deserialize)]
pub struct Asked {
    epoch: Option<u32>,
}

/// The page as an answer; an epoch in which the run was not seen gives the newest one.
pub async fn show(
    State(state): State<WebState>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Response {
    let view = state.view.load();
    match find::run(&view, &id) {
        Err(found) => absent::response(&id, &found),
        Ok(newest) => {
            let epochs = epochs(&view, newest);
            let chosen = epochs.iter().find(|record| Some(record.window.epoch) == asked.epoch);
            page(&view, chosen.unwrap_or(&newest), &epochs).into_response()
        }
    }
}

/// All records of a run, the newest epoch first.
fn epochs<'v>(view: &'v View, of: &RunRecord) -> Vec<&'v RunRecord> {
    let mut found: Vec<&RunRecord> =
        view.runs.iter().filter(|record| record.run.id == of.run.id).collect();
    found.sort_by_key(|record| std::cmp::Reverse(record.window.epoch));
    found
}

/// The page.
pub fn page(view: &View, record: &RunRecord, epochs: &[&RunRecord]) -> Markup {
    let id = human::run(&record.run.id);
    let body = html! { section {
        (head(record))
        (others(view, record, epochs))
        h2 { "Metrics" }
        (metrics::said(&record.metrics))
        (metrics::table(&record.metrics))
        h2 { "Configuration" }
        (configuration(record))
        (evidence::section(&record.evidence))
        (evidence::observed(&record.observed))
        @if let Some(ratio) = &record.sample_ratio { (evidence::ratio(ratio)) }
        (changes(&record.changes))
        (links(&record.links))
        (foot(record))
    } };
    frame(&format!("Run {id}"), false, body)
}

fn head(record: &RunRecord) -> Markup {
    let (run, window, traffic) = (&record.run, &record.window, &record.traffic);
    html! {
        div.title { h1 { "Run " code { (human::run(&run.id)) } } (grade(&record.evidence.grade)) }
        p.note { (run.experiment) " · arm " b { (run.arm) } @if run.control { " (control)" }
            " · site " (run.site) " · " (run.mode) " · epoch " (window.epoch)
            @if window.closed { " (over)" }
            @if run.partial { " · partial: belongs to none of several runs for sure" }
            @if run.overflow { " · overflow: collects what is above the limit of live runs" } }
        div.figures {
            (figure("calls", &human::count(traffic.calls)))
            (figure(&format!("units ({})", traffic.unit), &human::count(traffic.units)))
            (figure("first call, UTC", &human::minute(&window.first_seen)))
            (figure("last call, UTC", &human::minute(&window.last_seen)))
        }
        p.note { (human::count(traffic.duplicates)) " repeats and " (human::count(traffic.late))
            " late calls were not counted; " (human::count(traffic.crossover_units))
            " units were seen in another arm, too." }
    }
}

/// Where to go from here: what it is compared with, and its other epochs.
fn others(view: &View, record: &RunRecord, epochs: &[&RunRecord]) -> Markup {
    let id = &record.run.id;
    html! {
        p.act {
            @if let Some(control) = control_of(view, record) {
                a.button href=(format!("/compare/{}/{}", part(&control.run.id), part(id))) {
                    "Compare with " (control.run.arm) ", run " (human::run(&control.run.id))
                }
            }
            a href=(format!("/api/v1/runs/{}", part(id))) { "This run as JSON" }
        }
        @if epochs.len() > 1 {
            nav.epochs aria-label="Epochs of this run" {
                span.dim { "Epochs: " }
                @for other in epochs {
                    @let current = other.window.epoch == record.window.epoch;
                    a href=(runs::address(other)) aria-current=[current.then_some("page")] {
                        (other.window.epoch) " (" (human::count(other.traffic.calls)) " calls)"
                    } " "
                }
            }
        }
    }
}

/// Control's busiest run of the same site: in the same epoch when there is one, else the newest.
fn control_of<'v>(view: &'v View, record: &RunRecord) -> Option<&'v RunRecord> {
    let run = &record.run;
    let fits = |other: &&RunRecord| {
        let same_place = (&other.run.experiment, &other.run.site) == (&run.experiment, &run.site);
        same_place && other.run.control && other.run.id != run.id
    };
    view.runs.iter().filter(fits).max_by_key(|other| {
        let window = &other.window;
        (window.epoch == record.window.epoch, window.epoch, other.traffic.calls)
    })
}

fn configuration(record: &RunRecord) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Configuration" { table.pairs { tbody {
            @for (path, leaf) in leaves(record) { tr { th scope="row" { (path) } td { (short(&leaf)) } } }
            tr { th scope="row" { "fingerprint" } td { code { (short(&record.run.fingerprint)) } } }
            @if let Some(cases) = &record.cases {
                tr { th scope="row" { "cases" } td { (cases.count) ", inputs " code { (short(&cases.inputs)) } } }
            }
        } } }
    }
}

fn leaves(record: &RunRecord) -> Vec<(String, String)> {
    let found = crate::compare::facets(&record.config);
    found.into_iter().map(|(path, leaf): (String, &Json)| (path, value(leaf))).collect()
}

/// What changed, newest first.
fn changes(changes: &[Change]) -> Markup {
    let more = changes.len().saturating_sub(CHANGES_MAX);
    html! {
        @if !changes.is_empty() {
            h2 { "Changes" }
            ul.changes { @for change in changes.iter().rev().take(CHANGES_MAX) { li {
                time datetime=(change.at) { (human::minute(&change.at)) }
                b { (change.arm) }
                code { (change.field) }
                (from_to(change))
            } } }
            @if more > 0 { p.note { "and " (more) " earlier ones, in the JSON" } }
        }
    }
}

fn links(links: &[Link]) -> Markup {
    html! {
        @if !links.is_empty() {
            h2 { "Traces to look at" }
            ul.changes { @for link in links { li {
                b { (link.rel) } @if let Some(why) = &link.why { span { (why) } }
                (trace(link, &link.trace_id))
                span.dim { "call " code { (link.span_id) } }
            } } }
            @if links.iter().all(|link| link.href.is_none()) {
                p.note { "Set " code { "links.trace" } " in the config to open them in your tracing tool." }
            }
        }
    }
}

fn foot(record: &RunRecord) -> Markup {
    let by = &record.collector;
    html! { p.note { "armspan " (by.version) " · log position " (record.position())
    " · settings " code { (short(&by.config)) } " · run " code { (record.run.id) } } }
}
