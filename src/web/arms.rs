//! `/` once there is an experiment: its arms per site, and what changed.

use super::chart;
use super::human;
use super::page::{figure, frame, grade, short, value};
use crate::model::record::{Change, Difference, MetricLine, SampleRatio, Verdict};
use crate::model::view::{ArmView, Band, ExperimentView, SiteView, View};
use maud::{Markup, html};

/// What one page shows at most; the API has all.
const EXPERIMENTS_MAX: usize = 50;
const CHANGES_MAX: usize = 20;
const METRICS_MAX: usize = 8;
const RUNS_MAX: usize = 3;

/// The page.
pub fn page(view: &View) -> Markup {
    let more = view.experiments.len().saturating_sub(EXPERIMENTS_MAX);
    let body = html! {
        @for experiment in view.experiments.iter().take(EXPERIMENTS_MAX) { (section(view, experiment)) }
        @if more > 0 { p.note { "and " (more) " more: " a href="/api/v1/experiments" { "all experiments" } } }
    };
    frame("Experiments", true, body)
}

fn section(view: &View, experiment: &ExperimentView) -> Markup {
    let seen = experiment.last_seen.as_deref().map(human::minute).unwrap_or_default();
    html! {
        section {
            div.title {
                h1 { (experiment.name) }
                span class=(format!("state {}", if experiment.state == "live" { "live" } else { "quiet" })) {
                    (experiment.state)
                }
            }
            div.figures {
                (figure("calls", &human::count(experiment.calls)))
                (figure("arms", &experiment.arms.len().to_string()))
                (figure("randomised by", &experiment.unit))
                (figure("last call, UTC", &seen))
            }
            (notes(experiment))
            @for site in &experiment.sites {
                (site_table(site))
                (verdicts(site))
                (bands(view, experiment, site))
                (changes(&site.changes))
            }
        }
    }
}

fn notes(experiment: &ExperimentView) -> Markup {
    html! {
        @if experiment.control_assumed {
            @if let Some(control) = &experiment.control {
                p.note { "Control " b { (control) } " is assumed. Set " code { "experiments." (experiment.name) ".control" } " to settle it." }
            }
        }
        @if let Some(ratio) = &experiment.sample_ratio { (ratio_note(ratio)) }
        @if experiment.crossover_units > 0 {
            p.note { (human::count(experiment.crossover_units)) " units were seen in more than one arm." }
        }
        @if experiment.conflicting_traces > 0 {
            p.note { (human::count(experiment.conflicting_traces)) " traces name two arms and are left out." }
        }
        @if !experiment.demoted.is_empty() {
            p.note { "Too many values to tell runs apart by: " code { (experiment.demoted.join(", ")) } "." }
        }
    }
}

fn ratio_note(ratio: &SampleRatio) -> Markup {
    html! {
        @if ratio.state == "mismatch" {
            p.note.bad { "Units did not come in the planned shares: no figure below can be trusted until the reason is found." }
        }
    }
}

fn site_table(site: &SiteView) -> Markup {
    let names = columns(site);
    let began = site.epoch_began.as_deref().map(human::minute);
    html! {
        div.site {
            h2 { (site.site) }
            span.dim { (human::count(site.calls)) " calls · epoch " (site.epoch)
                @if let Some(began) = began { " since " (began) } }
        }
        div.scroll { table {
            thead { tr {
                th { "arm" } th { "decision" } th { "model" } th.n { "calls" } th.n { "units" } th.n { "share" }
                @for name in &names { th.n { (name.replace('_', " ")) } }
                th { "evidence" } th { "runs" }
            } }
            tbody { @for arm in &site.arms { (row(arm, &names)) } }
        } }
    }
}

/// What is said of the metrics that decide, a sentence each.
fn verdicts(site: &SiteView) -> Markup {
    let lines = || site.arms.iter().flat_map(|arm| &arm.metrics);
    let said: Vec<&Verdict> = lines()
        .filter_map(|line| line.verdict.as_ref())
        .filter(|v| v.decides || v.discovery)
        .collect();
    html! {
        @if !said.is_empty() {
            h3 { "What can be said" }
            ul.said { @for verdict in said {
                li {
                    span class=(format!("mark {}", class_of(&verdict.state))) { (sign(&verdict.state)) }
                    span { (verdict.sentence)
                        @if let Some(breach) = &verdict.breach {
                            span.dim { " Breached in epoch " (breach.epoch) " at " (human::minute(&breach.at)) "." }
                        } }
                }
            } }
        }
    }
}

/// Differences from control over time.
fn bands(view: &View, experiment: &ExperimentView, site: &SiteView) -> Markup {
    let own = |band: &&Band| band.experiment == experiment.name && band.site == site.site;
    let drawn: Vec<Markup> = view.bands.iter().filter(own).filter_map(chart::band).collect();
    html! {
        @if !drawn.is_empty() {
            h3 { "Difference from " (experiment.control.as_deref().unwrap_or("control")) " at every look of epoch " (site.epoch) }
            div.bands { @for chart in &drawn { (chart) } }
        }
    }
}

