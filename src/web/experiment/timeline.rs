//! What ran and what changed: a lane an arm, coloured by run, with a mark for each change. A mark
//! leads to the page of what came after it, with the two runs side by side.

use super::sight::Sight;
use crate::model::id::{Nanos, nanos, rfc3339};
use crate::model::record::{Change, RunRecord};
use crate::web::chart::Scale;
use crate::web::forest::px;
use crate::web::human;
use crate::web::page::{from_to, value};
use maud::{Markup, html};

const WIDTH: f64 = 1200.0;
const LANE: f64 = 26.0;
const BAR: f64 = 14.0;
/// Lanes of one drawing; the list below has every change.
const LANES_MAX: usize = 32;
/// Colours of runs, as the style sheet has them.
const COLOURS: usize = 6;
/// Changes listed; the API has all.
const CHANGES_MAX: usize = 20;

/// Lanes and list.
pub fn timeline(sight: &Sight<'_>) -> Markup {
    let changes = &sight.site.changes;
    html! {
        section.timeline aria-labelledby="timeline-title" {
            h2 #timeline-title { "What changed" }
            @if let Some(scale) = scale(sight) { (lanes(sight, &scale)) }
            @if changes.is_empty() { p.note { "Nothing has changed since the first call." } }
            @else {
                ul.changes { @for change in changes.iter().rev().take(CHANGES_MAX) { (listed(sight, change)) } }
                @if changes.len() > CHANGES_MAX { p.note { "and " (changes.len() - CHANGES_MAX) " earlier ones." } }
            }
        }
    }
}

/// A change in a few words.
pub fn says(change: &Change) -> String {
    let text = |json: &serde_json::Value| value(json).chars().take(60).collect::<String>();
    let to = change.to.as_ref().map_or("absent".to_owned(), text);
    let at = human::minute(&change.at);
    match change.arm.as_str() {
        "" => format!("{at} {} {to}", change.field),
        arm => format!("{at} {arm}: {} → {to}", change.field),
    }
}

fn own<'a>(sight: &'a Sight<'_>, arm: &'a str) -> impl Iterator<Item = &'a RunRecord> {
    let here = move |record: &&RunRecord| {
        let run = &record.run;
        run.experiment == sight.experiment.name && run.site == sight.site.site && run.arm == arm
    };
    sight.view.runs.iter().filter(here)
}

fn scale(sight: &Sight<'_>) -> Option<Scale> {
    let (mut from, mut to) = (Nanos::MAX, 0);
    for arm in &sight.site.all_epochs {
        for record in own(sight, &arm.arm) {
            from = from.min(nanos(&record.window.first_seen)?);
            to = to.max(nanos(&record.window.last_seen)?);
        }
    }
    let from = sight.begins().map_or(from, |begins| begins.max(from));
    let size = (WIDTH, LANE * sight.site.all_epochs.len().min(LANES_MAX) as f64);
    (from < to).then_some(Scale { from, to, low: 0.0, high: 1.0, size })
}

fn lanes(sight: &Sight<'_>, scale: &Scale) -> Markup {
    let arms = || sight.site.all_epochs.iter().take(LANES_MAX);
    html! {
        div.lanes {
            ul.names aria-hidden="true" { @for arm in arms() { li { (arm.arm) } } }
            svg viewBox=(scale.view_box()) preserveAspectRatio="none" role="group" aria-label="Runs and changes by arm over time" {
                @for (lane, arm) in arms().enumerate() { (runs(sight, &arm.arm, lane, scale)) }
                @for change in &sight.site.changes { (mark(sight, change, scale)) }
            }
        }
        div.xlabels aria-hidden="true" { span { (human::minute(&rfc3339(scale.from))) } span { (human::minute(&rfc3339(scale.to))) " UTC" } }
    }
}

