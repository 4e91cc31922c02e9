//! All metrics of an arm, by what they are about: quality, guardrails, cost and latency, the rest.

use super::sight::Sight;
use crate::model::metric::Role;
use crate::model::record::MetricLine;
use crate::model::view::ArmView;
use crate::web::forest::{self, Axis};
use crate::web::{human, verdict};
use maud::{Markup, html};

/// The metrics of an arm.
pub fn metrics(sight: &Sight<'_>, arm: &ArmView) -> Markup {
    let groups = groups(&arm.metrics);
    html! {
        @for (title, lines) in groups.iter().filter(|group| !group.1.is_empty()) {
            h3 { (title) }
            table.metrics {
                caption.hidden { (title) " of arm " (arm.arm) }
                thead { tr {
                    th scope="col" { "metric" } th.n scope="col" { "level" } th.n scope="col" { "interval" }
                    th scope="col" { "difference" } th scope="col" { "verdict" }
                    th.n scope="col" { "calls" } th scope="col" { "grader" }
                } }
                tbody { @for line in lines { (row(sight, arm, line)) } }
            }
        }
    }
}

type Group<'a> = (&'static str, Vec<&'a MetricLine>);

fn groups(metrics: &[MetricLine]) -> [Group<'_>; 4] {
    let mut out = ["Quality", "Guardrails", "Cost and latency", "Other"].map(|t| (t, Vec::new()));
    for line in metrics {
        let spent = matches!(line.unit.as_str(), "s" | "USD" | "{token}");
        let at = match line.role {
            Role::Quality => 0,
            Role::Guardrail if line.decides() => 1,
            _ if line.scored.is_some() => 0,
            _ if spent => 2,
            Role::Guardrail => 1,
            _ => 3,
        };
        out[at].1.push(line);
    }
    out
}

fn row(sight: &Sight<'_>, arm: &ArmView, line_of: &MetricLine) -> Markup {
    let name = &line_of.name;
    let control = sight.arms.iter().find(|arm| arm.control).and_then(|arm| arm.line(name));
    let control = control.and_then(|line| line.level.as_ref()).map(|level| level.estimate);
    let all: Vec<&MetricLine> = sight.arms.iter().filter_map(|arm| arm.line(name)).collect();
    let axis = Axis::of(all.iter().copied(), control);
    let scored = line_of.scored;
    html! {
        tr {
            th scope="row" { (name.replace('_', " ")) @if line_of.decides() { span.tag { "decides" } } }
            td.n { (human::line(line_of)) }
            td.n.dim { (interval(line_of)) }
            td.difference {
                @if let Some(difference) = &line_of.difference {
                    @if let Some(axis) = &axis { (forest::row(axis, &forest::Row { arm: &arm.arm, line: line_of, control })) }
                    div.said { b { (human::difference(difference.estimate, &line_of.unit)) }
                        span.dim { " " (human::interval(difference.lower, difference.upper, &line_of.unit)) } }
                } @else { span.dim { "–" } }
            }
            td { @if let Some(verdict) = &line_of.verdict { (verdict::mark(verdict)) } @else { span.dim { "–" } } }
            td.n { @if let Some(scored) = scored { (human::count(scored)) " of " } (human::count(line_of.calls)) }
            td.dim { (human::grader(line_of)) }
        }
    }
}

/// The interval of a level.
pub fn interval(line: &MetricLine) -> String {
    let bounds = line.level.as_ref().and_then(|level| human::bounds(level, &line.unit));
    bounds.unwrap_or_else(|| "–".to_owned())
}
