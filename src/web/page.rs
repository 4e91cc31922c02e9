//! The frame of every page, and small parts that several use.

use super::asset::ASSETS;
use crate::model::record::{Change, Link};
use maud::{DOCTYPE, Markup, html};

/// Where the navigation leads; a page is the current one when it has the name as its title.
const PLACES: [(&str, &str); 5] = [
    ("Experiments", "/experiments"),
    ("Runs", "/runs"),
    ("Sinks", "/sinks"),
    ("Pipeline", "/pipeline"),
    ("Config", "/config"),
];

/// What the libraries may not do: run text as code, write styles, keep pages.
const HTMX: &str = r#"{"includeIndicatorStyles":false,"allowEval":false,"allowScriptTags":false,"selfRequestsOnly":true,"historyCacheSize":0,"refreshOnHistoryMiss":true,"scrollIntoViewOnBoost":false}"#;

/// Keys and what they do.
const KEYS: [(&str, &str); 8] = [
    ("?", "this help"),
    ("j k", "next, previous arm"),
    ("Enter", "show or hide all metrics of the arm"),
    ("w", "next window: epoch, 24 h, all"),
    ("m", "next metric"),
    ("t", "light, dark, as the system"),
    ("e r s p c", "experiments, runs, sinks, pipeline, config"),
    ("Esc", "close"),
];

/// The version of armspan.
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// A whole page. `live` ones change while one looks at them.
pub fn frame(title: &str, live: bool, body: Markup) -> Markup {
    let assets = &*ASSETS;
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="htmx-config" content=(HTMX);
                title { (title) " · armspan" }
                script src=(assets.theme.path) {}
                link rel="stylesheet" href=(assets.style.path);
                link rel="icon" href=(assets.icon.path);
                script src=(assets.script.path) data-chart-script=(assets.chart.path) defer {}
            }
            body {
                a.skip href="#main" { "Skip to content" }
                (top(title, live))
                (main(live, body))
                footer { p { "armspan " (version()) " · " a href="/api/openapi.json" { "API" } " · "
                    a href="/metrics" { "metrics" } } }
                (help())
            }
        }
    }
}

fn top(title: &str, live: bool) -> Markup {
    html! {
        header {
            a.brand href="/" { "armspan" }
            nav aria-label="Pages" { @for (name, href) in PLACES {
                @let current = (name == title).then_some("page");
                a href=(href) aria-current=[current] { (name) }
            } }
            div.tools {
                @if live { span.live #live role="status" data-live="" { "live" } }
                button.scripted #theme type="button" aria-label="Colours: as the system" { "◐" }
                button.scripted #keys type="button" aria-label="Keys" { "?" }
            }
        }
    }
}

/// The part that changes: it asks for the page again when told that there is something new.
fn main(live: bool, body: Markup) -> Markup {
    html! {
        @if live {
            main #main tabindex="-1" hx-ext="morph" hx-get="" hx-trigger="armspan:view from:body"
                hx-select="#main" hx-swap="morph:outerHTML show:none" { (body) }
        } @else {
            main #main tabindex="-1" { (body) }
        }
    }
}

fn help() -> Markup {
    html! {
        dialog #help aria-labelledby="help-title" {
            h2 #help-title { "Keys" }
            dl { @for (key, does) in KEYS { dt { @for one in key.split(' ') { kbd { (one) } " " } } dd { (does) } } }
            form method="dialog" { button { "Close" } }
        }
    }
}

/// One large number with a label.
pub fn figure(label: &str, value: &str) -> Markup {
    html! { div.figure { div.value { (value) } div.label { (label) } } }
}

/// A letter from A to D.
pub fn grade(evidence: &str) -> Markup {
    let known = matches!(evidence, "A" | "B" | "C" | "D");
    let class = if known { format!("grade {}", evidence.to_lowercase()) } else { "grade".into() };
    html! { span class=(class) title="evidence: the share of calls that carry what identifies a run" { (evidence) } }
}

/// A JSON value as people read it: texts bare.
pub fn value(json: &serde_json::Value) -> String {
    json.as_str().map_or_else(|| json.to_string(), str::to_owned)
}

/// A long hash, shortened; the whole of it in the title.
pub fn short(text: &str) -> Markup {
    const SHOWN: usize = 40;
    if text.chars().count() <= SHOWN {
        return html! { (text) };
    }
    let start: String = text.chars().take(SHOWN - 1).collect();
    html! { span title=(text) { (start) "…" } }
}

/// What something was and is, shortened.
pub fn from_to(change: &Change) -> Markup {
    html! {
        span {
            @if let Some(from) = &change.from { (short(&value(from))) " " }
            "→ "
            @if let Some(to) = &change.to { (short(&value(to))) } @else { "absent" }
        }
    }
}

/// A trace as a link when the config says where traces are, with its whole id in the title when
/// it is shown shortened. Only web addresses are ever followed.
pub fn trace(link: &Link, shown: &str) -> Markup {
    let web = |href: &&String| href.starts_with("https://") || href.starts_with("http://");
    let whole = (shown != link.trace_id).then_some(&link.trace_id);
    html! {
        @match link.href.as_ref().filter(web) {
            Some(href) => a href=(href) rel="noreferrer" title=[whole] { code { (shown) } },
            None => code title=[whole] { (shown) },
        }
    }
}
