//! The metrics of a run: first what can be said of those that decide, then every figure with its
//! interval. Levels are of the run, differences and verdicts of its arm.

use crate::model::human;
use crate::model::metric::Role;
use crate::model::record::{Difference, Level, MetricLine, Verdict};
use crate::web::verdict::{mark, shape};
use maud::{Markup, html};

/// A sentence for each verdict that decides or found something.
pub(super) fn said(lines: &[MetricLine]) -> Markup {
    let verdicts = lines.iter().filter_map(|line| line.verdict.as_ref());
    let told: Vec<&Verdict> = verdicts.filter(|v| v.decides || v.discovery).collect();
    html! {
        @if !told.is_empty() {
            ul.said { @for verdict in told { li {
                (shape(&verdict.state))
                span { (verdict.sentence)
                    @if let Some(breach) = &verdict.breach {
                        span.dim { " Breached in epoch " (breach.epoch) " at " (human::minute(&breach.at)) "." }
                    } }
            } } }
        }
    }
}

/// Every metric with a line.
pub(super) fn table(lines: &[MetricLine]) -> Markup {
    let from = lines.iter().find_map(|line| line.difference.as_ref()).map(|found| &found.from);
    html! {
        @if lines.is_empty() { p.dim { "None yet." } } @else {
            p.note { "Levels are of this run, differences and verdicts of its arm." }
            div.scroll tabindex="0" role="region" aria-label="Metrics" { table {
                thead { tr {
                    th scope="col" { "metric" } th scope="col" { "role" } th.n scope="col" { "level" }
                    th.n scope="col" { "difference from " (from.map_or("control", String::as_str)) }
                    th scope="col" { "verdict" } th scope="col" { "margin" }
                    th.n scope="col" { "calls" } th.n scope="col" { "scored" } th.n scope="col" { "units" }
                    th scope="col" { "grader" }
                } }
                tbody { @for line in lines { (row(line)) } }
            } }
        }
    }
}

fn row(line: &MetricLine) -> Markup {
    let optional = |value: Option<i64>| value.map_or("–".to_owned(), human::count);
    html! { tr {
        th scope="row" { (line.name) }
        td { (role(line.role)) }
        td.n { (human::line(line))
            @if let Some(within) = line.level.as_ref().and_then(|level| level_interval(line, level)) {
                div.dim { (within) } } }
        td.n { @match &line.difference {
            None => span.dim { "–" },
            Some(found) => {
                (human::difference(found.estimate, &line.unit))
                div.dim { (difference_interval(found, &line.unit)) }
            },
        } }
        td { @match line.verdict.as_ref() {
            None => span.dim { "–" },
            Some(verdict) => {
                (mark(verdict))
                @if !verdict.decides { div.dim { "does not decide" } }
            },
        } }
        td { (margin(line)) }
        td.n { (human::count(line.calls)) }
        td.n { (optional(line.scored)) }
        td.n { (optional(line.units)) }
        td { (human::grader(line)) }
    } }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Quality => "quality",
        Role::Guardrail => "guardrail",
        Role::Info => "info",
    }
}

/// `40.1 % to 42.3 %`: the bounds in the unit of the level.
fn level_interval(line: &MetricLine, level: &Level) -> Option<String> {
    Some(human::bounds(level, &line.unit)? + &at(level.confidence))
}

fn difference_interval(found: &Difference, unit: &str) -> String {
    let text = human::interval(found.lower, found.upper, unit);
    let known = found.lower.is_some() || found.upper.is_some();
    text + &at(found.confidence.filter(|_| known))
}

fn at(confidence: Option<f64>) -> String {
    confidence.map(|share| format!(" at {}", human::confidence(share))).unwrap_or_default()
}

/// What a guardrail must not go beyond.
fn margin(line: &MetricLine) -> String {
    let own = line.margin.map(|margin| human::margin(margin, &line.unit));
    let share = line.margin_share.map(|share| format!("{} of control", human::share(share)));
    let ceiling = line.ceiling.map(|most| format!("at most {}", human::level(most, &line.unit)));
    let told: Vec<String> = [own, share, ceiling].into_iter().flatten().collect();
    if told.is_empty() { "–".to_owned() } else { told.join(", ") }
}
