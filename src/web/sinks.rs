//! `/sinks`: where records and events go, how each sink does, and what to do when one does not.

use super::human;
use super::page::{frame, short};
use super::{WebState, number};
use crate::model::delivery::SinkStatus;
use crate::model::meter::Meter;
use axum::extract::State;
use maud::{Markup, html};
use std::sync::PoisonError;

/// The page as an answer.
pub async fn show(State(state): State<WebState>) -> Markup {
    page(&state.meter)
}

/// The page.
pub fn page(meter: &Meter) -> Markup {
    let sinks = meter.sinks.lock().unwrap_or_else(PoisonError::into_inner);
    let ill = sinks.values().filter(|sink| advice(sink).is_some()).count();
    let body = html! { section {
        h1 { "Sinks" }
        @if sinks.is_empty() {
            p.lead { "Nothing is sent anywhere." }
            p { "Records and events are kept all the same. Name a sink under " code { "sinks" }
                " in the config, and it gets them from the beginning; or take them once with "
                code { "armspan export KIND" } "." }
        } @else {
            p.lead { @match ill {
                0 => "Every sink has what it should have, or is getting it.",
                1 => "One sink needs a look.",
                _ => { (ill) " sinks need a look." },
            } }
            (table(sinks.values()))
            @for sink in sinks.values() { (trouble(sink)) }
        }
        p.note { a href="/api/v1/status" { "As JSON" } }
    } };
    frame("Sinks", true, body)
}

fn table<'a>(sinks: impl Iterator<Item = &'a SinkStatus>) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Sinks" { table {
            thead { tr {
                th scope="col" { "sink" } th scope="col" { "state" }
                th.n scope="col" { "waiting" } th.n scope="col" { "delivered" }
                th.n scope="col" { "refused" } th.n scope="col" { "failed attempts" }
                th scope="col" { "last success, UTC" }
            } }
            tbody { @for sink in sinks { (row(sink)) } }
        } }
    }
}

fn row(sink: &SinkStatus) -> Markup {
    let success = sink.last_success.as_deref().map_or("never".to_owned(), human::minute);
    let class = if sink.last_error.is_some() { "state quiet" } else { "state live" };
    html! { tr {
        th scope="row" { code { (short(&sink.name)) } }
        td { span class=(class) { (sink.state) } }
        td.n { (number(sink.waiting)) }
        td.n { (number(sink.delivered)) }
        td.n { (number(sink.refused)) }
        td.n { (number(sink.failures)) }
        td { (success) }
    } }
}

/// What is wrong with a sink, in its own words, and what to do about it.
fn trouble(sink: &SinkStatus) -> Markup {
    html! {
        @if let Some(advice) = advice(sink) {
            h2 { code { (sink.name) } }
            @if let Some(error) = &sink.last_error { p { b { "Last error: " } (error) } }
            @if let Some(refusal) = &sink.last_refusal { p { b { "Last refusal: " } (refusal) } }
            p.note { (advice) }
        }
    }
}

/// What to do; nothing for a sink that does well.
pub fn advice(sink: &SinkStatus) -> Option<String> {
    let mut told = Vec::new();
    if sink.state == "stopped" {
        told.push(
            "It takes nothing any more: armspan is stopping, or the sink was taken out of the \
             config."
                .to_owned(),
        );
    } else if sink.last_error.is_some() {
        told.push(format!(
            "The same item is tried again with growing pauses and {} wait behind it; nothing is \
             lost. See that the address is right, that it answers, and that the credentials hold.",
            number(sink.waiting)
        ));
    }
    if sink.refused > 0 {
        let kind = sink.name.split(':').next().unwrap_or("KIND");
        told.push(format!(
            "Refused by the tool for ever, and passed over: {}. When the cause is gone, send what \
             was refused with armspan export {kind} --from TIME.",
            number(sink.refused)
        ));
    }
    (!told.is_empty()).then(|| told.join(" "))
}
