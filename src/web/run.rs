//! `/runs/{id}`: one record, readable.

use super::human;
use super::page::{figure, frame, grade, short, value};
use crate::model::record::{Link, MetricLine, Observed, RunRecord};
use maud::{Markup, html};
use serde_json::Value as Json;

/// The page.
pub fn page(record: &RunRecord) -> Markup {
    let run = &record.run;
    let body = html! {
        section {
            div.title { h1 { "Run " code { (human::run(&run.id)) } } (grade(&record.evidence.grade)) }
            p.note { (run.experiment) " · arm " b { (run.arm) } @if run.control { " (control)" }
                " · site " (run.site) " · epoch " (record.window.epoch)
                @if run.partial { " · partial: belongs to none of several runs for sure" }
                @if run.overflow { " · overflow: collects what is above the limit of live runs" } }
            div.figures {
                (figure("calls", &human::count(record.traffic.calls)))
                (figure("units", &human::count(record.traffic.units)))
                (figure("first call, UTC", &human::minute(&record.window.first_seen)))
                (figure("last call, UTC", &human::minute(&record.window.last_seen)))
            }
            h2 { "Configuration" }
            table.pairs { tbody {
                @for (path, leaf) in leaves(record) { tr { th scope="row" { (path) } td { (short(&leaf)) } } }
                tr { th scope="row" { "fingerprint" } td { code { (short(&run.fingerprint)) } } }
            } }
            h2 { "Metrics" }
            (metrics(&record.metrics))
            (evidence(record))
            (observed(&record.observed))
            (links(&record.links))
            p.note { a href=(format!("/api/v1/runs/{}", run.id)) { "This record as JSON" } }
        }
    };
    frame(&format!("Run {}", human::run(&run.id)), false, body)
}

/// The page of a run that is not there.
pub fn absent() -> Markup {
    let body = html! { section { h1 { "No such run" } p { "It may have ended; " a href="/" { "see what runs now" } "." } } };
    frame("No such run", false, body)
}

fn leaves(record: &RunRecord) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for (group, json) in &record.config {
        match json {
            Json::Object(inner) => {
                out.extend(
                    inner.iter().map(|(name, leaf)| (format!("{group}.{name}"), value(leaf))),
                );
            }
            leaf => out.push((group.clone(), value(leaf))),
        }
    }
    out
}

fn metrics(lines: &[MetricLine]) -> Markup {
    html! {
        div.scroll { table {
            thead { tr { th { "metric" } th { "role" } th.n { "level" } th.n { "calls" } th.n { "scored" } th { "grader" } } }
            tbody { @for line in lines { tr {
                th scope="row" { (line.name) }
                td { (format!("{:?}", line.role).to_lowercase()) }
                td.n { (human::line(line)) }
                td.n { (human::count(line.calls)) }
                td.n { (line.scored.map_or("–".into(), human::count)) }
                td { (grader(line)) }
            } } }
        } }
    }
}

fn grader(line: &MetricLine) -> String {
    let Some(grader) = &line.grader else { return "–".into() };
    let parts = [&grader.name, &grader.version, &grader.model];
    let given: Vec<&str> = parts.into_iter().filter_map(|part| part.as_deref()).collect();
    given.join(" · ")
}

fn evidence(record: &RunRecord) -> Markup {
    html! {
        h2 { "Evidence" }
        div.scroll { table {
            thead { tr { th { "facet" } th.n { "on calls" } th { "left out by" } } }
            tbody { @for facet in &record.evidence.facets { tr {
                th scope="row" { (facet.facet) }
                td.n { (human::share(facet.share)) }
                td { @for missing in &facet.missing_from { (missing.service) " (" (human::count(missing.calls)) ") " } }
            } } }
        } }
    }
}

fn observed(fields: &[Observed]) -> Markup {
    html! {
        @if !fields.is_empty() {
            h2 { "Observed" }
            div.scroll { table {
                thead { tr { th { "field" } th { "value" } th.n { "calls" } th { "first seen" } th { "last seen" } } }
                tbody { @for field in fields { @for seen in &field.values { tr {
                    th scope="row" { (field.field) }
                    td { (short(&value(&seen.value))) }
                    td.n { (human::count(seen.calls)) }
                    td { (human::minute(&seen.first_seen)) }
                    td { (human::minute(&seen.last_seen)) }
                } } } }
            } }
        }
    }
}

fn links(links: &[Link]) -> Markup {
    // A template comes from the config, but only web addresses are ever followed.
    let web = |href: &&String| href.starts_with("https://") || href.starts_with("http://");
    html! {
        @if !links.is_empty() {
            h2 { "Traces" }
            ul.changes { @for link in links { li {
                b { (link.rel) }
                @match link.href.as_ref().filter(web) {
                    Some(href) => a href=(href) { code { (link.trace_id) } },
                    None => code { (link.trace_id) },
                }
            } } }
        }
    }
}
