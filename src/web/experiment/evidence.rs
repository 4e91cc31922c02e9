//! The evidence card: which facets were on what share of an arm's calls, and which service
//! leaves one out; and calls to look at.

use super::sight::Sight;
use crate::model::record::{FacetEvidence, Link, RunRecord};
use crate::model::view::ArmView;
use crate::web::human;
use crate::web::page::{grade, trace};
use maud::{Markup, html};
use std::collections::BTreeMap;

/// Services named per facet.
const SERVICES_MAX: usize = 3;
/// Arms of the card.
const ARMS_MAX: usize = 12;
/// Calls listed of each kind.
const LINKS_MAX: usize = 8;

/// Presence of one facet: calls by arm, and who leaves it out.
#[derive(Default)]
struct Facet<'a> {
    by_arm: BTreeMap<&'a str, (i64, i64)>,
    missing: BTreeMap<&'a str, i64>,
}

/// Records of the epoch that is shown.
fn records<'a>(sight: &'a Sight<'_>) -> impl Iterator<Item = &'a RunRecord> {
    let epoch = sight.site.epoch;
    sight.view.runs.iter().filter(move |record| {
        let run = &record.run;
        run.experiment == sight.experiment.name
            && run.site == sight.site.site
            && record.window.epoch == epoch
    })
}

/// The card.
pub fn card(sight: &Sight<'_>) -> Markup {
    let mut facets: BTreeMap<&str, Facet<'_>> = BTreeMap::new();
    for record in records(sight) {
        for found in &record.evidence.facets {
            facets.entry(&found.facet).or_default().add(record, found);
        }
    }
    let arms: Vec<&ArmView> = sight.site.arms.iter().take(ARMS_MAX).collect();
    let mut rows: Vec<(&str, Facet<'_>)> = facets.into_iter().collect();
    // What is missing most comes first: it is what can be mended.
    rows.sort_by_key(|(_, facet)| -facet.missing.values().sum::<i64>());
    html! {
        section.evidence aria-labelledby="evidence-title" {
            h2 #evidence-title { "Evidence: what the calls say of themselves" }
            div.scroll tabindex="0" role="region" aria-label="Evidence" { table {
                caption.hidden { "Share of calls that carry each facet, by arm" }
                thead { tr { th scope="col" { "facet" }
                    @for arm in &arms { th.n scope="col" { (arm.arm) " " (grade(&arm.evidence)) } }
                    th scope="col" { "left out by" } } }
                tbody { @for (name, facet) in &rows { tr {
                    th scope="row" { code { (name) } }
                    @for arm in &arms { (share(facet.by_arm.get(arm.arm.as_str()))) }
                    td { (blame(&facet.missing)) }
                } } }
            } }
        }
    }
}

impl<'a> Facet<'a> {
    fn add(&mut self, record: &'a RunRecord, found: &'a FacetEvidence) {
        let sums = self.by_arm.entry(&record.run.arm).or_default();
        sums.0 += found.present;
        sums.1 += record.evidence.calls;
        for missing in &found.missing_from {
            *self.missing.entry(&missing.service).or_default() += missing.calls;
        }
    }
}

fn share(sums: Option<&(i64, i64)>) -> Markup {
    let share = sums.filter(|sums| sums.1 > 0).map(|sums| sums.0 as f64 / sums.1 as f64);
    let class = match share {
        Some(share) if share < 0.9 => "n bad",
        Some(share) if share < 0.99 => "n warn",
        _ => "n",
    };
    html! { td class=(class) { (share.map_or("–".to_owned(), human::share)) } }
}

fn blame(missing: &BTreeMap<&str, i64>) -> Markup {
    let mut list: Vec<(&&str, &i64)> = missing.iter().collect();
    list.sort_by_key(|(service, calls)| (-**calls, **service));
    html! {
        @if list.is_empty() { span.dim { "nobody" } }
        @for (at, (service, calls)) in list.iter().take(SERVICES_MAX).enumerate() {
            @if at > 0 { ", " } b { (service) } span.dim { " on " (human::count(**calls)) " calls" }
        }
        @if list.len() > SERVICES_MAX { span.dim { " and " (list.len() - SERVICES_MAX) " more" } }
    }
}

/// Calls to look at: the worst, those that breach, some at random, labelled so.
pub fn exemplars(sight: &Sight<'_>) -> Markup {
    const KINDS: [(&str, &str); 3] =
        [("worst", "Worst"), ("breaching", "Breaching"), ("random", "Random")];
    let links: Vec<(&RunRecord, &Link)> = records(sight)
        .flat_map(|record| record.links.iter().map(move |link| (record, link)))
        .collect();
    let templated = links.iter().any(|(_, link)| link.href.is_some());
    html! {
        @if !links.is_empty() {
            section.exemplars aria-labelledby="exemplars-title" {
                h2 #exemplars-title { "Calls to look at" }
                div.kinds { @for (rel, title) in KINDS {
                    @let own: Vec<_> = links.iter().filter(|(_, link)| link.rel == rel).take(LINKS_MAX).collect();
                    @if !own.is_empty() { div {
                        h3 { (title) }
                        ul { @for (record, link) in own { li { b { (record.run.arm) } " "
                            @if let Some(why) = &link.why { (why) " " } (trace(link, &shortened(link))) } } }
                    } }
                } }
                @if !templated { p.note { "Set " code { "links.trace" } " in the config to open traces in your tracing tool." } }
            }
        }
    }
}

/// The first half of a trace's id.
fn shortened(link: &Link) -> String {
    link.trace_id.chars().take(16).chain(['…']).collect()
}
