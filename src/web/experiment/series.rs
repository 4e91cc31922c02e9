//! The large chart: of the metric in front, each arm's difference from control at every look of
//! the epoch, with marks where something changed; for descriptive windows, levels by hour. It is
//! SVG as it comes; a script draws the same data again with a cursor.

use super::sight::Sight;
use crate::model::id::{Nanos, nanos, rfc3339};
use crate::model::record::MetricLine;
use crate::model::view::{Band, BandPoint};
use crate::web::chart::{self, Scale};
use crate::web::human;
use maud::{Markup, html};
use serde_json::json;

/// Arms drawn in one chart: more cannot be told apart.
const ARMS_MAX: usize = 6;
const SIZE: (f64, f64) = (1200.0, 300.0);
/// Looks of one arm that are drawn.
const LOOKS_MAX: usize = 200;

/// The chart.
pub fn series(sight: &Sight<'_>) -> Markup {
    let Some(metric) = sight.metric.as_deref() else { return html! {} };
    let name = metric.replace('_', " ");
    if sight.is_descriptive() {
        return levels(sight, metric, &name);
    }
    let bands = bands(sight, metric);
    html! {
        section.series aria-labelledby="series-title" {
            h2 #series-title { (name) ": difference from " (sight.control()) " at every look" }
            @match Scale::of(bands.iter(), SIZE) {
                Some(scale) => (figure(&bands, &scale, &marks(sight, None), human::difference)),
                None => p.note { (nothing(sight, metric)) },
            }
        }
    }
}

/// Levels over time, for windows that decide nothing.
fn levels(sight: &Sight<'_>, metric: &str, name: &str) -> Markup {
    let unit = sight.arms.iter().find_map(|arm| sight.front(arm)).map_or("", |line| &line.unit);
    let mut bands: Vec<Band> = Vec::new();
    for arm in sight.arms.iter().take(ARMS_MAX) {
        bands.push(Band {
            experiment: sight.experiment.name.clone(),
            site: sight.site.site.clone(),
            arm: arm.arm.clone(),
            control: sight.control().to_owned(),
            metric: metric.to_owned(),
            unit: unit.to_owned(),
            state: String::new(),
            margin: None,
            points: Vec::new(),
        });
    }
    for point in sight.levels(metric) {
        let own = bands.iter_mut().find(|band| band.arm == point.arm);
        if let (Some(band), Some(at), Some(level)) = (own, nanos(&point.at), point.level) {
            let bound = Some(level);
            band.points.push(BandPoint { at, estimate: level, lower: bound, upper: bound });
        }
    }
    html! {
        section.series aria-labelledby="series-title" {
            h2 #series-title { (name) ": levels over time, descriptive" }
            @match Scale::of_levels(bands.iter(), SIZE) {
                Some(scale) => (figure(&bands, &scale, &marks(sight, None), human::level)),
                None => p.note { "There is nothing to draw in this window." },
            }
        }
    }
}

/// Histories of the metric in front, the arms in the order of the table.
fn bands(sight: &Sight<'_>, metric: &str) -> Vec<Band> {
    let own = |band: &&Band| {
        band.experiment == sight.experiment.name
            && band.site == sight.site.site
            && band.metric == metric
    };
    let mut found: Vec<&Band> = sight.view.bands.iter().filter(own).collect();
    found.sort_by_key(|band| sight.site.arms.iter().position(|arm| arm.arm == band.arm));
    found
        .into_iter()
        .take(ARMS_MAX)
        .map(|band| chart::thinned(&within(sight, band), LOOKS_MAX))
        .collect()
}

/// A history as far as the window reaches.
pub fn within(sight: &Sight<'_>, band: &Band) -> Band {
    let from = sight.begins().unwrap_or(0);
    let points: Vec<BandPoint> = band.points.iter().filter(|p| p.at >= from).copied().collect();
    Band { points, ..band.clone() }
}

/// What changed, as marks of a chart: in one arm, or in any.
pub fn marks(sight: &Sight<'_>, arm: Option<&str>) -> Vec<(Nanos, String)> {
    let concerns = |of: &str| arm.is_none_or(|arm| of.is_empty() || of == arm);
    let changes = sight.site.changes.iter().filter(|change| concerns(&change.arm));
    changes.filter_map(|change| Some((nanos(&change.at)?, super::timeline::says(change)))).collect()
}

fn nothing(sight: &Sight<'_>, metric: &str) -> String {
    let decides = sight.site.arms.iter().flat_map(|arm| &arm.metrics);
    let decides = decides.filter(|line| line.name == metric).any(MetricLine::decides);
    match decides {
        true => "There are no two looks to draw yet; one is made each minute.".to_owned(),
        false => format!(
            "{metric} is not part of the decision, so no history of it is kept. Put it into the \
             experiment's family to follow it."
        ),
    }
}

