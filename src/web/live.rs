//! `/live`: tells open pages that there is something new to see. The page then asks for itself
//! again and changes what differs, so that nothing but the position is sent here.

use super::WebState;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use std::convert::Infallible;
use std::time::Duration;

/// How often a connection looks whether the view moved on.
const POLL: Duration = Duration::from_millis(500);

/// Each new position of the published view, the present one first.
pub async fn live(
    State(state): State<WebState>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let stream = stream::unfold((state, None), |(state, seen)| async move {
        loop {
            let position = state.view.load().position;
            if seen != Some(position) {
                let event = Event::default().event("view").data(position.to_string());
                return Some((Ok(event), (state, Some(position))));
            }
            tokio::time::sleep(POLL).await;
        }
    });
    Sse::new(stream).keep_alive(KeepAlive::default())
}
