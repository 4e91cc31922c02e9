//! Differences from control over time, as SVG that needs no script: a narrowing band, zero, the
//! margin, and marks where something changed. Bounds that are open or off the scale end at the
//! frame.

use super::forest::px;
use super::human;
use crate::model::id::{Nanos, rfc3339};
use crate::model::view::{Band, BandPoint};
use maud::{Markup, html};
use std::fmt::Write as _;

/// The scale shows this share of the looks whole; the first ones are as wide as one likes.
const SHOWN_WHOLE: f64 = 0.75;
/// Room above and below what is shown, as a share of it.
const ROOM: f64 = 0.12;

/// Looks of a small chart.
const TILE_LOOKS_MAX: usize = 75;

/// Where values and times are drawn.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Scale {
    /// The first time.
    pub from: Nanos,
    /// The last.
    pub to: Nanos,
    /// The lowest value.
    pub low: f64,
    /// The highest.
    pub high: f64,
    /// Size of the drawing, in its own units.
    pub size: (f64, f64),
}

/// A history with no more looks than can be told apart on a drawing; the last one stays.
pub fn thinned(band: &Band, max: usize) -> Band {
    let step = band.points.len().div_ceil(max.max(1)).max(1);
    let last = band.points.len().saturating_sub(1);
    let kept = band.points.iter().enumerate().filter(|(at, _)| (last - at).is_multiple_of(step));
    Band { points: kept.map(|(_, point)| *point).collect(), ..band.clone() }
}

/// A small chart with its caption; nothing when there are no two looks to draw.
pub fn tile(band: &Band, marks: &[(Nanos, String)]) -> Option<Markup> {
    let band = &thinned(band, TILE_LOOKS_MAX);
    let scale = Scale::of([band].into_iter(), (300.0, 76.0))?;
    let last = band.points.last()?;
    Some(html! {
        svg.band viewBox=(scale.view_box()) role="img" preserveAspectRatio="none" {
            title { (band.metric) " in " (band.arm) " minus " (band.control) ", from "
                (human::minute(&rfc3339(scale.from))) " to " (human::minute(&rfc3339(scale.to))) " UTC" }
            desc { "Now " (human::difference(last.estimate, &band.unit)) ", "
                (human::interval(last.lower, last.upper, &band.unit)) }
            (area(band, &scale, super::verdict::class_of(&band.state)))
            (zero(&scale))
            @if let Some(margin) = band.margin.filter(|m| scale.shows(*m)) { (threshold(&scale, margin)) }
            (changes(&scale, marks))
            path.middle d=(middle(&band.points, &scale)) {}
        }
    })
}

/// Lines where something changed, each with what it was.
pub fn changes(scale: &Scale, marks: &[(Nanos, String)]) -> Markup {
    let inside = marks.iter().filter(|mark| mark.0 > scale.from && mark.0 < scale.to);
    html! {
        @for (at, what) in inside {
            @let x = px(scale.x(*at));
            line.change x1=(x) x2=(x) y1="0" y2=(scale.size.1) { title { (what) } }
        }
    }
}

/// Zero: no difference.
pub fn zero(scale: &Scale) -> Markup {
    let y = px(scale.y(0.0));
    html! { line.zero x1="0" x2=(scale.size.0) y1=(y) y2=(y) {} }
}

/// Where a metric is beyond its margin.
pub fn threshold(scale: &Scale, margin: f64) -> Markup {
    let y = px(scale.y(margin));
    html! { line.margin x1="0" x2=(scale.size.0) y1=(y) y2=(y) {} }
}

/// The area between the bounds: along the upper ones, and back along the lower ones.
pub fn area(band: &Band, scale: &Scale, class: &str) -> Markup {
    let mut path = String::new();
    let upper = band.points.iter().map(|p| (p.at, p.upper.unwrap_or(f64::INFINITY)));
    let lower = band.points.iter().rev().map(|p| (p.at, p.lower.unwrap_or(f64::NEG_INFINITY)));
    for (at, value) in upper.chain(lower) {
        let letter = if path.is_empty() { 'M' } else { 'L' };
        // Writing to a text cannot fail.
        let _ = write!(path, "{letter}{} {}", px(scale.x(at)), px(scale.y(value)));
    }
    path.push('Z');
    html! { path class=(format!("fill {class}")) d=(path) {} }
}

