//! `GET /outbox`: what sinks got or will get, page by page; `POST /cuts`: records as of now.

use super::ApiState;
use super::problem::Problem;
use crate::model::delivery::{Body, Cut, Event, Item, ItemKey};
use crate::model::{Body as Entry, Position};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Items on a page when nothing else is asked for, and at most.
const PAGE_DEFAULT: usize = 16;
const PAGE_MAX: usize = 100;
/// How long a cut may take.
const CUT_MAX: Duration = Duration::from_secs(30);
/// The pause between two cuts.
const CUT_EVERY: Duration = Duration::from_secs(1);

/// Reads items of the outbox: after a key, so many.
pub type Items = Arc<dyn Fn(Option<ItemKey>, usize) -> Result<Vec<Item>, String> + Send + Sync>;

/// What the API knows of the outbox.
#[derive(Clone)]
pub struct Outgoing {
    /// Reads items.
    pub items: Items,
    /// The next position of the log to apply.
    pub applied: watch::Receiver<Position>,
    /// When the last cut was asked for.
    last_cut: Arc<Mutex<Option<Instant>>>,
}

impl Outgoing {
    /// With what it reads.
    pub fn new(items: Items, applied: watch::Receiver<Position>) -> Self {
        Outgoing { items, applied, last_cut: Arc::default() }
    }

    /// Each cut is kept, so they cannot be asked for without a pause.
    fn may_cut(&self) -> bool {
        let mut last = self.last_cut.lock().unwrap_or_else(PoisonError::into_inner);
        let may = last.is_none_or(|at| at.elapsed() >= CUT_EVERY);
        if may {
            *last = Some(Instant::now());
        }
        may
    }
}

/// `?after=&limit=`.
#[derive(Deserialize)]
pub struct OutboxQuery {
    after: Option<String>,
    limit: Option<usize>,
}

/// A page of items.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OutboxPage {
    /// In the order of the log.
    pub items: Vec<OutboxItem>,
    /// Give it as `after` for the next page; absent when there is nothing more yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A cut or an event.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OutboxItem {
    /// Log position of the entry that led to it.
    pub position: u64,
    /// Its number among the items of that entry.
    pub ordinal: u32,
    /// Run records with all figures of the position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
    /// A verdict or a configuration that changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Event>,
}

/// A cut that was made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CutMade {
    /// Its position.
    pub position: u64,
}

/// `GET /api/v1/outbox`.
pub async fn outbox(
    State(state): State<ApiState>,
    query: Result<Query<OutboxQuery>, QueryRejection>,
) -> Result<Json<OutboxPage>, Problem> {
    let wrong = "after is the `next` of another page, limit a number";
    let query = query.map_err(|_| Problem::bad_request(wrong))?.0;
    let after = query.after.as_deref().map(|text| key(text).ok_or(Problem::bad_request(wrong)));
    let after = after.transpose()?;
    let limit = query.limit.unwrap_or(PAGE_DEFAULT);
    if limit == 0 || limit > PAGE_MAX {
        return Err(Problem::bad_request(format!("limit is 1 to {PAGE_MAX}")));
    }
    let items = state.outgoing.items.clone();
    // Items are read from disk and unpacked.
    let read = tokio::task::spawn_blocking(move || items(after, limit)).await;
    let items = read.unwrap_or_else(|error| Err(error.to_string()));
    let items = items.map_err(|e| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, e))?;
    let full = items.len() == limit;
    let next = items.last().filter(|_| full).map(|item| text(item.key));
    Ok(Json(OutboxPage { items: items.into_iter().map(line).collect(), next }))
}

/// `POST /api/v1/cuts`.
pub async fn cut(State(state): State<ApiState>) -> Result<Json<CutMade>, Problem> {
    if !state.outgoing.may_cut() {
        let text = "records were cut less than a second ago";
        let busy = Problem::new(StatusCode::TOO_MANY_REQUESTS, text);
        return Err(Problem { retry_after: Some(1), ..busy });
    }
    let at = state.log.append(state.clock.now(), Entry::Cut).await?;
    let mut applied = state.outgoing.applied.clone();
    let done = applied.wait_for(|position| *position > at);
    match tokio::time::timeout(CUT_MAX, done).await {
        Ok(Ok(_)) => Ok(Json(CutMade { position: at + 1 })),
        _ => {
            let text = "the engine has not made the cut yet; it is in the log and will be made";
            let busy = Problem::new(StatusCode::SERVICE_UNAVAILABLE, text);
            Err(Problem { retry_after: Some(1), ..busy })
        }
    }
}

fn line(item: Item) -> OutboxItem {
    let ItemKey { position, ordinal } = item.key;
    let (cut, event) = match item.body {
        Body::Cut(cut) => (Some(*cut), None),
        Body::Event(event) => (None, Some(*event)),
    };
    OutboxItem { position, ordinal, cut, event }
}

fn text(key: ItemKey) -> String {
    format!("{}.{}", key.position, key.ordinal)
}

fn key(text: &str) -> Option<ItemKey> {
    let (position, ordinal) = text.split_once('.')?;
    Some(ItemKey { position: position.parse().ok()?, ordinal: ordinal.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back() {
        let at = ItemKey { position: 12, ordinal: 3 };
        assert_eq!(key(&text(at)), Some(at));
        assert_eq!(key("12"), None);
    }
}
