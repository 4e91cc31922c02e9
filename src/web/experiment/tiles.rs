//! Guardrails: for each arm and guardrail that decides, the difference over time against its
//! threshold, with its state; what is breached comes first. A window that decides nothing has none.

use super::series::{marks, within};
use super::sight::Sight;
use crate::model::metric::Role;
use crate::model::record::{MetricLine, Verdict};
use crate::model::view::Band;
use crate::web::{chart, human, verdict};
use maud::{Markup, html};

/// Tiles of one page.
const TILES_MAX: usize = 12;

struct Tile<'a> {
    band: Band,
    line: &'a MetricLine,
    verdict: &'a Verdict,
}

/// The tiles.
pub fn tiles(sight: &Sight<'_>) -> Markup {
    if sight.is_descriptive() {
        return html! {};
    }
    let mut tiles = gather(sight);
    tiles.sort_by_key(|tile| rank(&tile.verdict.state));
    let more = tiles.len().saturating_sub(TILES_MAX);
    html! {
        @if !tiles.is_empty() {
            section.rails aria-labelledby="rails-title" {
                h2 #rails-title { "Guardrails" }
                div.tiles { @for tile in tiles.iter().take(TILES_MAX) { (one(sight, tile)) } }
                @if more > 0 { p.note { "and " (more) " more; the arms table has all of them." } }
            }
        }
    }
}

/// The worst first.
fn rank(state: &str) -> usize {
    let order = ["breached", "regressed", "invalid", "insufficient", "inconclusive", "healthy"];
    order.iter().position(|one| *one == state).unwrap_or(order.len())
}

fn gather<'a>(sight: &Sight<'a>) -> Vec<Tile<'a>> {
    let own =
        |band: &&Band| band.experiment == sight.experiment.name && band.site == sight.site.site;
    let find = |band: &Band| {
        let arm = sight.site.arms.iter().find(|arm| arm.arm == band.arm)?;
        let line = arm.line(&band.metric).filter(|line| line.role == Role::Guardrail)?;
        Some(Tile { band: within(sight, band), line, verdict: line.verdict.as_ref()? })
    };
    sight.view.bands.iter().filter(own).filter_map(find).collect()
}

fn one(sight: &Sight<'_>, tile: &Tile<'_>) -> Markup {
    let (band, unit) = (&tile.band, tile.line.unit.as_str());
    let difference = tile.line.difference.as_ref();
    html! {
        article class=(format!("tile {}", verdict::class_of(&tile.verdict.state))) {
            h3 { b { (band.arm) } " " (band.metric.replace('_', " ")) }
            (verdict::mark(tile.verdict))
            @if let Some(drawn) = chart::tile(band, &marks(sight, Some(&band.arm))) { (drawn) }
            @else { p.dim.none { "no two looks yet" } }
            p.said {
                @if let Some(difference) = difference {
                    b { (human::difference(difference.estimate, unit)) } " "
                    span.dim { (human::interval(difference.lower, difference.upper, unit)) } }
                @if let Some(margin) = band.margin { span.threshold { "margin " (human::difference(margin, unit)) } }
                @if let Some(ceiling) = tile.line.ceiling { span.threshold { "ceiling " (human::level(ceiling, unit)) } }
            }
            @if let Some(breach) = &tile.verdict.breach {
                p.breach { "Breached in epoch " (breach.epoch) " at " (human::minute(&breach.at)) " UTC." }
            }
        }
    }
}
