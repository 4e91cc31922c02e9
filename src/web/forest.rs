//! Differences from control as rows of a forest plot: one axis for all arms, zero in its middle
//! part, the margin shaded, an arrowhead where an interval leaves the axis.

use super::human;
use crate::model::record::{Difference, MetricLine};
use maud::{Markup, html};

/// Size of a row, in its own units.
const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 26.0;
const MIDDLE: f64 = HEIGHT / 2.0;
/// Room for arrowheads at both ends.
const EDGE: f64 = 9.0;
/// An axis reaches this many times as far as the farthest estimate or margin, if intervals do.
const REACH: f64 = 3.0;

/// The axis that rows of one metric share.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Axis {
    low: f64,
    high: f64,
}

/// What one row shows.
pub struct Row<'a> {
    /// The arm.
    pub arm: &'a str,
    /// Its line.
    pub line: &'a MetricLine,
    /// Control's level, for a margin that is a share of it.
    pub control: Option<f64>,
}

/// What is drawn on an axis.
pub struct Drawn<'a> {
    /// What it is.
    pub title: String,
    /// The same figures in words.
    pub says: String,
    /// The estimate.
    pub estimate: f64,
    /// The bounds of its interval; open where there is none.
    pub bounds: (Option<f64>, Option<f64>),
    /// Where it is beyond its margin.
    pub margin: Option<f64>,
    /// The state of its verdict.
    pub state: &'a str,
}

// === impl Axis ===

impl Axis {
    /// Of lines of one metric, with control's level; none when nothing differs from anything.
    pub fn of<'a>(
        lines: impl Iterator<Item = &'a MetricLine> + Clone,
        control: Option<f64>,
    ) -> Option<Self> {
        let differences = lines.clone().filter_map(|line| line.difference.as_ref());
        let mut far = differences.clone().map(|d| d.estimate.abs()).fold(0.0, f64::max);
        for line in lines {
            far = line.margin_at(control).map_or(far, |margin| far.max(margin.abs()));
        }
        let bound = |found: Option<f64>, end: f64| found.unwrap_or(end);
        let (mut low, mut high) = (0.0_f64, 0.0_f64);
        for d in differences {
            low = low.min(bound(d.lower, low)).min(d.estimate);
            high = high.max(bound(d.upper, high)).max(d.estimate);
        }
        if far > 0.0 {
            (low, high) = (low.max(-far * REACH), high.min(far * REACH));
            (low, high) = (low.min(-far * 0.15), high.max(far * 0.15));
        }
        let room = (high - low) * 0.04;
        (room > 0.0).then_some(Axis { low: low - room, high: high + room })
    }

    /// With zero in its middle, as far as a value reaches.
    pub fn about_zero(far: f64) -> Self {
        let far = if far > 0.0 { far * 1.12 } else { 1.0 };
        Axis { low: -far, high: far }
    }

    fn x(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        EDGE + share.clamp(0.0, 1.0) * (WIDTH - 2.0 * EDGE)
    }

    /// Its ends and zero as text, for the head of a column.
    pub fn head(&self, unit: &str) -> Markup {
        html! {
            span.axis aria-hidden="true" {
                span { (human::difference(self.low, unit)) }
                span { (human::difference(self.high, unit)) }
            }
        }
    }
}

/// One row.
pub fn row(axis: &Axis, row: &Row<'_>) -> Markup {
    let Some(difference) = &row.line.difference else { return html! {} };
    let margin = row.line.margin_at(row.control);
    draw(
        axis,
        &Drawn {
            title: format!("{} in {} minus {}", row.line.name, row.arm, difference.from),
            says: says(difference, margin, &row.line.unit),
            estimate: difference.estimate,
            bounds: (difference.lower, difference.upper),
            margin,
            state: row.line.verdict.as_ref().map_or("inconclusive", |v| v.state.as_str()),
        },
    )
}

/// Draws an interval on an axis.
pub fn draw(axis: &Axis, drawn: &Drawn<'_>) -> Markup {
    let (lower, upper) = drawn.bounds;
    let from = axis.x(lower.unwrap_or(f64::NEG_INFINITY));
    let to = axis.x(upper.unwrap_or(f64::INFINITY));
    let class = format!("forest {}", super::verdict::class_of(drawn.state));
    html! {
        svg class=(class) viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" {
            title { (drawn.title) }
            desc { (drawn.says) }
            @if let Some(margin) = drawn.margin { (tolerated(axis, margin)) }
            line.zero x1=(px(axis.x(0.0))) x2=(px(axis.x(0.0))) y1="1" y2=(px(HEIGHT - 1.0)) {}
            line.interval x1=(px(from)) x2=(px(to)) y1=(px(MIDDLE)) y2=(px(MIDDLE)) {}
            @if is_open(lower, axis.low, |v, end| v < end) { (arrow(from, -1.0)) } @else { (cap(from)) }
            @if is_open(upper, axis.high, |v, end| v > end) { (arrow(to, 1.0)) } @else { (cap(to)) }
            (point(axis.x(drawn.estimate), drawn.state))
        }
    }
}

