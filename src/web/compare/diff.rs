//! The run diff as a part of a page: the sentence, facets that differ or are unknown on one side,
//! metrics with their intervals, effects, the arm that would tell more, and what to copy. Its
//! headings are of the third level, so that it can stand below any heading of the second.

use super::{forest, markdown};
use crate::compare::words::missing_arm;
use crate::compare::{Comparison, FacetDifference, MetricContrast};
use crate::judge::attribution::Label;
use crate::model::human;
use crate::model::url::part;
use crate::web::page::{short, value};
use maud::{Markup, html};
use serde_json::Value as Json;

/// The whole diff.
pub fn diff(found: &Comparison) -> Markup {
    html! { div.diff {
        p.lead { span.tag { (label(found.attribution.label)) } " " (found.attribution.sentence) }
        @if let Some(arm) = &found.attribution.missing_arm {
            p.note { "→ " (missing_arm(arm)) }
        }
        @for limit in &found.attribution.limits { p.note { (limit) } }
        h3 { "Facets" }
        (facets(found))
        h3 { "Metrics" }
        (metrics(found))
        @for metric in &found.metrics { (effects(found, metric)) }
        (copy(found))
    } }
}

fn label(label: Label) -> &'static str {
    match label {
        Label::Identified => "identified",
        Label::Confounded => "confounded",
        Label::Temporal => "temporal",
        Label::Same => "same",
    }
}

fn facets(found: &Comparison) -> Markup {
    let [a, b] = found.names();
    let apart = !found.differing.is_empty() || !found.missing.is_empty();
    html! {
        @if apart {
            div.scroll tabindex="0" role="region" aria-label="Facets that are not equal" { table.facets {
                thead { tr {
                    th scope="col" { "facet" } th scope="col" { "is" }
                    th scope="col" { (short(&a)) } th scope="col" { (short(&b)) }
                } }
                tbody {
                    @for facet in &found.differing { (facet_row(facet, "different")) }
                    @for facet in &found.missing { (facet_row(facet, "unknown on one side")) }
                }
            } }
        }
        @if found.equal.is_empty() { p.note { (found.equal_text()) } } @else {
            details { summary { (found.equal_text()) }
                div.scroll tabindex="0" role="region" aria-label="Facets that are equal" { table.pairs { tbody {
                    @for facet in &found.equal { tr {
                        th scope="row" { (facet.facet) } td { (leaf(facet.a.as_ref())) }
                    } }
                } } }
            }
        }
    }
}

fn facet_row(facet: &FacetDifference, is: &str) -> Markup {
    html! { tr {
        th scope="row" { (facet.facet) }
        td.dim { (is) }
        td.long { (leaf(facet.a.as_ref())) }
        td.long { (leaf(facet.b.as_ref())) }
    } }
}

fn leaf(json: Option<&Json>) -> Markup {
    html! { @match json { Some(json) => code { (short(&value(json))) }, None => span.dim { "unknown" } } }
}

fn metrics(found: &Comparison) -> Markup {
    let [a, b] = found.names();
    html! {
        @if found.metrics.is_empty() { p.note { "Neither run has a metric yet." } } @else {
            div.scroll tabindex="0" role="region" aria-label="Metrics of both runs" { table.contrasts {
                thead { tr {
                    th scope="col" { "metric" } th.n scope="col" { (short(&a)) } th.n scope="col" { (short(&b)) }
                    th.n scope="col" { (short(&b)) " − " (short(&a)) }
                    th scope="col" { "interval, each on its own scale" } th scope="col" { "interval" }
                    th.n scope="col" { "confidence" }
                } }
                tbody { @for metric in &found.metrics { tr {
                    th scope="row" { (found.named(metric)) }
                    td.n { (metric.level(metric.a)) }
                    td.n { (metric.level(metric.b)) }
                    td.n { (metric.signed(metric.difference)) }
                    td { (forest::row(&found.named(metric), [&a, &b], metric)) }
                    td { (metric.interval()) }
                    td.n { (metric.confidence_text()) }
                } } }
            } }
        }
    }
}

/// Effects of a metric beyond its whole difference, which is among the metrics.
fn effects(found: &Comparison, metric: &MetricContrast) -> Markup {
    let lines = metric.effect_lines();
    let title = format!("Effects on {}", found.named(metric));
    html! {
        @if !lines.is_empty() {
            h3 { (title) }
            div.scroll tabindex="0" role="region" aria-label=(title) { table.narrow {
                thead { tr {
                    th scope="col" { "effect of" } th.n scope="col" { "estimate" } th scope="col" { "interval" }
                } }
                tbody { @for line in &lines { tr {
                    th scope="row" { (line.text) } td.n { (line.estimate) } td { (line.interval) }
                } } }
            } }
        }
    }
}

/// The same as Markdown: to copy where scripts run, to open where they do not.
fn copy(found: &Comparison) -> Markup {
    let id = format!("diff-{}-{}", human::run(&found.a), human::run(&found.b));
    let address = format!("/compare/{}/{}.md", part(&found.a), part(&found.b));
    html! {
        p.act {
            button.scripted type="button" data-copy=(format!("#{id}")) { "Copy as Markdown" }
            a href=(address) { "As Markdown" }
        }
        textarea id=(id) readonly hidden aria-label="The comparison as Markdown" { (markdown::text(found)) }
    }
}
