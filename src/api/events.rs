//! Server-sent events: `change` when something changed inside an arm, `verdict` when a verdict
//! did. A connection hears what is new since it was opened.

use super::ApiState;
use crate::model::record::Verdict;
use crate::model::view::View;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

/// How often a connection looks whether the view moved on.
pub const POLL: Duration = Duration::from_millis(500);

/// What one connection has seen and what it still has to say.
struct Listener {
    state: ApiState,
    position: u64,
    seen: BTreeMap<String, Fact>,
    waiting: VecDeque<Value>,
}

/// Something worth an event.
struct Fact {
    /// Equal as long as nothing worth an event changed: figures move with every view.
    what: Value,
    /// What is said.
    event: Value,
}

/// `GET /api/v1/events`.
pub async fn events(
    State(state): State<ApiState>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let view = state.view.load_full();
    let seen = facts(&view);
    let position = view.position;
    let listener = Listener { state, position, seen, waiting: VecDeque::new() };
    Sse::new(stream::unfold(listener, next)).keep_alive(KeepAlive::default())
}

async fn next(mut listener: Listener) -> Option<(Result<Event, Infallible>, Listener)> {
    loop {
        if let Some(fact) = listener.waiting.pop_front() {
            let name = fact["event"].as_str().unwrap_or("change").to_owned();
            return Some((Ok(Event::default().event(name).data(fact.to_string())), listener));
        }
        tokio::time::sleep(POLL).await;
        let view = listener.state.view.load_full();
        if view.position != listener.position {
            listener.position = view.position;
            let now = facts(&view);
            let known = |key: &String, fact: &Fact| {
                listener.seen.get(key).is_some_and(|seen| seen.what == fact.what)
            };
            let new = now.iter().filter(|(key, fact)| !known(key, fact));
            listener.waiting.extend(new.map(|pair| pair.1.event.clone()));
            listener.seen = now;
        }
    }
}

/// Everything worth an event, by a key that stays.
fn facts(view: &View) -> BTreeMap<String, Fact> {
    let mut out = BTreeMap::new();
    for experiment in &view.experiments {
        for site in &experiment.sites {
            let place = (&experiment.name, &site.site);
            for change in &site.changes {
                let key = format!("{place:?} {} {} {}", change.at, change.arm, change.field);
                let (name, at) = place;
                let event =
                    json!({"event": "change", "experiment": name, "site": at, "change": change});
                out.insert(key, Fact { what: event.clone(), event });
            }
            for (arm, line) in
                site.arms.iter().flat_map(|arm| arm.metrics.iter().map(move |l| (arm, l)))
            {
                let told = |verdict: &&Verdict| verdict.decides || verdict.discovery;
                let Some(verdict) = line.verdict.as_ref().filter(told) else { continue };
                let key = format!("{place:?} {} {} {:?}", arm.arm, line.name, line.grader);
                let event = json!({
                    "event": "verdict", "experiment": place.0, "site": place.1, "arm": arm.arm,
                    "metric": line.name, "verdict": verdict,
                });
                let what = json!([verdict.state, verdict.discovery, verdict.breach.is_some()]);
                out.insert(key, Fact { what, event });
            }
        }
    }
    out
}
