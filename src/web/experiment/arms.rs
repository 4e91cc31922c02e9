//! The arms table: what each arm is, how much it served, the metric in front with its difference
//! from control as a row of a forest plot, what its guardrails say, and what to do. A row opens
//! to all metrics of its arm.

use super::more;
use super::sight::{ARMS_SHOWN, Sight, names};
use crate::model::metric::Role;
use crate::model::record::MetricLine;
use crate::model::view::ArmView;
use crate::web::forest::{self, Axis};
use crate::web::page::{grade, short};
use crate::web::{human, verdict};
use maud::{Markup, html};

/// Runs named in a row.
const RUNS_MAX: usize = 2;
/// Columns, for what spans them all.
const COLUMNS: usize = 10;

/// The table, with the choice of the metric in front above it.
pub fn table(sight: &Sight<'_>) -> Markup {
    let all = sight.asked.arms.as_deref() == Some("all");
    let shown = if all { sight.arms.len() } else { ARMS_SHOWN };
    let more = sight.arms.len().saturating_sub(shown);
    let axis = axis(sight);
    html! {
        section.arms aria-labelledby="arms-title" {
            div.head {
                h2 #arms-title { "Arms" }
                (choice(sight))
            }
            div.scroll tabindex="0" role="region" aria-label="Arms" {
                table.arms role="table" {
                    caption.hidden { "Arms of " (sight.experiment.name) " at site " (sight.site.site) }
                    (head(sight, axis.as_ref()))
                    tbody role="rowgroup" { @for arm in sight.arms.iter().take(shown) { (row(sight, arm, axis.as_ref())) } }
                }
            }
            @if more > 0 {
                p.note { (more) " more arms: " a href=(sight.link(|asked| asked.arms = Some("all".to_owned()))) { "show all" } }
            }
        }
    }
}

/// Control's level of the metric in front.
fn control_level(sight: &Sight<'_>) -> Option<f64> {
    let control = sight.arms.iter().find(|arm| arm.control)?;
    sight.front(control)?.level.as_ref().map(|level| level.estimate)
}

fn axis(sight: &Sight<'_>) -> Option<Axis> {
    if sight.is_descriptive() {
        return None;
    }
    let lines: Vec<&MetricLine> = sight.arms.iter().filter_map(|arm| sight.front(arm)).collect();
    Axis::of(lines.iter().copied(), control_level(sight))
}

/// Which metric is in front.
fn choice(sight: &Sight<'_>) -> Markup {
    const TABS: usize = 6;
    let names = names(sight.site);
    let front = sight.metric.as_deref();
    let link = |name: &str| sight.link(|asked| asked.metric = Some(name.to_owned()));
    let tab = |name: &str| {
        let current = (front == Some(name)).then_some("true");
        html! { a.tab href=(link(name)) aria-current=[current] { (name.replace('_', " ")) } }
    };
    let (first, rest) = names.split_at(names.len().min(TABS));
    let hidden = front.filter(|front| rest.contains(front));
    html! {
        nav.tabs aria-label="Metric" {
            @for name in first { (tab(name)) }
            @if let Some(name) = hidden { (tab(name)) }
            @if !rest.is_empty() {
                details.menu { summary { "more" } div { @for name in rest { (tab(name)) } } }
            }
        }
    }
}

fn head(sight: &Sight<'_>, axis: Option<&Axis>) -> Markup {
    let unit = sight.arms.iter().find_map(|arm| sight.front(arm)).map_or("", |line| &line.unit);
    let decides = !sight.is_descriptive();
    html! {
        thead role="rowgroup" { tr role="row" {
            th scope="col" role="columnheader" { "arm" }
            @if decides { th scope="col" role="columnheader" { "decision" } }
            th scope="col" role="columnheader" { "model" }
            th.n scope="col" role="columnheader" { "calls · units" }
            th scope="col" role="columnheader" { "split" }
            th.n scope="col" role="columnheader" { (name(sight)) }
            @if decides {
                th scope="col" role="columnheader" { "difference from " (sight.control())
                    @if let Some(axis) = axis { (axis.head(unit)) } }
                th scope="col" role="columnheader" { "verdict" }
                th scope="col" role="columnheader" { "guardrails" }
            }
            th scope="col" role="columnheader" { "evidence" }
        } }
    }
}

/// The metric in front, as people say it.
fn name(sight: &Sight<'_>) -> String {
    sight.metric.as_deref().unwrap_or("level").replace('_', " ")
}