fn row(arm: &ArmView, names: &[String]) -> Markup {
    html! {
        tr {
            th scope="row" { (arm.arm)
                @if arm.control { span.tag { "control" } }
                @if arm.mixed { span.tag { "mixed" } } }
            td { (decision(arm)) }
            td { (short(arm.model.as_deref().unwrap_or("–"))) }
            td.n { (human::count(arm.calls)) }
            td.n { (human::count(arm.units)) }
            td.n { (arm.share.map_or("–".into(), human::share))
                @if let Some(planned) = arm.planned { div.dim { "of " (human::share(planned)) } } }
            @for name in names { (cell(arm.metrics.iter().find(|line| &line.name == name))) }
            td { (grade(&arm.evidence)) }
            td.runs {
                @for id in arm.runs.iter().take(RUNS_MAX) { a href=(format!("/runs/{id}")) { (human::run(id)) } " " }
                @if arm.runs.len() > RUNS_MAX { span.dim { "+" (arm.runs.len() - RUNS_MAX) } }
            }
        }
    }
}

fn cell(line: Option<&MetricLine>) -> Markup {
    html! {
        @match line {
            None => td.n.dim { "–" },
            Some(line) => td.n {
                (human::line(line))
                @if let Some(scored) = line.scored { div.dim { (human::count(scored)) " of " (human::count(line.calls)) } }
                @if let Some(difference) = &line.difference { div.difference title=(interval(difference, &line.unit)) {
                    (human::difference(difference.estimate, &line.unit)) } }
                @if let Some(verdict) = line.verdict.as_ref().filter(|v| v.decides || v.discovery) { (mark(verdict)) }
            },
        }
    }
}

/// A verdict in a word and a shape; the sentence in its title.
fn mark(verdict: &Verdict) -> Markup {
    let word = if verdict.discovery { "discovery" } else { verdict.state.as_str() };
    html! {
        div class=(format!("verdict {}", class_of(&verdict.state))) title=(verdict.sentence) {
            (sign(&verdict.state)) " " (word)
        }
    }
}

fn interval(difference: &Difference, unit: &str) -> String {
    let text = human::interval(difference.lower, difference.upper, unit);
    let confidence =
        difference.confidence.map(|c| format!(" at {}, at every look", human::share(c)));
    format!("{text}{}", confidence.unwrap_or_default())
}

fn decision(arm: &ArmView) -> Markup {
    html! {
        @match &arm.decision {
            None => span.dim { "–" },
            Some(found) => {
                span class=(format!("decision {}", found.action.replace(' ', "-"))) { (found.action) }
                @if found.action != "wait" { @for metric in &found.because { div.dim { "for " (metric) } } }
            },
        }
    }
}

/// A shape for those who do not see the colour.
fn sign(state: &str) -> &'static str {
    match state {
        "better" | "healthy" => "▲",
        "breached" | "regressed" => "▼",
        "invalid" => "✕",
        "insufficient" => "…",
        _ => "=",
    }
}

fn class_of(state: &str) -> &'static str {
    match state {
        "better" | "healthy" => "good",
        "breached" | "regressed" | "invalid" => "bad",
        _ => "open",
    }
}

/// What decides, then scores, then the metrics people look at first.
fn columns(site: &SiteView) -> Vec<String> {
    const USUAL: [&str; 3] = ["error_rate", "latency_p95", "cost"];
    let lines = || site.arms.iter().flat_map(|arm| &arm.metrics);
    let decides = |line: &&MetricLine| line.verdict.as_ref().is_some_and(|v| v.decides);
    let deciding = lines().filter(decides).map(|line| line.name.as_str());
    let scores = lines().filter(|line| line.scored.is_some()).map(|line| line.name.as_str());
    let usual = USUAL.into_iter().filter(|name| lines().any(|line| line.name == *name));
    let mut names: Vec<String> = Vec::new();
    for name in deciding.chain(scores).chain(usual) {
        if names.len() < METRICS_MAX && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// What changed, newest first.
fn changes(changes: &[Change]) -> Markup {
    html! {
        @if !changes.is_empty() {
            h3 { "Changes" }
            ul.changes {
                @for change in changes.iter().rev().take(CHANGES_MAX) {
                    li {
                        time { (human::minute(&change.at)) }
                        b { (change.arm) }
                        code { (change.field) }
                        span {
                            @if let Some(from) = &change.from { (short(&value(from))) " " }
                            "→ "
                            @if let Some(to) = &change.to { (short(&value(to))) } @else { "absent" }
                        }
                    }
                }
            }
        }
    }
}
