//! A verdict as a shape and a word: nothing rests on its colour alone.

use crate::model::record::Verdict;
use maud::{Markup, html};

/// A verdict in a word and a shape; the sentence in its title.
pub fn mark(verdict: &Verdict) -> Markup {
    let word = if verdict.discovery { "discovery" } else { verdict.state.as_str() };
    html! {
        span class=(format!("verdict {}", class_of(&verdict.state))) title=(verdict.sentence) {
            span aria-hidden="true" { (sign(&verdict.state)) } " " (word)
        }
    }
}

/// The shape of a state, for those who do not see the colour.
pub fn sign(state: &str) -> &'static str {
    match state {
        "better" | "healthy" => "▲",
        "breached" | "regressed" => "▼",
        "invalid" => "✕",
        "insufficient" => "…",
        _ => "=",
    }
}

/// The class that colours a state.
pub fn class_of(state: &str) -> &'static str {
    match state {
        "better" | "healthy" => "good",
        "breached" | "regressed" | "invalid" => "bad",
        _ => "open",
    }
}
