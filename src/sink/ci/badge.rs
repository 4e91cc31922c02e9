//! An SVG badge: what the experiment's arms come to, readable without colour.

use crate::model::delivery::Cut;
use crate::model::human;
use crate::model::view::{ArmView, ExperimentView};
use crate::sink::xml::escaped;

/// Width of a character of the font, in tenths of a pixel; text is stretched to it, so the badge
/// looks the same with every font.
const CHARACTER: usize = 68;
/// Characters of one half.
const HALF_MAX: usize = 40;
/// Around a text, pixels.
const MARGIN: usize = 6;

/// The badge of a cut: of the experiment with most calls.
pub fn svg(cut: &Cut, href: Option<&str>) -> String {
    let Some(experiment) = cut.experiments.iter().max_by_key(|e| e.calls) else {
        return draw("evals", "no experiment", "#57606a", "", href);
    };
    let (text, colour) = outcome(experiment);
    let runs: Vec<&str> =
        arms(experiment).filter_map(|arm| arm.runs.first()).map(|id| human::run(id)).collect();
    let title = format!("{}: {text}; runs {}", experiment.name, runs.join(", "));
    draw(&experiment.name, &text, colour, &title, href)
}

/// Arms of the sites that decide, else of the busiest one.
fn arms(experiment: &ExperimentView) -> impl Iterator<Item = &ArmView> {
    let decides = experiment.sites.iter().any(|site| site.decides);
    let wanted = move |(at, site): &(usize, &crate::model::view::SiteView)| match decides {
        true => site.decides,
        false => *at == 0,
    };
    experiment.sites.iter().enumerate().filter(wanted).flat_map(|(_, site)| &site.arms)
}

fn outcome(experiment: &ExperimentView) -> (String, &'static str) {
    if experiment.sample_ratio.as_ref().is_some_and(|ratio| ratio.state == "mismatch") {
        return ("sample ratio mismatch".to_owned(), "#9a6700");
    }
    let decided: Vec<(&str, &str)> = arms(experiment)
        .filter_map(|arm| Some((arm.arm.as_str(), arm.decision.as_ref()?.action.as_str())))
        .collect();
    let colour = if decided.iter().any(|pair| pair.1 == "roll back") {
        "#cf222e"
    } else if decided.iter().any(|pair| pair.1 == "ship") {
        "#1a7f37"
    } else {
        "#57606a"
    };
    let parts: Vec<String> =
        decided.iter().map(|(arm, action)| format!("{arm}: {action}")).collect();
    match parts.is_empty() {
        true => ("nothing decided".to_owned(), colour),
        false => (parts.join(" · "), colour),
    }
}

fn draw(left: &str, right: &str, colour: &str, title: &str, href: Option<&str>) -> String {
    let (left, right) = (cut(left), cut(right));
    let width = |text: &str| text.chars().count() * CHARACTER / 10 + 2 * MARGIN;
    let (a, b) = (width(&left), width(&right));
    let total = a + b;
    let text = |x: usize, text: &str, width: usize| {
        let (middle, length) = (x + width / 2, width - 2 * MARGIN);
        format!(
            "<text x=\"{middle}\" y=\"14\" textLength=\"{length}\" \
             lengthAdjust=\"spacingAndGlyphs\">{}</text>",
            escaped(text)
        )
    };
    let (first, second) = (text(0, &left, a), text(a, &right, b));
    let label = escaped(&format!("{left}: {right}"));
    let title = if title.is_empty() { label.clone() } else { escaped(title) };
    let inner = format!(
        "<clipPath id=\"r\"><rect width=\"{total}\" height=\"20\" rx=\"3\"/></clipPath>\
         <g clip-path=\"url(#r)\"><rect width=\"{a}\" height=\"20\" fill=\"#24292f\"/>\
         <rect x=\"{a}\" width=\"{b}\" height=\"20\" fill=\"{colour}\"/></g>\
         <g fill=\"#fff\" text-anchor=\"middle\" \
         font-family=\"Verdana,DejaVu Sans,sans-serif\" font-size=\"11\">{first}{second}</g>"
    );
    let linked = match href {
        Some(url) => format!("<a href=\"{}\">{inner}</a>", escaped(url)),
        None => inner,
    };
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{total}\" height=\"20\" role=\"img\" \
         aria-label=\"{label}\"><title>{title}</title>{linked}</svg>\n"
    )
}

fn cut(text: &str) -> String {
    let mut out: String = text.chars().take(HALF_MAX).collect();
    if text.chars().nth(HALF_MAX).is_some() {
        out.push('…');
    }
    out
}
