//! `/experiments/{experiment}`: the one screen. From top to bottom: where one is; what must be
//! known before the figures; the answer; arms; guardrails; the difference over time; what
//! changed; two runs side by side; evidence; calls to look at; where the figures can be had.

mod arms;
pub mod asked;
mod evidence;
mod header;
mod more;
mod series;
pub mod sight;
mod tiles;
mod timeline;

use crate::compare::{Comparison, compare};
use crate::judge::trust::Notice;
use crate::model::record::RunRecord;
use crate::model::url::part;
use crate::web::human;
use crate::web::page::version;
use maud::{Markup, html};
use sight::Sight;

/// Everything below the navigation.
pub fn body(sight: &Sight<'_>, notices: &[Notice]) -> Markup {
    html! {
        (header::header(sight))
        (header::banner(notices))
        (header::answer(sight))
        (arms::table(sight))
        (tiles::tiles(sight))
        (series::series(sight))
        (timeline::timeline(sight))
        (diff(sight))
        (evidence::card(sight))
        (evidence::exemplars(sight))
        (downloads(sight))
    }
}

/// The same for a file of its own, which no script and no link within armspan helps.
pub fn report(sight: &Sight<'_>, notices: &[Notice]) -> Markup {
    html! {
        (header::header(sight))
        (header::banner(notices))
        (header::answer(sight))
        (arms::table(sight))
        @for arm in sight.arms.iter() { section { h2 { "All metrics of arm " (arm.arm) } (more::metrics(sight, arm)) } }
        (tiles::tiles(sight))
        (series::series(sight))
        (timeline::timeline(sight))
        (evidence::card(sight))
        (evidence::exemplars(sight))
    }
}

/// An experiment of which nothing has come.
pub fn empty(name: &str) -> Markup {
    html! { section {
        h1 { (name) }
        p.lead { "The config declares this experiment, and no call of it has come yet." }
        p { "Set " code { "armspan.experiment = " (name) } " and " code { "armspan.arm" }
            " on a span of each trace, or evaluate a flag of this name. "
            a href="/pipeline" { "See what came" } "." }
    } }
}

/// The runs that are put side by side: those asked for, else control's and the first arm's
/// busiest.
fn pair<'a>(sight: &'a Sight<'_>) -> Option<(&'a RunRecord, &'a RunRecord)> {
    let named = |id: &Option<String>| {
        let id = id.as_deref().filter(|id| id.len() >= 4)?;
        sight.view.runs.iter().find(|record| record.run.id.starts_with(id))
    };
    if let (Some(a), Some(b)) = (named(&sight.asked.a), named(&sight.asked.b)) {
        return Some((a, b));
    }
    let busiest = |control: bool| {
        let arm = sight.site.arms.iter().find(|arm| arm.control == control)?;
        let id = arm.runs.first()?;
        let own = |r: &&RunRecord| &r.run.id == id && r.window.epoch == sight.site.epoch;
        sight.view.runs.iter().find(own)
    };
    Some((busiest(true)?, busiest(false)?))
}

fn diff(sight: &Sight<'_>) -> Markup {
    let found: Option<Comparison> = pair(sight).map(|(a, b)| compare(sight.view, a, b));
    html! {
        @if let Some(found) = found {
            section.diff #diff aria-labelledby="diff-title" {
                div.head {
                    h2 #diff-title { "Run diff: " a href=(format!("/runs/{}", found.a)) { (found.run_a.arm) " " code { (human::run(&found.a)) } }
                        " and " a href=(format!("/runs/{}", found.b)) { (found.run_b.arm) " " code { (human::run(&found.b)) } } }
                    (others(sight))
                }
                (super::compare::diff(&found))
            }
        }
    }
}

/// Other arms to put beside control.
fn others(sight: &Sight<'_>) -> Markup {
    let control = sight.site.arms.iter().find(|arm| arm.control).and_then(|arm| arm.runs.first());
    let Some(control) = control else { return html! {} };
    let short = |id: &str| Some(human::run(id).to_owned());
    html! {
        nav.tabs aria-label="Arm to compare" {
            @for arm in sight.site.arms.iter().filter(|arm| !arm.control).take(8) {
                @if let Some(run) = arm.runs.first() {
                    a.tab href=(sight.link(|asked| (asked.a, asked.b) = (short(control), short(run))) + "#diff") {
                        (sight.control()) " – " (arm.arm) }
                }
            }
        }
    }
}

fn downloads(sight: &Sight<'_>) -> Markup {
    let name = part(&sight.experiment.name);
    html! {
        section.downloads aria-label="Downloads" {
            p {
                "Take it with you: "
                a href=(format!("/experiments/{name}/report.html")) download { "report (HTML)" } " · "
                a href=(format!("/api/v1/experiments/{name}")) { "figures (JSON)" } " · "
                a href=(format!("/api/v1/runs?experiment={name}")) { "run records (JSON)" } " · "
                a href=(format!("/api/v1/experiments/{name}/gate")) { "gate (JSON)" }
            }
            (as_of(sight))
        }
    }
}

/// What the figures rest on.
pub fn as_of(sight: &Sight<'_>) -> Markup {
    let hash: String = sight.view.config.chars().take(19).collect();
    html! { p.dim { "armspan " (version()) " · config " code title=(sight.view.config) { (hash) "…" }
    " · log position " (sight.view.position) } }
}

#[cfg(test)]
mod size_tests;
#[cfg(test)]
mod tests;