/// How a value is written: with its sign or without.
type Shown = fn(f64, &str) -> String;

fn figure(bands: &[Band], scale: &Scale, marks: &[(Nanos, String)], shown: Shown) -> Markup {
    let unit = bands.first().map_or("", |band| band.unit.as_str());
    html! {
        figure.chart data-chart="series-data" {
            figcaption { (legend(bands, shown)) }
            div.frame {
                div.ylabels aria-hidden="true" { span { (shown(scale.high, unit)) } span { (shown(scale.low, unit)) } }
                (drawing(bands, scale, marks))
                div.plot #series-plot data-keep="" {}
            }
            div.xlabels aria-hidden="true" { span { (human::minute(&rfc3339(scale.from))) } span { (human::minute(&rfc3339(scale.to))) " UTC" } }
            // Not a script: an update takes scripts out.
            div #series-data hidden { (data(bands, scale, marks)) }
        }
    }
}

fn legend(bands: &[Band], shown: Shown) -> Markup {
    html! {
        ul.legend { @for (at, band) in bands.iter().enumerate() { li class=(format!("arm{at}")) {
            span.key aria-hidden="true" {}
            b { (band.arm) }
            @if let Some(last) = band.points.last() {
                " " (shown(last.estimate, &band.unit))
                @if last.lower != last.upper { span.dim { " " (human::interval(last.lower, last.upper, &band.unit)) } }
            }
        } } }
    }
}

fn drawing(bands: &[Band], scale: &Scale, marks: &[(Nanos, String)]) -> Markup {
    html! {
        svg.series viewBox=(scale.view_box()) role="img" preserveAspectRatio="none" {
            title { "Difference from control over time, one band an arm" }
            desc { @for band in bands { @if let Some(last) = band.points.last() {
                (band.arm) " now " (human::difference(last.estimate, &band.unit)) ", "
                (human::interval(last.lower, last.upper, &band.unit)) "; "
            } } }
            @for (at, band) in bands.iter().enumerate() { (chart::area(band, scale, &format!("arm{at}"))) }
            @if scale.shows(0.0) { (chart::zero(scale)) }
            @if let Some(margin) = bands.iter().find_map(|b| b.margin).filter(|m| scale.shows(*m)) { (chart::threshold(scale, margin)) }
            (chart::changes(scale, marks))
            @for (at, band) in bands.iter().enumerate() { path class=(format!("middle arm{at}")) d=(chart::middle(&band.points, scale)) {} }
        }
    }
}

/// The same for the script. Times of looks are shared, as all arms are looked at together; a
/// bound that is open lies far off the scale.
fn data(bands: &[Band], scale: &Scale, marks: &[(Nanos, String)]) -> String {
    let mut times: Vec<Nanos> = bands.iter().flat_map(|b| b.points.iter().map(|p| p.at)).collect();
    times.sort_unstable();
    times.dedup();
    let far = (scale.high - scale.low) * 10.0;
    let column = |band: &Band, of: &dyn Fn(&BandPoint) -> f64| -> Vec<Option<f64>> {
        let at = |time: &Nanos| band.points.binary_search_by_key(time, |p| p.at).ok();
        times.iter().map(|time| at(time).map(|at| rounded(of(&band.points[at])))).collect()
    };
    let arms: Vec<_> = bands
        .iter()
        .map(|band| {
            json!({
                "arm": band.arm,
                "estimate": column(band, &|p| p.estimate),
                "lower": column(band, &|p| p.lower.unwrap_or(scale.low - far)),
                "upper": column(band, &|p| p.upper.unwrap_or(scale.high + far)),
            })
        })
        .collect();
    let seconds = |at: &Nanos| *at as f64 / 1e9;
    let document = json!({
        "unit": bands.first().map_or("", |band| band.unit.as_str()),
        "signed": bands.iter().any(|band| band.points.iter().any(|p| p.lower != p.upper)),
        "low": scale.low, "high": scale.high,
        "margin": bands.iter().find_map(|band| band.margin),
        "times": times.iter().map(seconds).collect::<Vec<f64>>(),
        "arms": arms,
        "marks": marks.iter().map(|(at, what)| json!([seconds(at), what])).collect::<Vec<_>>(),
    });
    document.to_string()
}

/// Six digits: more than a screen has.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let digits = 10_f64.powi(5 - value.abs().log10().floor() as i32);
    (value * digits).round() / digits
}
