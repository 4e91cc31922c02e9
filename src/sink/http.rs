//! What all sinks over HTTP share: one client, bounded answers, and which answers are worth
//! another try.

use super::Failure;
use crate::model::Secret;
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, RequestBuilder, StatusCode};
use std::time::Duration;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a request may take, its answer included.
const REQUEST: Duration = Duration::from_secs(60);
/// Bytes of an answer that are read at most.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Bytes of an error's text that are shown.
const SHOWN_MAX: usize = 300;
/// The longest pause that a tool can ask for.
const AFTER_MAX: Duration = Duration::from_secs(600);

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Vec<u8>,
    /// The pause it asks for.
    pub after: Option<Duration>,
}

/// How a request names its sender.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// User and password.
    Basic(String, Secret),
    /// A bearer token.
    Bearer(Secret),
}

/// The client for a sink: no redirects, because they would carry credentials elsewhere.
pub fn client() -> Result<Client, Failure> {
    Client::builder()
        .connect_timeout(CONNECT)
        .timeout(REQUEST)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("armspan/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| Failure::refused(format!("no HTTP client: {error}")))
}

/// Sends a request and reads its answer; `what` names both in errors.
pub async fn send(request: RequestBuilder, auth: &Auth, what: &str) -> Result<Answer, Failure> {
    let request = match auth {
        Auth::None => request,
        Auth::Basic(user, password) => request.basic_auth(user, password.reveal()),
        Auth::Bearer(token) => request.bearer_auth(token.reveal().unwrap_or_default()),
    };
    let failed = |error: reqwest::Error| Failure::later(format!("{what}: {}", cause(&error)));
    let mut answer = request.send().await.map_err(failed)?;
    let (status, after) = (answer.status(), retry_after(&answer));
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(failed)? {
        if body.len() + part.len() > ANSWER_BYTES_MAX {
            return Err(Failure::later(format!("{what}: the answer is larger than 16 MiB")));
        }
        body.extend_from_slice(&part);
    }
    Ok(Answer { status, body, after })
}

/// The innermost cause: "Connection refused" is what people need, not where it was met.
pub fn cause(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(next) = inner.source() {
        inner = next;
    }
    inner.to_string()
}

/// Seconds, or a date, of `Retry-After`.
fn retry_after(answer: &reqwest::Response) -> Option<Duration> {
    let text = answer.headers().get(RETRY_AFTER)?.to_str().ok()?;
    let seconds = text.trim().parse::<u64>().ok()?;
    Some(Duration::from_secs(seconds).min(AFTER_MAX))
}

impl Answer {
    /// Itself when the status is 2xx, else the failure that it is.
    pub fn ok(self, what: &str) -> Result<Answer, Failure> {
        if self.status.is_success() { Ok(self) } else { Err(self.failure(what)) }
    }

    /// The failure that it is. Refusals of everything (credentials, a wrong URL) are tried again,
    /// refusals of this item are not.
    pub fn failure(&self, what: &str) -> Failure {
        let text = format!("{what}: {} {}", self.status, self.shown());
        let text = text.trim_end().to_owned();
        match self.status.as_u16() {
            400 | 405 | 409 | 410 | 413 | 414 | 415 | 422 | 431 => Failure::refused(text),
            401 | 403 => Failure::later(format!("{text}; check the sink's credentials")),
            404 => Failure::later(format!("{text}; check the sink's URL")),
            300..400 => {
                Failure::later(format!("{text}; the URL points elsewhere: name its target"))
            }
            _ => Failure::Later { what: text, after: self.after },
        }
    }

    /// The beginning of the body on one line.
    pub fn shown(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let shown: String = line.chars().take(SHOWN_MAX).collect();
        if shown.len() < line.len() { shown + "…" } else { shown }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16) -> Answer {
        let status = StatusCode::from_u16(status).expect("status");
        Answer { status, body: b"no\n  such".to_vec(), after: Some(Duration::from_secs(7)) }
    }

    #[test]
    fn what_a_tool_refuses_for_ever_is_not_tried_again() {
        for status in [400, 409, 413, 422] {
            assert!(matches!(answer(status).failure("x"), Failure::Refused { .. }), "{status}");
        }
        for status in [301, 401, 403, 404, 408, 429, 500, 502, 503] {
            assert!(matches!(answer(status).failure("x"), Failure::Later { .. }), "{status}");
        }
    }

    #[test]
    fn a_pause_that_was_asked_for_is_kept() {
        let Failure::Later { what, after } = answer(429).failure("POST /x") else { panic!() };
        assert_eq!(after, Some(Duration::from_secs(7)));
        assert_eq!(what, "POST /x: 429 Too Many Requests no such");
    }
}
