//! `/` and `/experiments`: the one experiment when there is one, a list of all when there are
//! several, and what to do when there is none; and the page of each.

use super::experiment::asked::Asked;
use super::experiment::sight::Sight;
use super::page::frame;
use super::{WebState, experiment, human, verdict, waiting};
use crate::judge::trust::{self, Notice, Severity};
use crate::model::reject::Reject;
use crate::model::url::part;
use crate::model::view::{ExperimentView, View};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::atomic::Ordering::Relaxed;

/// Experiments of one page; the form finds the rest.
const PAGE: usize = 100;

/// Which experiments.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    /// Whose names hold this.
    q: String,
    /// How many come before.
    skip: usize,
}

/// `/`.
pub async fn index(State(state): State<WebState>, asked: Query<Asked>) -> Response {
    let view = state.view.load_full();
    match view.experiments.as_slice() {
        [] => waiting::page(&view, &state.meter, &state.addresses).into_response(),
        [one] => {
            let name = one.name.clone();
            show(State(state), Path(name), asked).await
        }
        _ => list_page(&view, &state, &Wanted::default()).into_response(),
    }
}

/// `/experiments`.
pub async fn list(State(state): State<WebState>, Query(wanted): Query<Wanted>) -> Markup {
    let view = state.view.load();
    match view.experiments.is_empty() {
        true => waiting::page(&view, &state.meter, &state.addresses),
        false => list_page(&view, &state, &wanted),
    }
}

/// `/experiments/{experiment}`.
pub async fn show(
    State(state): State<WebState>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Response {
    let found = tokio::task::spawn_blocking(move || rendered(&state, &name, &asked, &draw)).await;
    // A page that panicked was logged where it did.
    found.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

/// `/experiments/{experiment}/report.html`: the same in one file.
pub async fn report(
    State(state): State<WebState>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Response {
    let page = |sight: Option<&Sight<'_>>, name: &str, notices: &[Notice]| {
        let name = format!("attachment; filename=\"{}-report.html\"", part(name));
        let page = super::report::page(sight, notices);
        ([(header::CONTENT_DISPOSITION, name)], page).into_response()
    };
    let found = tokio::task::spawn_blocking(move || rendered(&state, &name, &asked, &page)).await;
    found.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

type Draw = dyn Fn(Option<&Sight<'_>>, &str, &[Notice]) -> Response;

/// Waits for the engine where a window has figures of its own, so not for a thread of requests.
fn rendered(state: &WebState, name: &str, asked: &Asked, draw: &Draw) -> Response {
    let view = state.view.load_full();
    let Some(found) = view.experiments.iter().find(|one| one.name == name) else {
        return (StatusCode::NOT_FOUND, absent(&view, name)).into_response();
    };
    let notices = notices(found, &view, state);
    draw(Sight::new(&view, found, asked, &state.series).as_ref(), name, &notices)
}

fn draw(sight: Option<&Sight<'_>>, name: &str, notices: &[Notice]) -> Response {
    let body = match sight {
        Some(sight) => experiment::body(sight, notices),
        None => experiment::empty(name),
    };
    frame(name, true, body).into_response()
}

/// What must be known before the figures of an experiment.
pub fn notices(experiment: &ExperimentView, view: &View, state: &WebState) -> Vec<Notice> {
    let count = |reason: Reject| state.meter.rejected[reason as usize].load(Relaxed);
    let rejected = Reject::ALL.map(|reason| (reason, count(reason)));
    trust::notices(experiment, &view.counts, &rejected)
}

fn absent(view: &View, name: &str) -> Markup {
    let near = view.experiments.iter().filter(|one| strsim::jaro(&one.name, name) > 0.7).take(5);
    frame(
        "No such experiment",
        false,
        html! { section {
            h1 { "No such experiment" }
            p.lead { "There is none of the name " code { (name) } "." }
            ul { @for one in near { li { a href=(href(&one.name)) { (one.name) } } } }
            p { a href="/experiments" { "See all experiments" } }
        } },
    )
}

fn href(name: &str) -> String {
    format!("/experiments/{}", part(name))
}

fn list_page(view: &View, state: &WebState, wanted: &Wanted) -> Markup {
    let holds = |one: &&ExperimentView| one.name.contains(&wanted.q);
    let found: Vec<&ExperimentView> = view.experiments.iter().filter(holds).collect();
    let shown = found.iter().skip(wanted.skip).take(PAGE);
    let rest = found.len().saturating_sub(wanted.skip + PAGE);
    let body = html! { section {
        h1 { "Experiments" }
        @if view.experiments.len() > PAGE || !wanted.q.is_empty() {
            form.filter method="get" action="/experiments" role="search" {
                label { "name contains" input type="text" name="q" value=(wanted.q); }
                button { "Find" }
            }
        }
        @if found.is_empty() { p { "No experiment matches. " a href="/experiments" { "Show all" } "." } }
        @else { div.scroll tabindex="0" role="region" aria-label="Experiments" { table.list {
            thead { tr {
                th scope="col" { "experiment" } th scope="col" { "state" } th scope="col" { "can it be trusted" }
                th scope="col" { "what to do" } th.n scope="col" { "calls" } th scope="col" { "control" }
                th.n scope="col" { "arms" } th scope="col" { "last call, UTC" }
            } }
            tbody { @for one in shown { (row(one, &notices(one, view, state))) } }
        } } }
        @if rest > 0 {
            nav.pages { a href=(format!("/experiments?q={}&skip={}", part(&wanted.q), wanted.skip + PAGE)) { "next" }
                span.dim { (rest) " more" } }
        }
    } };
    frame("Experiments", true, body)
}

fn row(one: &ExperimentView, notices: &[Notice]) -> Markup {
    let invalid = notices.iter().find(|notice| notice.severity == Severity::Invalid);
    html! { tr {
        th scope="row" { a href=(href(&one.name)) { (one.name) } @if !one.configured { span.tag { "not in the config" } } }
        td { span class=(format!("state {}", if one.state == "live" { "live" } else { "quiet" })) { (one.state) } }
        td { @match invalid {
            Some(notice) => span.verdict.bad { (verdict::shape("invalid")) " " (notice.title) },
            None => span.dim { "nothing speaks against it" },
        } }
        td { (actions(one)) }
        td.n { (human::count(one.calls)) }
        td { (one.control.as_deref().unwrap_or("–")) @if one.control_assumed { span.tag { "assumed" } } }
        td.n { (one.arms.len()) }
        td { (one.last_seen.as_deref().map_or("–".to_owned(), human::minute)) }
    } }
}

/// What the arms of the site that decides are to be done with.
fn actions(one: &ExperimentView) -> Markup {
    let arms = one.sites.iter().filter(|site| site.decides).flat_map(|site| &site.arms);
    let found = arms.filter_map(|arm| Some((arm, arm.decision.as_ref()?)));
    let said: Vec<_> = found.filter(|(_, decision)| decision.action != "wait").collect();
    html! {
        @if said.is_empty() { span.dim { "wait" } }
        @for (arm, decision) in said {
            span class=(format!("decision {}", decision.action.replace(' ', "-"))) {
                (verdict::shape(&decision.action)) " " (arm.arm) ": " (decision.action) } " "
        }
    }
}
