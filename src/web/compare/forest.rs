//! One row of a forest plot: the difference of a metric with its interval about zero, as a small
//! SVG that needs no script. It says in words what it draws; an end that is open runs to the frame
//! and has an arrow.

use crate::compare::MetricContrast;
use maud::{Markup, html};

/// Size of the drawing, in its own units.
const WIDTH: f64 = 160.0;
const HEIGHT: f64 = 20.0;
/// Room left and right of the widest end, as a share of the half.
const ROOM: f64 = 0.12;

/// The drawing; nothing when there is no difference to draw.
pub(super) fn row(name: &str, [a, b]: [&str; 2], metric: &MetricContrast) -> Markup {
    let Some(estimate) = metric.difference.filter(|value| value.is_finite()) else {
        return html! { span.dim { "–" } };
    };
    let known = metric.lower.is_some() || metric.upper.is_some();
    let ends = [Some(estimate), metric.lower, metric.upper];
    let widest = ends.into_iter().flatten().fold(0.0_f64, |most, end| most.max(end.abs()));
    let x = |value: f64| px(WIDTH / 2.0 + place(value, widest) * WIDTH / 2.0);
    let low = metric.lower.map_or(px(0.0), x);
    let high = metric.upper.map_or(px(WIDTH), x);
    let middle = px(HEIGHT / 2.0);
    html! {
        svg.forest viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" {
            title { (name) ": " (b) " − " (a) " " (metric.signed(Some(estimate))) }
            desc { (says(metric)) }
            line.zero x1=(px(WIDTH / 2.0)) x2=(px(WIDTH / 2.0)) y1="0" y2=(HEIGHT) {}
            @if known {
                line.whisker x1=(low) x2=(high) y1=(middle) y2=(middle) {}
                (end(metric.lower.map(x), 0.0, 6.0))
                (end(metric.upper.map(x), WIDTH, WIDTH - 6.0))
            }
            circle.point cx=(x(estimate)) cy=(middle) r="3.5" {}
        }
    }
}

/// A bar where an interval ends, an arrow where it does not.
fn end(at: Option<String>, edge: f64, back: f64) -> Markup {
    html! {
        @match at {
            Some(x) => line.whisker x1=(x) x2=(x) y1="5" y2="15" {},
            None => path.whisker d=(format!("M{back} 5L{edge} 10L{back} 15")) {},
        }
    }
}

fn says(metric: &MetricContrast) -> String {
    let excludes =
        metric.lower.is_some_and(|low| low > 0.0) || metric.upper.is_some_and(|high| high < 0.0);
    let zero = match (metric.lower, metric.upper) {
        (None, None) => "",
        _ if excludes => "; it excludes no difference",
        _ => "; it includes no difference",
    };
    format!("Interval {}{zero}.", metric.interval())
}

/// Where a value lies, −1 to 1 about zero.
fn place(value: f64, widest: f64) -> f64 {
    if widest > 0.0 { (value / (widest * (1.0 + ROOM))).clamp(-1.0, 1.0) } else { 0.0 }
}

fn px(value: f64) -> String {
    format!("{value:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(estimate: f64, lower: Option<f64>, upper: Option<f64>) -> MetricContrast {
        MetricContrast {
            name: "m".into(),
            unit: "1".into(),
            difference: Some(estimate),
            lower,
            upper,
            method: Some("ratio".into()),
            ..MetricContrast::default()
        }
    }

    fn drawn(metric: &MetricContrast) -> String {
        row("m<i>", ["A", "B&"], metric).into_string()
    }

    #[test]
    fn an_interval_is_drawn_about_zero_and_told() {
        let text = drawn(&metric(0.05, Some(-0.02), Some(0.12)));
        assert!(text.contains("<title>m&lt;i&gt;: B&amp; − A +5.00 pp</title>"), "{text}");
        assert!(text.contains("−2.00 to +12.0 pp; it includes no difference."), "{text}");
        // 80 + 80 · 0.05 / (0.12 · 1.12), and both ends inside the frame.
        assert!(text.contains("cx=\"109.8\"") && text.contains("x2=\"151.4\""), "{text}");
        let text = drawn(&metric(0.05, Some(0.02), Some(0.12)));
        assert!(text.contains("it excludes no difference"), "{text}");
    }

    #[test]
    fn open_ends_and_nothing_at_all_stay_in_the_frame() {
        let text = drawn(&metric(-0.05, None, Some(-0.01)));
        assert!(text.contains("M6 5L0 10L6 15") && text.contains("at most −1.00 pp"), "{text}");
        let text = drawn(&metric(0.0, None, None));
        assert!(text.contains("cx=\"80.0\"") && !text.contains("whisker"), "{text}");
        for value in [f64::NAN, f64::INFINITY] {
            assert!(!drawn(&metric(value, None, None)).contains("<svg"), "{value}");
        }
    }
}
