//! The funnel: received, understood, calls, with an arm, with a score, each with a bar and its
//! share of the step it is a part of.

use crate::model::human;
use crate::model::meter::Meter;
use crate::model::view::View;
use crate::web::number;
use maud::{Markup, html};
use std::sync::atomic::Ordering::Relaxed;

/// One step, and what it is a part of.
struct Step {
    name: &'static str,
    says: &'static str,
    count: u64,
    of: u64,
}

/// The funnel as a section.
pub(super) fn section(view: &View, meter: &Meter) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="From received to scored" { table.funnel {
            thead { tr {
                th scope="col" { "step" } th.n scope="col" { "count" } th.n scope="col" { "share" }
                th scope="col" { span.dim { "of the step it is a part of" } }
            } }
            tbody { @for step in steps(view, meter) { (row(&step)) } }
        } }
        p.note { "Received and understood are since the process began, calls since the log began: "
            "after a restart they do not belong together. A span that is no call may still bring an "
            "arm, a unit or a prompt to one." }
    }
}

fn steps(view: &View, meter: &Meter) -> [Step; 5] {
    let received = meter.spans.load(Relaxed) + meter.log_records.load(Relaxed);
    let refused: u64 = meter.rejected.iter().map(|count| count.load(Relaxed)).sum();
    let counts = &view.counts;
    let step = |name, says, count, of| Step { name, says, count, of };
    [
        step("received", "spans and log records", received, received),
        step("understood", "not refused", received.saturating_sub(refused), received),
        step("calls", "model calls, each counted once", counts.calls, counts.calls),
        step("with an arm", "of some experiment", counts.with_arm, counts.calls),
        step("with a score", "at least one judgement", counts.with_score, counts.calls),
    ]
}

fn row(step: &Step) -> Markup {
    let share = (step.of > 0).then(|| step.count as f64 / step.of as f64);
    html! { tr {
        th scope="row" { (step.name) div.dim { (step.says) } }
        td.n { (number(step.count)) }
        td.n { (share.map_or("–".to_owned(), human::share)) }
        td { (bar(share.unwrap_or(0.0))) }
    } }
}

/// A bar beside its number, which is why nobody needs to hear it.
fn bar(share: f64) -> Markup {
    let width = format!("{:.1}", share.clamp(0.0, 1.0) * 100.0);
    html! {
        svg.bar viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" {
            rect.whole width="100" height="8" {}
            rect.part width=(width) height="8" {}
        }
    }
}
