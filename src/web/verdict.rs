//! A verdict as a shape and a word: nothing rests on its colour alone.

use crate::model::human;
use crate::model::record::Verdict;
use maud::{Markup, html};

/// A verdict in a word and a shape; the sentence in its title.
pub fn mark(verdict: &Verdict) -> Markup {
    let word = if verdict.discovery { "discovery" } else { verdict.state.as_str() };
    html! {
        span class=(format!("verdict {}", class_of(&verdict.state))) title=(verdict.sentence) {
            (shape(&verdict.state)) " " (word)
        }
    }
}

/// The shape of a state or an action alone, for where the word stands beside it.
pub fn shape(state: &str) -> Markup {
    html! { span class=(format!("mark {}", class_of(state))) aria-hidden="true" { (human::sign(state)) } }
}

/// The class that colours a state.
pub fn class_of(state: &str) -> &'static str {
    match state {
        "better" | "healthy" | "ship" => "good",
        "breached" | "regressed" | "invalid" | "roll back" => "bad",
        _ => "open",
    }
}
