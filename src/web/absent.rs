//! The page of a run that is not there, or not alone: what was wrong, and ids to try instead.

use super::page::frame;
use crate::compare::find::Absent;
use crate::model::url::part;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

/// Why nothing is shown, with its status: 404, or 409 when several runs begin with what was given.
pub fn response(given: &str, absent: &Absent) -> Response {
    let status = match absent {
        Absent::None(_) => StatusCode::NOT_FOUND,
        Absent::Several(..) => StatusCode::CONFLICT,
    };
    (status, page(given, absent)).into_response()
}

fn page(given: &str, absent: &Absent) -> Markup {
    let (title, lead) = match absent {
        Absent::None(_) => ("No such run", "Runs most like it:"),
        Absent::Several(..) => ("Which run?", "Runs that begin with it:"),
    };
    let ids = absent.candidates();
    let body = html! { section {
        h1 { (title) }
        p.lead { (capital(&absent.says(given))) "." }
        @if !ids.is_empty() {
            p { (lead) }
            ul.runs { @for id in ids { li { a href=(format!("/runs/{}", part(id))) { (id) } } } }
        }
        p { "It may have ended; " a href="/runs" { "see the runs there are" } "." }
    } };
    frame(title, false, body)
}

fn capital(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map_or(String::new(), |first| first.to_uppercase().chain(rest).collect())
}
