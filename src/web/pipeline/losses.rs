//! What came and is not among the figures: refused at the doors, given up, left out on purpose, or
//! beyond a limit. Every row says what to do; what is as it should be says so.

use crate::model::meter::Meter;
use crate::model::reject::Reject;
use crate::model::view::{Counts, View};
use crate::web::number;
use maud::{Markup, html};
use std::sync::atomic::Ordering::Relaxed;

/// One thing that is missing from the figures.
struct Loss {
    what: String,
    count: u64,
    advice: String,
}

/// All of them, as two tables.
pub(super) fn section(view: &View, meter: &Meter) -> Markup {
    let lost: Vec<Loss> =
        [refused(meter), doors(meter), engine(&view.counts), limits(&view.counts)]
            .into_iter()
            .flatten()
            .filter(|loss| loss.count > 0)
            .collect();
    let meant: Vec<Loss> = on_purpose(&view.counts).filter(|loss| loss.count > 0).collect();
    html! {
        h2 { "Lost, and what to do" }
        @if lost.is_empty() { p { "Nothing was lost." } } @else {
            (table("Lost", "what to do", &lost))
        }
        @if !meant.is_empty() {
            h2 { "Left out on purpose" }
            (table("Left out on purpose", "why", &meant))
        }
    }
}

fn table(label: &str, last: &str, losses: &[Loss]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(label) { table {
            thead { tr {
                th scope="col" { "what" } th.n scope="col" { "count" } th scope="col" { (last) }
            } }
            tbody { @for loss in losses { tr {
                th scope="row" { (loss.what) }
                td.n { (number(loss.count)) }
                td.long { (loss.advice) }
            } } }
        } }
    }
}

fn loss(what: &str, count: u64, advice: &str) -> Loss {
    Loss { what: what.to_owned(), count, advice: advice.to_owned() }
}

fn refused(meter: &Meter) -> Vec<Loss> {
    let count = |reason: Reject| meter.rejected[reason as usize].load(Relaxed);
    let told = |reason: Reject| format!("refused: {}", reason.name().replace('_', " "));
    let all = Reject::ALL.into_iter();
    all.map(|reason| loss(&told(reason), count(reason), reason.advice())).collect()
}

fn doors(meter: &Meter) -> Vec<Loss> {
    let (flags, values) = (&meter.flags_without_variant, &meter.bad_values);
    vec![
        loss(
            "flag evaluations without a variant",
            flags.load(Relaxed),
            "they name no arm; switch the variant on in the tracing hook of your flag SDK",
        ),
        loss(
            "values of a wrong type",
            values.load(Relaxed),
            "the rest of the span was used; send numbers as numbers",
        ),
        loss(
            "requests malformed or too large",
            meter.requests_bad.load(Relaxed),
            "nothing of them was used; see the exporter's log for the answer, and its batch size",
        ),
    ]
}

fn engine(counts: &Counts) -> Vec<Loss> {
    let mut out = vec![
        loss(
            "calls without an arm",
            counts.unassigned,
            "they belong to no experiment; add the tracing hook of your flag SDK, or set \
             armspan.experiment and armspan.arm on a span of the trace",
        ),
        loss(
            "later than the horizon",
            counts.late,
            "kept in the log and not counted; send spans within the horizon, or set a longer one",
        ),
        loss(
            "repeats of an id with other content",
            counts.conflicts,
            "the first one counts; span ids must be unique within a trace",
        ),
        loss(
            "traces with two arms of one experiment",
            counts.conflicting_traces,
            "left out; evaluate the flag once for a request and pass the result on",
        ),
    ];
    out.extend(counts.orphaned.iter().map(|(reason, count)| {
        loss(&format!("scores given up: {}", reason.replace('_', " ")), *count, orphan(reason))
    }));
    out
}

/// What to do about scores that found no call.
fn orphan(reason: &str) -> &'static str {
    match reason {
        "no_call" => "their trace has no model call that was understood; see armspan explain",
        "unknown_response" => {
            "no call came with their response id; send the score by trace and span id"
        }
        "session_only" => "a session is no call; send the score with a trace or response id",
        _ => "send the score with the trace id and span id of its call",
    }
}

fn limits(counts: &Counts) -> Vec<Loss> {
    let told =
        |(name, count): (&String, &u64)| loss(&format!("limit: {name}"), *count, bounds(name));
    counts.limits.iter().map(told).collect()
}

/// What a limit bounds, and what becomes of what is beyond it.
fn bounds(limit: &str) -> &'static str {
    match limit {
        "experiments_max" => {
            "bounds experiments; more are the experiment `other`: name those that matter under \
             flags.include"
        }
        "arms_max" => "bounds the arms of an experiment; more are the arm `other`",
        "runs_max" => {
            "bounds live runs of an arm and site; more are one overflow run: take what changes with \
             each call out of prompt and settings"
        }
        "metrics_max" => "bounds metrics of an experiment; more are the metric `other`",
        "names_max" => "bounds names and facet sets; more are `other`",
        "tally_bytes_max" => "bounds the sums of metrics; new runs go to overflow runs",
        "join_bytes" => {
            "bounds young traces; calls that still waited were counted with what they had and are \
             corrected when more comes: raise limits.join_bytes_max if traces are long"
        }
        "horizon_bytes" => {
            "bounds sealed traces on disk; the oldest went before the horizon was over: raise \
             limits.horizon_bytes_max"
        }
        "sealed_unreadable" => "counts sealed traces that could not be read; report it",
        "waiting_scores" => "bounds scores that wait for a response id; more are dropped",
        "response_ids" => {
            "bounds response ids that are remembered; scores by a later one find no call: send \
             them by trace id"
        }
        _ => "what is beyond it is counted under `other` or dropped",
    }
}

fn on_purpose(counts: &Counts) -> impl Iterator<Item = Loss> {
    let wrappers = counts.wrappers.values().sum();
    [
        loss("repeats", counts.duplicates, "the same span or record again: counted once"),
        loss("wrapper spans", wrappers, "a framework's span around a call that came as well"),
        loss(
            "calls of judges",
            counts.judge_calls,
            "they judge other calls, so no arm served them",
        ),
    ]
    .into_iter()
}
