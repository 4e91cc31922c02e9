//! What a run rests on: which facets its calls named and who left them out, what was observed
//! beside them, and whether units came in the planned shares.

use crate::model::human;
use crate::model::record::{Evidence, FacetEvidence, Observed, SampleRatio};
use crate::web::page::{grade, short, value};
use maud::{Markup, html};
use serde_json::Value as Json;

/// Which required facets were present.
pub(super) fn section(evidence: &Evidence) -> Markup {
    html! {
        h2 { "Evidence" }
        p { "Grade " (grade(&evidence.grade)) " on " (human::count(evidence.calls)) " calls." }
        @if !evidence.facets.is_empty() {
            div.scroll tabindex="0" role="region" aria-label="Evidence" { table {
                thead { tr {
                    th scope="col" { "facet" } th.n scope="col" { "on calls" }
                    th.n scope="col" { "share" } th scope="col" { "left out by" }
                } }
                tbody { @for facet in &evidence.facets { (facet_row(facet)) } }
            } }
        }
    }
}

fn facet_row(facet: &FacetEvidence) -> Markup {
    html! { tr {
        th scope="row" { (facet.facet) }
        td.n { (human::count(facet.present)) }
        td.n { (human::share(facet.share)) }
        td.long {
            @if facet.missing_from.is_empty() { span.dim { "nobody" } }
            @for (at, missing) in facet.missing_from.iter().enumerate() {
                @if at > 0 { ", " }
                b { (missing.service) } " (" (human::count(missing.calls)) " calls)"
            }
        }
    } }
}

/// Fields that are recorded and do not split runs.
pub(super) fn observed(fields: &[Observed]) -> Markup {
    html! {
        @if !fields.is_empty() {
            h2 { "Observed" }
            div.scroll tabindex="0" role="region" aria-label="Observed" { table {
                thead { tr {
                    th scope="col" { "field" } th scope="col" { "value" } th.n scope="col" { "calls" }
                    th scope="col" { "first seen, UTC" } th scope="col" { "last seen, UTC" }
                } }
                tbody { @for field in fields {
                    @for seen in &field.values { tr {
                        th scope="row" { (field.field) }
                        td { (fields_of(&seen.value)) }
                        td.n { (human::count(seen.calls)) }
                        td { (human::minute(&seen.first_seen)) }
                        td { (human::minute(&seen.last_seen)) }
                    } }
                    @if field.more > 0 { tr {
                        th scope="row" { (field.field) }
                        td.dim colspan="4" { "and " (field.more) " values more" }
                    } }
                } }
            } }
        }
    }
}

/// A value as it is; an object as its fields, each with its name.
fn fields_of(json: &Json) -> Markup {
    html! {
        @match json.as_object() {
            None => (short(&value(json))),
            Some(fields) => @for (at, (name, field)) in fields.iter().enumerate() {
                @if at > 0 { span.dim { " · " } }
                span.dim { (name) " " } (short(&value(field)))
            },
        }
    }
}

/// Units by arm against the plan.
pub(super) fn ratio(ratio: &SampleRatio) -> Markup {
    let all: i64 = ratio.units.values().sum();
    let share = |units: i64| human::share(units as f64 / all.max(1) as f64);
    let says = match ratio.state.as_str() {
        "ok" => "Units came in the planned shares",
        "mismatch" => "✕ Units did not come in the planned shares: no verdict holds",
        _ => "No shares are planned, so the split is not tested",
    };
    html! {
        h2 { "Sample ratio" }
        p class=(if ratio.state == "mismatch" { "note bad" } else { "note" }) {
            (says) @if let Some(p) = ratio.p { " (p = " (human::probability(p)) ")" } "." }
        div.scroll tabindex="0" role="region" aria-label="Sample ratio" { table.narrow {
            thead { tr {
                th scope="col" { "arm" } th.n scope="col" { "units" }
                th.n scope="col" { "share" } th.n scope="col" { "planned" }
            } }
            tbody { @for (arm, units) in &ratio.units { tr {
                th scope="row" { (arm) }
                td.n { (human::count(*units)) }
                td.n { (share(*units)) }
                td.n { (ratio.expected.get(arm).map_or("–".to_owned(), |part| human::share(*part))) }
            } } }
        } }
    }
}