fn says(difference: &Difference, margin: Option<f64>, unit: &str) -> String {
    let interval = human::interval(difference.lower, difference.upper, unit);
    let known = difference.lower.is_some() || difference.upper.is_some();
    let confidence = difference.confidence.filter(|_| known).map(human::confidence);
    let at = confidence.map_or(String::new(), |share| format!(" at {share}, at every look"));
    let margin = margin.map(|margin| human::difference(margin, unit));
    let margin = margin.map_or(String::new(), |margin| format!("; margin {margin}"));
    format!("{}, {interval}{at}{margin}", human::difference(difference.estimate, unit))
}

fn is_open(bound: Option<f64>, end: f64, beyond: impl Fn(f64, f64) -> bool) -> bool {
    bound.is_none_or(|value| beyond(value, end))
}

/// What is tolerated: from zero to the margin.
fn tolerated(axis: &Axis, margin: f64) -> Markup {
    let (from, to) = (axis.x(margin.min(0.0)), axis.x(margin.max(0.0)));
    let at = axis.x(margin);
    html! {
        rect.tolerated x=(px(from)) y="1" width=(px(to - from)) height=(px(HEIGHT - 2.0)) {}
        line.margin x1=(px(at)) x2=(px(at)) y1="1" y2=(px(HEIGHT - 1.0)) {}
    }
}

fn arrow(x: f64, way: f64) -> Markup {
    let tip = x + way * (EDGE - 2.0);
    let (top, bottom) = (MIDDLE - 4.0, MIDDLE + 4.0);
    html! { path.arrow d=(format!("M{} {}L{} {}L{} {}Z", px(x), px(top), px(tip), px(MIDDLE), px(x), px(bottom))) {} }
}

fn cap(x: f64) -> Markup {
    html! { line.interval x1=(px(x)) x2=(px(x)) y1=(px(MIDDLE - 4.0)) y2=(px(MIDDLE + 4.0)) {} }
}

/// Round while nothing is claimed, square when something is.
fn point(x: f64, state: &str) -> Markup {
    html! {
        @if matches!(state, "inconclusive" | "insufficient" | "invalid") {
            circle.point cx=(px(x)) cy=(px(MIDDLE)) r="4.2" {}
        } @else {
            rect.point x=(px(x - 4.2)) y=(px(MIDDLE - 4.2)) width="8.4" height="8.4" {}
        }
    }
}

/// A length of a drawing.
pub fn px(value: f64) -> String {
    format!("{value:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn line(estimate: f64, lower: Option<f64>, upper: Option<f64>) -> MetricLine {
        let mut difference = json!({"from": "A", "estimate": estimate, "method": "m"});
        lower.iter().for_each(|v| difference["lower"] = json!(v));
        upper.iter().for_each(|v| difference["upper"] = json!(v));
        serde_json::from_value(json!({
            "name": "latency_p95", "role": "guardrail", "direction": "decrease", "unit": "s",
            "definition": "d", "margin_share": 0.1, "calls": 5, "difference": difference,
            "verdict": {"state": "breached", "reasons": []},
        }))
        .expect("a line")
    }

    fn drawn(lines: &[MetricLine], at: usize) -> String {
        let axis = Axis::of(lines.iter(), Some(2.0)).expect("an axis");
        row(&axis, &Row { arm: "B<", line: &lines[at], control: Some(2.0) }).into_string()
    }

    #[test]
    fn an_interval_that_leaves_the_axis_ends_in_an_arrowhead() {
        let lines = [line(0.1, Some(-0.1), Some(0.3)), line(0.2, None, Some(50.0))];
        assert_eq!(drawn(&lines, 0).matches("arrow").count(), 0);
        assert_eq!(drawn(&lines, 1).matches("arrow").count(), 2);
        let text = drawn(&lines, 0);
        assert!(text.contains("margin +200 ms") && text.contains("B&lt;"), "{text}");
        for number in text.split('"').filter_map(|part| part.parse::<f64>().ok()) {
            assert!((0.0..=WIDTH).contains(&number), "{number} in {text}");
        }
    }

    #[test]
    fn the_axis_is_shared_and_has_zero() {
        let lines = [line(0.1, Some(0.05), Some(0.3)), line(0.2, Some(0.1), Some(0.4))];
        let axis = Axis::of(lines.iter(), None).expect("an axis");
        assert!(axis.low < 0.0 && axis.high >= 0.4, "{axis:?}");
        assert_eq!(Axis::of([].iter(), None), None);
        assert_eq!(Axis::of([line(0.0, Some(0.0), Some(0.0))].iter(), None), None);
    }
}