/// The runs of an arm, in the order in which they began; each with its colour.
fn runs(sight: &Sight<'_>, arm: &str, lane: usize, scale: &Scale) -> Markup {
    let mut ids: Vec<&str> = Vec::new();
    let mut records: Vec<&RunRecord> = own(sight, arm).collect();
    records.sort_by(|a, b| a.window.first_seen.cmp(&b.window.first_seen));
    let y = lane as f64 * LANE + (LANE - BAR) / 2.0;
    html! {
        @for record in records {
            @let at = ids.iter().position(|id| *id == record.run.id).unwrap_or_else(|| { ids.push(&record.run.id); ids.len() - 1 });
            @let ends = [&record.window.first_seen, &record.window.last_seen].map(|at| scale.x(nanos(at).unwrap_or(0)));
            a href=(format!("/runs/{}?epoch={}", record.run.id, record.window.epoch)) {
                rect class=(format!("run c{}", at % COLOURS)) x=(px(ends[0])) y=(px(y)) width=(px((ends[1] - ends[0]).max(2.0))) height=(px(BAR)) {
                    title { (arm) " · run " (human::run(&record.run.id)) " · epoch " (record.window.epoch) " · " (human::count(record.traffic.calls)) " calls" }
                }
            }
        }
    }
}

fn mark(sight: &Sight<'_>, change: &Change, scale: &Scale) -> Markup {
    let Some(at) = nanos(&change.at).filter(|at| *at >= scale.from) else { return html! {} };
    let lane = sight.site.all_epochs.iter().position(|arm| arm.arm == change.arm);
    let (top, bottom) = match lane {
        Some(lane) => (lane as f64 * LANE, (lane + 1) as f64 * LANE),
        None => (0.0, scale.size.1),
    };
    let x = scale.x(at);
    let class = if lane.is_some() { "change" } else { "change epoch" };
    html! {
        a class=(class) href=(after(sight, change)) {
            rect.hit x=(px(x - 8.0)) y=(px(top)) width="16" height=(px(bottom - top)) {}
            line x1=(px(x)) x2=(px(x)) y1=(px(top)) y2=(px(bottom)) {}
            title { (says(change)) ". Show what came after." }
        }
    }
}

/// The page of what came after a change, with the runs before and after it side by side.
fn after(sight: &Sight<'_>, change: &Change) -> String {
    let pair = around(sight, change);
    let link = sight.link(|asked| {
        asked.after = Some(change.at.clone());
        asked.window = None;
        (asked.a, asked.b) = (None, None);
        if let Some((a, b)) = pair {
            (asked.a, asked.b) = (Some(human::run(a).to_owned()), Some(human::run(b).to_owned()));
        }
    });
    format!("{link}#diff")
}

/// Ids of the arm's runs before and after a change: the one that ended last of those that began
/// before it, and the one that began first at or after it.
fn around<'s>(sight: &'s Sight<'_>, change: &'s Change) -> Option<(&'s str, &'s str)> {
    let changed = sight.site.all_epochs.iter().find(|arm| arm.arm == change.arm);
    let arm = changed.or_else(|| sight.site.all_epochs.iter().find(|arm| !arm.control))?;
    let at = nanos(&change.at)?;
    let began = |record: &&RunRecord| nanos(&record.window.first_seen).unwrap_or(0);
    let before = own(sight, &arm.arm)
        .filter(|record| began(record) < at)
        .max_by_key(|record| nanos(&record.window.last_seen));
    let later = own(sight, &arm.arm).filter(|record| began(record) >= at).min_by_key(began);
    let (before, later) = (before?, later?);
    (before.run.id != later.run.id).then_some((before.run.id.as_str(), later.run.id.as_str()))
}

fn listed(sight: &Sight<'_>, change: &Change) -> Markup {
    html! {
        li {
            a href=(after(sight, change)) { time datetime=(change.at) { (human::minute(&change.at)) } }
            b { @if change.arm.is_empty() { "all arms" } @else { (change.arm) } }
            code { (change.field) }
            (from_to(change))
        }
    }
}
