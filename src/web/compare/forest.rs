//! The difference of a metric between two runs as one row of a forest plot: each on an axis of its
//! own, as metrics have units of their own. It says in words what it draws.

use crate::compare::MetricContrast;
use crate::web::forest::{Axis, Drawn, draw};
use maud::{Markup, html};

/// The drawing; nothing when there is no difference to draw.
pub(super) fn row(name: &str, [a, b]: [&str; 2], metric: &MetricContrast) -> Markup {
    let Some(estimate) = metric.difference.filter(|value| value.is_finite()) else {
        return html! { span.dim { "–" } };
    };
    let known = metric.lower.is_some() || metric.upper.is_some();
    let ends = [Some(estimate), metric.lower, metric.upper];
    let far = ends.into_iter().flatten().fold(0.0_f64, |most, end| most.max(end.abs()));
    // Without an interval there is a point, and no arrows that would say it is open.
    let point = (Some(estimate), Some(estimate));
    let drawn = Drawn {
        title: format!("{name}: {b} − {a} {}", metric.signed(Some(estimate))),
        says: says(metric),
        estimate,
        bounds: if known { (metric.lower, metric.upper) } else { point },
        margin: None,
        state: "inconclusive",
    };
    draw(&Axis::about_zero(far), &drawn)
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
        assert!(!text.contains("arrow"), "{text}");
        let text = drawn(&metric(0.05, Some(0.02), Some(0.12)));
        assert!(text.contains("it excludes no difference"), "{text}");
    }

    #[test]
    fn open_ends_have_an_arrow_and_nothing_at_all_is_not_drawn() {
        let text = drawn(&metric(-0.05, None, Some(-0.01)));
        assert!(text.matches("arrow").count() == 1 && text.contains("at most −1.00 pp"), "{text}");
        let text = drawn(&metric(0.0, None, None));
        assert!(text.contains("cx=\"120.0\"") && !text.contains("arrow"), "{text}");
        for value in [f64::NAN, f64::INFINITY] {
            assert!(!drawn(&metric(value, None, None)).contains("<svg"), "{value}");
        }
    }
}
