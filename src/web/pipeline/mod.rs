//! `/pipeline`: one funnel from what was received to what has a score, then what was lost or left
//! out and what to do about it, what waits, and how full the process is. What the doors counted is
//! since the process began; what the engine counted is since the log began.

mod funnel;
mod losses;

use super::page::{figure, frame};
use super::{Addresses, Queue, WebState, human, number};
use crate::model::meter::{Meter, SIGNALS};
use crate::model::view::View;
use axum::extract::State;
use maud::{Markup, html};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The page as an answer.
pub async fn show(State(state): State<WebState>) -> Markup {
    page(&state.view.load(), &state.meter, &state.addresses, (state.queue)())
}

/// The page.
pub fn page(view: &View, meter: &Meter, addresses: &Addresses, queue: Queue) -> Markup {
    let ready = meter.takes();
    let body = html! { section {
        div.title { h1 { "Pipeline" }
            span class=(if ready { "state live" } else { "state quiet" }) {
                (if ready { "ready" } else { "not ready" }) } }
        p.lead { "From what came in to what can be judged." }
        (funnel::section(view, meter))
        (losses::section(view, meter))
        h2 { "What waits" }
        (rows("What waits", &waiting(view)))
        h2 { "Queue and memory" }
        div.figures {
            (figure("requests being taken", &human::bytes(meter.in_flight_bytes.load(Relaxed))))
            (figure("waiting for log or engine", &human::bytes(queue.bytes)))
            (figure("entries behind the log", &number(queue.position.saturating_sub(view.position))))
        }
        (rows("Memory of the engine", &memory(view)))
        h2 { "Doors" }
        (rows("Doors", &doors(meter, addresses)))
        (forwarded(meter))
        p.note { a href="/api/v1/status" { "As JSON" } " · " a href="/metrics" { "As metrics" } }
    } };
    frame("Pipeline", true, body)
}

fn read(counter: &AtomicU64) -> String {
    number(counter.load(Relaxed))
}

fn rows(label: &str, rows: &[(&str, String)]) -> Markup {
    html! { div.scroll tabindex="0" role="region" aria-label=(label) { table.pairs { tbody {
        @for (name, value) in rows { tr { th scope="row" { (name) } td { (value) } } }
    } } } }
}

fn waiting(view: &View) -> Vec<(&'static str, String)> {
    let counts = &view.counts;
    vec![
        ("calls parked for their arm, unit or prompt", number(counts.parked)),
        ("scores that wait for their call", number(counts.waiting_scores)),
        ("how far back what comes late is counted", human::age(counts.horizon_s as f64)),
    ]
}

fn memory(view: &View) -> Vec<(&str, String)> {
    let known = |part: &str| match part {
        "join" => "young traces, to join what belongs together",
        "sealed" => "older traces, on disk",
        "tallies" => "sums of metrics",
        "units" => "register of units",
        _ => "",
    };
    let parts = view.counts.bytes.iter();
    parts
        .map(|(part, bytes)| {
            let name = Some(known(part)).filter(|name| !name.is_empty());
            (name.unwrap_or(part), human::bytes(*bytes))
        })
        .collect()
}

fn doors(meter: &Meter, addresses: &Addresses) -> Vec<(&'static str, String)> {
    vec![
        ("OTLP over gRPC", addresses.grpc.clone()),
        ("OTLP over HTTP", addresses.http.clone()),
        ("pages and API", addresses.web.clone()),
        ("requests answered", read(&meter.requests_ok)),
        ("requests malformed or too large", read(&meter.requests_bad)),
        ("requests refused for now, to be sent again", read(&meter.requests_refused)),
        ("requests above the quota, to be sent again", read(&meter.requests_over_quota)),
    ]
}

/// Requests that went on to another receiver, when there are any.
fn forwarded(meter: &Meter) -> Markup {
    let mut told = Vec::new();
    for (signal, counters) in SIGNALS.into_iter().zip(&meter.forwarded) {
        let counts = counters.each_ref().map(|counter| counter.load(Relaxed));
        if counts != [0; 3] {
            let [ok, later, refused] = counts.map(number);
            told.push((signal, format!("{ok} taken, {later} not yet, {refused} refused")));
        }
    }
    html! { @if !told.is_empty() { h2 { "Forwarded" } (rows("Forwarded", &told)) } }
}
