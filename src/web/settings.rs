//! `/config`: the settings in force, with every default and without secrets.

use super::WebState;
use super::page::frame;
use axum::extract::State;
use maud::{Markup, html};

/// The page.
pub async fn show(State(state): State<WebState>) -> Markup {
    let (view, text) = (state.view.load(), (state.effective)());
    frame(
        "Config",
        false,
        html! { section {
            h1 { "Config" }
            p.lead { "What is in force, defaults and all; secrets are hidden." }
            p.note { "Hash of what the figures depend on: " code { (view.config) }
                ". The same text: " code { "armspan check --print-effective" } "." }
            pre tabindex="0" role="region" aria-label="The config in force" { code { (text) } }
        } },
    )
}
