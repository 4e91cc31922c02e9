//! Messages as Slack's incoming webhooks take them (and Mattermost, Rocket.Chat, Discord's
//! `/slack`): a text for notifications, and blocks for reading.

use super::state;
use crate::model::delivery::Event;
use crate::model::human;
use serde_json::{Value as Json, json};

/// Characters of one text; Slack takes 3,000.
const TEXT_MAX: usize = 2_900;

/// The message of an event.
pub fn message(event: &Event, dashboard: Option<&str>) -> Json {
    let text = bounded(&headline(event));
    let mut detail =
        vec![format!("*{}* · site {}", escaped(&event.experiment), escaped(&event.site))];
    if let Some(decision) = &event.decision {
        detail.push(format!("decision for {}: *{}*", arm(event), escaped(&decision.action)));
    }
    detail.push(human::minute(&event.at));
    if let Some(dashboard) = dashboard {
        detail.push(format!("<{dashboard}/|open>"));
    }
    let context = bounded(&detail.join(" · "));
    json!({
        "text": text,
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": text}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": context}]},
        ],
    })
}

/// What happened, in one sentence.
fn headline(event: &Event) -> String {
    if let Some(change) = &event.change {
        let value = |json: &Option<Json>| match json {
            Some(Json::String(text)) => escaped(text),
            Some(other) => escaped(&other.to_string()),
            None => "nothing".to_owned(),
        };
        let (from, to) = (value(&change.from), value(&change.to));
        let place = event.arm.as_ref().map(|_| format!(" in {}", arm(event))).unwrap_or_default();
        return format!("{} changed{place}: {from} → {to}", escaped(&change.field));
    }
    let verdict = event.metric.as_ref().and_then(|line| line.verdict.as_ref());
    let sentence = verdict.map(|verdict| escaped(&verdict.sentence)).unwrap_or_default();
    let now = state(event).unwrap_or("unknown");
    let before = event.was.as_deref().map(|was| format!(" (was {was})")).unwrap_or_default();
    format!("{} *{now}*{before}: {sentence}", sign(now))
}

/// A sign that is seen from afar.
fn sign(state: &str) -> &'static str {
    match state {
        "breached" | "regressed" => ":red_circle:",
        "better" | "healthy" => ":large_green_circle:",
        "invalid" => ":warning:",
        _ => ":white_circle:",
    }
}

fn arm(event: &Event) -> String {
    escaped(event.arm.as_deref().unwrap_or("all arms"))
}

/// Slack's three characters of markup; names are strangers' text.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn bounded(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}
