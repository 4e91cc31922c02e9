//! `/compare/{a}/{b}`: two runs side by side, and the same as Markdown under `.md`. What the
//! difference may be put down to comes first; it never says more than `crate::compare` found.

mod diff;
mod forest;
pub mod markdown;

pub use diff::diff;

use super::page::{frame, short};
use super::{WebState, absent, human};
use crate::compare::{Comparison, RunSide, compare, find, side_by_side};
use crate::model::url::part;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

/// What follows an address to have it as Markdown. Run ids are hexadecimal, so none ends so.
const AS_MARKDOWN: &str = ".md";

/// The two runs, as the form of the list sends them.
#[derive(Deserialize)]
pub struct Chosen {
    #[serde(default)]
    a: String,
    #[serde(default)]
    b: String,
}

/// Leads to the comparison of what was chosen, or back to the list when that were not two.
pub async fn choose(Query(Chosen { a, b }): Query<Chosen>) -> Redirect {
    match a.is_empty() || b.is_empty() {
        true => Redirect::to("/runs"),
        false => Redirect::to(&format!("/compare/{}/{}", part(&a), part(&b))),
    }
}

/// The page as an answer, or its Markdown.
pub async fn show(State(state): State<WebState>, Path((a, b)): Path<(String, String)>) -> Response {
    let (b, plain) = match b.strip_suffix(AS_MARKDOWN) {
        Some(b) => (b, true),
        None => (b.as_str(), false),
    };
    let view = state.view.load();
    let (from, to) = match (find::run(&view, &a), find::run(&view, b)) {
        (Ok(from), Ok(to)) => side_by_side(&view, from, to),
        (Err(found), _) => return absent::response(&a, &found),
        (_, Err(found)) => return absent::response(b, &found),
    };
    let found = compare(&view, from, to);
    if plain {
        let kind = [(header::CONTENT_TYPE, "text/markdown; charset=utf-8")];
        return (kind, markdown::text(&found)).into_response();
    }
    page(&found).into_response()
}

/// The page.
pub fn page(found: &Comparison) -> Markup {
    let (a, b) = (human::run(&found.a), human::run(&found.b));
    let body = html! { section {
        h1 { "Run " code { (a) } " against run " code { (b) } }
        div.scroll tabindex="0" role="region" aria-label="The two runs" { table.narrow {
            thead { tr {
                th scope="col" { "run" } th scope="col" { "experiment" } th scope="col" { "site" }
                th scope="col" { "arm" } th.n scope="col" { "epoch" } th.n scope="col" { "calls" }
                th.n scope="col" { "units" } th scope="col" { "last seen, UTC" }
            } }
            tbody { (side("from", &found.a, &found.run_a)) (side("to", &found.b, &found.run_b)) }
        } }
        h2 { "What the difference may be put down to" }
        (diff(found))
        p.note { a href=(format!("/compare/{}/{}", part(&found.b), part(&found.a))) { "The other way round" }
            " · " a href=(format!("/api/v1/runs/{}/compare/{}", part(&found.a), part(&found.b))) { "As JSON" } }
    } };
    frame(&format!("{a} against {b}"), false, body)
}

fn side(which: &str, id: &str, side: &RunSide) -> Markup {
    html! { tr {
        th scope="row" { (which) " " a href=(format!("/runs/{}?epoch={}", part(id), side.epoch)) { code { (human::run(id)) } } }
        td { (short(&side.experiment)) }
        td { (short(&side.site)) }
        td { (short(&side.arm)) @if side.control { span.tag { "control" } } }
        td.n { (side.epoch) }
        td.n { (human::count(side.calls)) }
        td.n { (human::count(side.units)) }
        td { (human::minute(&side.last_seen)) }
    } }
}
