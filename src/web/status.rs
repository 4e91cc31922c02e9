//! `/status`: what came in, what became of it, what is full.

use super::page::{figure, frame};
use super::{Addresses, human};
use crate::model::delivery::SinkStatus;
use crate::model::meter::{Meter, SIGNALS};
use crate::model::reject::Reject;
use crate::model::view::View;
use maud::{Markup, html};
use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The page.
pub fn page(view: &View, meter: &Meter, addresses: &Addresses) -> Markup {
    let ready = meter.ready.load(Relaxed);
    let body = html! {
        section {
            div.title { h1 { "Status" }
                span class=(if ready { "state live" } else { "state quiet" }) { (if ready { "ready" } else { "not ready" }) } }
            div.figures {
                (figure("spans received", &read(&meter.spans)))
                (figure("log records", &read(&meter.log_records)))
                (figure("calls", &human::count(signed(view.counts.calls))))
                (figure("log position", &human::count(signed(view.position))))
            }
            h2 { "Doors" }
            (counts(&doors(meter, addresses)))
            (forwarded(meter))
            h2 { "Refused" }
            (refused(meter))
            h2 { "Sinks" }
            (sinks(meter))
            h2 { "Engine" }
            (counts(&engine(view)))
            (named("Limits that were hit", &view.counts.limits, human::count))
            (named("Memory", &view.counts.bytes, |bytes| human::bytes(bytes.unsigned_abs())))
            (named("Scores given up", &view.counts.orphaned, human::count))
            p.note { a href="/api/v1/status" { "As JSON" } }
        }
    };
    frame("Status", true, body)
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn read(counter: &AtomicU64) -> String {
    human::count(signed(counter.load(Relaxed)))
}

fn doors(meter: &Meter, addresses: &Addresses) -> Vec<(&'static str, String)> {
    vec![
        ("OTLP over gRPC", addresses.grpc.clone()),
        ("OTLP over HTTP", addresses.http.clone()),
        ("requests answered", read(&meter.requests_ok)),
        ("requests malformed or too large", read(&meter.requests_bad)),
        ("requests refused for now", read(&meter.requests_refused)),
        ("bytes in flight", human::bytes(meter.in_flight_bytes.load(Relaxed))),
        ("assignments found", read(&meter.assignments)),
        ("scores found", read(&meter.scores)),
        ("metric points, not used", read(&meter.metric_points)),
        ("flag evaluations without a variant", read(&meter.flags_without_variant)),
        ("values of a wrong type", read(&meter.bad_values)),
    ]
}

/// Requests that went on to another receiver, when there are any.
fn forwarded(meter: &Meter) -> Markup {
    let mut rows = Vec::new();
    for (signal, counters) in SIGNALS.into_iter().zip(&meter.forwarded) {
        let counts = counters.each_ref().map(|counter| counter.load(Relaxed));
        if counts != [0; 3] {
            let [ok, later, refused] = counts.map(|count| human::count(signed(count)));
            rows.push((signal, format!("{ok} taken, {later} not yet, {refused} refused")));
        }
    }
    html! { @if !rows.is_empty() { h2 { "Forwarded" } (counts(&rows)) } }
}

fn engine(view: &View) -> Vec<(&'static str, String)> {
    let counts = &view.counts;
    let shown = |value: u64| human::count(signed(value));
    vec![
        ("calls with an arm", shown(counts.with_arm)),
        ("calls with a score", shown(counts.with_score)),
        ("calls without an arm", shown(counts.unassigned)),
        ("calls that wait for arm, unit or prompt", shown(counts.parked)),
        ("scores that wait for their call", shown(counts.waiting_scores)),
        ("calls of judges", shown(counts.judge_calls)),
        ("repeats, not counted", shown(counts.duplicates)),
        ("repeats with other content", shown(counts.conflicts)),
        ("late, kept but not counted", shown(counts.late)),
        ("traces with two arms, left out", shown(counts.conflicting_traces)),
    ]
}

fn counts(rows: &[(&str, String)]) -> Markup {
    html! { table.pairs { tbody {
        @for (name, value) in rows { tr { th scope="row" { (name) } td { (value) } } }
    } } }
}

fn refused(meter: &Meter) -> Markup {
    let counted = Reject::ALL.into_iter().filter_map(|reason| {
        let count = meter.rejected[reason as usize].load(Relaxed);
        (count > 0).then_some((reason, count))
    });
    let rows: Vec<(Reject, u64)> = counted.collect();
    html! {
        @if rows.is_empty() { p.dim { "Nothing." } } @else {
            table { tbody { @for (reason, count) in rows { tr {
                th scope="row" { code { (reason.name()) } }
                td.n { (human::count(signed(count))) }
                td { (reason.advice()) }
            } } } }
        }
    }
}

/// Where records and events go, and what holds them up.
fn sinks(meter: &Meter) -> Markup {
    let sinks = meter.sinks.lock().unwrap_or_else(PoisonError::into_inner);
    html! {
        @if sinks.is_empty() { p.dim { "None." } } @else {
            table {
                thead { tr {
                    th scope="col" { "sink" } th scope="col" { "state" }
                    th.n scope="col" { "waiting" } th.n scope="col" { "delivered" }
                    th.n scope="col" { "refused" } th scope="col" { "last success" }
                    th scope="col" { "what is wrong" }
                } }
                tbody { @for sink in sinks.values() { (sink_row(sink)) } }
            }
        }
    }
}

fn sink_row(sink: &SinkStatus) -> Markup {
    let told = sink.last_error.as_ref().or(sink.last_refusal.as_ref());
    let trouble = sink.last_error.is_some();
    let success = sink.last_success.as_deref().map_or("–".to_owned(), human::minute);
    html! { tr {
        th scope="row" { code { (super::page::short(&sink.name)) } }
        td { span class=(if trouble { "state quiet" } else { "state live" }) { (sink.state) } }
        td.n { (human::count(signed(sink.waiting))) }
        td.n { (human::count(signed(sink.delivered))) }
        td.n { (human::count(signed(sink.refused))) }
        td { (success) }
        td.long { (told.map_or("–", String::as_str)) }
    } }
}

fn named(title: &str, map: &BTreeMap<String, u64>, shown: impl Fn(i64) -> String) -> Markup {
    html! {
        @if !map.is_empty() {
            h2 { (title) }
            table.pairs { tbody {
                @for (name, value) in map { tr { th scope="row" { (name) } td { (shown(signed(*value))) } } }
            } }
        }
    }
}