fn row(sight: &Sight<'_>, arm: &ArmView, axis: Option<&Axis>) -> Markup {
    let open = sight.asked.is_open(&arm.arm);
    let toggle = sight.asked.toggled(&arm.arm).href(&sight.experiment.name);
    let line = sight.front(arm);
    let decides = !sight.is_descriptive();
    let says = if open { "Hide all metrics of" } else { "Show all metrics of" };
    html! {
        tr role="row" data-arm=(arm.arm) {
            th scope="row" role="rowheader" {
                a.toggle href=(toggle) aria-expanded=(open) aria-label=(format!("{says} {}", arm.arm)) { }
                (arm.arm)
                @if arm.control { span.tag { "control" } }
                @if arm.mixed { span.tag { "mixed" } }
            }
            @if decides { td role="cell" data-label="decision" { (decision(arm)) } }
            td.model role="cell" data-label="model" { (short(arm.model.as_deref().unwrap_or("–"))) (runs(arm)) }
            td.n role="cell" data-label="calls · units" { (human::count(arm.calls))
                div.dim { @if arm.units > 0 { (human::count(arm.units)) " units" } @else { "–" } } }
            td role="cell" data-label="split" { (split(arm)) }
            td.n role="cell" data-label=(name(sight)) { (level(line)) }
            @if decides {
                td.difference role="cell" data-label="difference" { (difference(sight, arm, line, axis)) }
                td role="cell" data-label="verdict" {
                    @if let Some(verdict) = line.and_then(|line| line.verdict.as_ref()) { (verdict::mark(verdict)) }
                    @else { span.dim { "–" } }
                }
                td role="cell" data-label="guardrails" { (guardrails(arm)) }
            }
            td role="cell" data-label="evidence" { (grade(&arm.evidence)) }
        }
        @if open { tr.more role="row" { td role="cell" colspan=(COLUMNS) { (more::metrics(sight, arm)) } } }
    }
}

fn runs(arm: &ArmView) -> Markup {
    html! {
        div.runs {
            @for id in arm.runs.iter().take(RUNS_MAX) { a href=(format!("/runs/{id}")) { (human::run(id)) } " " }
            @if arm.runs.len() > RUNS_MAX { span.dim { "+" (arm.runs.len() - RUNS_MAX) } }
        }
    }
}

fn level(line: Option<&MetricLine>) -> Markup {
    let Some(line) = line else { return html! { span.dim { "–" } } };
    html! {
        span.level { (human::line(line)) }
        @if let Some(scored) = line.scored {
            div.dim { (human::count(scored)) @if scored != line.calls { " of " (human::count(line.calls)) } " scored" }
        }
    }
}

fn difference(
    sight: &Sight<'_>,
    arm: &ArmView,
    line: Option<&MetricLine>,
    axis: Option<&Axis>,
) -> Markup {
    let found = line.and_then(|line| Some((line, line.difference.as_ref()?)));
    let Some((line, difference)) = found else {
        let text = if arm.control { "control" } else { "–" };
        return html! { span.dim { (text) } };
    };
    let row = forest::Row { arm: &arm.arm, line, control: control_level(sight) };
    html! {
        @if let Some(axis) = axis { (forest::row(axis, &row)) }
        div.said { b { (human::difference(difference.estimate, &line.unit)) }
            span.dim { " " (human::interval(difference.lower, difference.upper, &line.unit)) } }
    }
}

/// The share of units with a tick where it was planned.
fn split(arm: &ArmView) -> Markup {
    const WIDTH: f64 = 72.0;
    let Some(share) = arm.share else { return html! { span.dim { "–" } } };
    let x = |share: f64| forest::px(share.clamp(0.0, 1.0) * WIDTH);
    let planned = arm
        .planned
        .map_or("no planned share".to_owned(), |p| format!("{} planned", human::share(p)));
    html! {
        svg.split viewBox=(format!("0 0 {WIDTH} 10")) role="img" {
            title { (human::share(share)) " of units, " (planned) }
            rect.all x="0" y="2" width=(WIDTH) height="6" {}
            rect.part x="0" y="2" width=(x(share)) height="6" {}
            @if let Some(planned) = arm.planned { line.tick x1=(x(planned)) x2=(x(planned)) y1="0" y2="10" {} }
        }
        div.dim { (human::share(share)) @if let Some(planned) = arm.planned { " of " (human::share(planned)) } }
    }
}

/// Each guardrail that decides: its shape and name; those that hold folded into a number.
fn guardrails(arm: &ArmView) -> Markup {
    let own: Vec<&MetricLine> =
        arm.metrics.iter().filter(|line| line.role == Role::Guardrail && line.decides()).collect();
    html! {
        @if own.is_empty() { span.dim { "–" } } @else { ul.rails { @for line in own {
            li { @if let Some(verdict) = &line.verdict {
                span class=(format!("verdict {}", verdict::class_of(&verdict.state))) title=(verdict.sentence) {
                    (verdict::shape(&verdict.state)) " " (line.name.replace('_', " ")) span.hidden { " " (verdict.state) } }
            } }
        } } }
    }
}

fn decision(arm: &ArmView) -> Markup {
    html! {
        @match &arm.decision {
            None => span.dim { "–" },
            Some(found) => {
                span class=(format!("decision {}", found.action.replace(' ', "-"))) {
                    (verdict::shape(&found.action)) " " (found.action) }
                @if found.action != "wait" { @for metric in &found.because { div.dim { (metric.replace('_', " ")) } } }
            },
        }
    }
}
