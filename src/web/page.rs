//! The frame of every page, and small parts that several use.

use maud::{DOCTYPE, Markup, html};

/// Seconds after which a page that shows live numbers loads itself again.
const REFRESH_SECONDS: &str = "5";

/// A whole page. `live` ones load themselves again.
pub fn frame(title: &str, live: bool, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                @if live { meta http-equiv="refresh" content=(REFRESH_SECONDS); }
                title { (title) " · armspan" }
                link rel="stylesheet" href="/style.css";
                link rel="icon" href="data:,";
            }
            body {
                header {
                    a.brand href="/" { "armspan" }
                    nav { a href="/" { "Experiments" } a href="/status" { "Status" } a href="/api/openapi.json" { "API" } }
                }
                main { (body) }
            }
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