/// The line of the estimates.
pub fn middle(points: &[BandPoint], scale: &Scale) -> String {
    let mut path = String::new();
    for point in points {
        let letter = if path.is_empty() { 'M' } else { 'L' };
        let _ = write!(path, "{letter}{} {}", px(scale.x(point.at)), px(scale.y(point.estimate)));
    }
    path
}

// === impl Scale ===

impl Scale {
    /// Of differences that share a chart: zero is on it.
    pub fn of<'a>(bands: impl Iterator<Item = &'a Band>, size: (f64, f64)) -> Option<Self> {
        Scale::from(bands, size, (0.0, 0.0))
    }

    /// Of levels that share a chart: as near as they are.
    pub fn of_levels<'a>(bands: impl Iterator<Item = &'a Band>, size: (f64, f64)) -> Option<Self> {
        Scale::from(bands, size, (f64::INFINITY, f64::NEG_INFINITY))
    }

    fn from<'a>(
        bands: impl Iterator<Item = &'a Band>,
        size: (f64, f64),
        (mut low, mut high): (f64, f64),
    ) -> Option<Self> {
        let (mut from, mut to) = (Nanos::MAX, 0);
        for band in bands {
            let (Some(first), Some(last)) = (band.points.first(), band.points.last()) else {
                continue;
            };
            (from, to) = (from.min(first.at), to.max(last.at));
            (low, high) = (low.min(last.estimate), high.max(last.estimate));
            let later = (band.points.len() as f64 * (1.0 - SHOWN_WHOLE)) as usize;
            for point in &band.points[later..] {
                low = low.min(point.lower.unwrap_or(low));
                high = high.max(point.upper.unwrap_or(high));
            }
        }
        let room = (high - low) * ROOM;
        let (low, high) = (low - room, high + room);
        (from < to && room > 0.0).then_some(Scale { from, to, low, high, size })
    }

    /// The attribute of its SVG.
    pub fn view_box(&self) -> String {
        format!("0 0 {} {}", self.size.0, self.size.1)
    }

    /// Where a time is drawn.
    pub fn x(&self, at: Nanos) -> f64 {
        let at = at.clamp(self.from, self.to);
        (at - self.from) as f64 / (self.to - self.from) as f64 * self.size.0
    }

    /// Where a value is drawn.
    pub fn y(&self, value: f64) -> f64 {
        let value = value.clamp(self.low, self.high);
        (self.high - value) / (self.high - self.low) * self.size.1
    }

    /// Whether a value is on it.
    pub fn shows(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(points: Vec<BandPoint>) -> Band {
        Band {
            experiment: "e".into(),
            site: "s".into(),
            arm: "B<i>".into(),
            control: "A".into(),
            metric: "answer_ok".into(),
            unit: "1".into(),
            state: "better".into(),
            margin: Some(-0.01),
            points,
        }
    }

    fn point(at: u64, estimate: f64, half: f64) -> BandPoint {
        let (lower, upper) = (Some(estimate - half), Some(estimate + half));
        BandPoint { at, estimate, lower, upper }
    }

    #[test]
    fn a_band_stays_in_its_frame_and_says_what_it_shows() {
        let mut points: Vec<BandPoint> =
            (1..50).map(|at| point(at, 0.05, 1.0 / at as f64)).collect();
        points[0].upper = None;
        let marks = [(20, "model.revision in B<i>".to_owned()), (99, "later".to_owned())];
        let text = tile(&sample(points), &marks).expect("a chart").into_string();
        assert!(text.contains("B&lt;i&gt; minus A") && !text.contains("<i>"), "{text}");
        assert!(text.contains("class=\"margin\"") && text.matches("class=\"change\"").count() == 1);
        let numbers = text.split(['M', 'L', 'Z', ' ', '"']).filter_map(|p| p.parse::<f64>().ok());
        assert!(numbers.into_iter().all(|v| (0.0..=300.0).contains(&v)), "{text}");
    }

    #[test]
    fn one_look_makes_no_chart() {
        assert!(tile(&sample(vec![point(1, 0.0, 0.1)]), &[]).is_none());
        assert!(tile(&sample(Vec::new()), &[]).is_none());
        assert!(tile(&sample(vec![point(1, 0.0, 0.0), point(2, 0.0, 0.0)]), &[]).is_none());
    }
}
