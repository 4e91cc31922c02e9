//! The band over time: the difference of an arm from control at every look, as a small SVG that
//! needs no script. Bounds that are open or off the scale end at the frame.

use super::human;
use crate::model::view::Band;
use maud::{Markup, html};
use std::fmt::Write as _;

/// Size of the drawing, in its own units.
const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 84.0;
/// The scale shows this share of the looks whole; the first ones are as wide as one likes.
const SHOWN_WHOLE: f64 = 0.75;
/// Room above and below what is shown, as a share of it.
const ROOM: f64 = 0.15;

/// Where values and times are drawn.
struct Scale {
    from: u64,
    to: u64,
    low: f64,
    high: f64,
}

/// One chart with its caption; nothing when there are no two looks to draw.
pub fn band(band: &Band) -> Option<Markup> {
    let scale = Scale::of(band)?;
    let last = band.points.last()?;
    let says = format!(
        "{} in {} minus {}: {} ({})",
        band.metric,
        band.arm,
        band.control,
        human::difference(last.estimate, &band.unit),
        human::interval(last.lower, last.upper, &band.unit)
    );
    Some(html! {
        figure.band {
            figcaption { b { (band.arm) } " " (band.metric.replace('_', " ")) span.dim { " " (human::difference(last.estimate, &band.unit)) } }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(says) {
                title { (says) }
                path class=(format!("fill {}", band.state)) d=(area(band, &scale)) {}
                line.zero x1="0" x2=(WIDTH) y1=(px(scale.y(0.0))) y2=(px(scale.y(0.0))) {}
                @if let Some(margin) = band.margin.filter(|m| scale.shows(*m)) {
                    line.margin x1="0" x2=(WIDTH) y1=(px(scale.y(margin))) y2=(px(scale.y(margin))) {}
                }
                path.middle d=(middle(band, &scale)) {}
            }
            div.axis { span { (human::difference(scale.high, &band.unit)) } span { (human::difference(scale.low, &band.unit)) } }
        }
    })
}

/// The area between the bounds: along the upper ones, and back along the lower ones.
fn area(band: &Band, scale: &Scale) -> String {
    let mut path = String::new();
    let upper = band.points.iter().map(|p| (p.at, p.upper.unwrap_or(f64::INFINITY)));
    let lower = band.points.iter().rev().map(|p| (p.at, p.lower.unwrap_or(f64::NEG_INFINITY)));
    for (at, value) in upper.chain(lower) {
        let letter = if path.is_empty() { 'M' } else { 'L' };
        // Writing to a text cannot fail.
        let _ = write!(path, "{letter}{} {}", px(scale.x(at)), px(scale.y(value)));
    }
    path.push('Z');
    path
}

fn middle(band: &Band, scale: &Scale) -> String {
    let mut path = String::new();
    for point in &band.points {
        let letter = if path.is_empty() { 'M' } else { 'L' };
        let _ = write!(path, "{letter}{} {}", px(scale.x(point.at)), px(scale.y(point.estimate)));
    }
    path
}

fn px(value: f64) -> String {
    format!("{value:.1}")
}

// === impl Scale ===

impl Scale {
    fn of(band: &Band) -> Option<Self> {
        let (from, to) = (band.points.first()?.at, band.points.last()?.at);
        let later = (band.points.len() as f64 * (1.0 - SHOWN_WHOLE)) as usize;
        let mut low = band.points.last()?.estimate.min(0.0);
        let mut high = band.points.last()?.estimate.max(0.0);
        for point in &band.points[later..] {
            low = low.min(point.lower.unwrap_or(low));
            high = high.max(point.upper.unwrap_or(high));
        }
        let room = (high - low) * ROOM;
        (from < to && room > 0.0).then_some(Scale { from, to, low: low - room, high: high + room })
    }

    fn x(&self, at: u64) -> f64 {
        (at - self.from) as f64 / (self.to - self.from) as f64 * WIDTH
    }

    fn y(&self, value: f64) -> f64 {
        let value = value.clamp(self.low, self.high);
        (self.high - value) / (self.high - self.low) * HEIGHT
    }

    fn shows(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::view::BandPoint;

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
        let text = band(&sample(points)).expect("a chart").into_string();
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        assert!(!text.contains("<i>"), "names are escaped");
        assert!(text.contains("answer_ok in B&lt;i&gt; minus A: +5.00 pp (+2.96 to +7.04 pp)"));
        assert!(text.contains("class=\"fill better\"") && text.contains("class=\"margin\""));
        let y = text.split("L").filter_map(|part| part.split_once(' ')?.1.parse::<f64>().ok());
        assert!(y.clone().count() > 90 && y.fold(0.0, f64::max) <= HEIGHT);
    }

    #[test]
    fn one_look_is_no_line() {
        assert!(band(&sample(vec![point(1, 0.1, 0.2)])).is_none());
        assert!(band(&sample(Vec::new())).is_none());
    }
}
