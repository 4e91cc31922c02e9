//! What a receiver's answer means, by the OTLP specification: which are worth another try, and
//! that a partial success is a loss which is not. Two exceptions, both because of the outbox,
//! which keeps everything until it is delivered: wrong credentials and a wrong URL refuse all
//! items and not this one, so they wait until that is repaired.

use crate::sink::Failure;
use crate::sink::http::Answer;
use prost::Message;
use std::error::Error;
use std::time::Duration;
use tonic::{Code, Status};

/// The longest pause that a receiver can ask for.
const AFTER_MAX: Duration = Duration::from_secs(600);
/// Characters of a receiver's message that are shown.
const SHOWN_MAX: usize = 300;

/// Why a request was not taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Not now.
    Later(String, Option<Duration>),
    /// Never, or not all of it.
    Refused(String),
    /// Nobody can tell: 500.
    Unclear(String),
}

/// `google.rpc.Status`, the body of errors.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<prost_types::Duration>,
}

/// What all `Export…ServiceResponse` are on the wire.
#[derive(Clone, PartialEq, Message)]
pub struct Response {
    /// Only when something is to be said.
    #[prost(message, optional, tag = "1")]
    pub partial: Option<Partial>,
}

/// What all `Export…PartialSuccess` are on the wire.
#[derive(Clone, PartialEq, Message)]
pub struct Partial {
    /// Log records or data points that were dropped for good.
    #[prost(int64, tag = "1")]
    pub rejected: i64,
    /// Why, or a warning when none was.
    #[prost(string, tag = "2")]
    pub message: String,
}

// === impl Fault ===

impl Fault {
    /// The failure that it is when it is not counted.
    pub fn into_failure(self) -> Failure {
        match self {
            Fault::Later(what, after) => Failure::Later { what, after },
            Fault::Refused(what) => Failure::Refused { what },
            Fault::Unclear(what) => Failure::later(what),
        }
    }
}

/// What an answer over HTTP means; `what` names the request.
pub fn http(answer: &Answer, what: &str) -> Result<(), Fault> {
    let status = answer.status.as_u16();
    if (200..300).contains(&status) {
        let Ok(response) = Response::decode(answer.body.as_slice()) else {
            let text = format!("{what}: the answer is no OTLP; check the sink's endpoint");
            return Err(Fault::Later(text, None));
        };
        return partial(response.partial, what);
    }
    let text = format!("{what}: {} {}", answer.status, message(answer));
    let text = text.trim_end().to_owned();
    Err(match status {
        429 | 502 | 503 | 504 => Fault::Later(text, answer.after),
        401 | 403 => Fault::Later(format!("{text}; check the sink's headers"), None),
        404 => Fault::Later(format!("{text}; {ELSEWHERE}"), None),
        300..=399 => Fault::Later(format!("{text}; the endpoint points elsewhere"), None),
        500 => Fault::Unclear(text),
        _ => Fault::Refused(text),
    })
}

const ELSEWHERE: &str =
    "check the sink's endpoint, or name in signals what the receiver takes: logs or metrics";

/// The message in the body of an error: protobuf as OTLP has it, else its text.
fn message(answer: &Answer) -> String {
    let status = RpcStatus::decode(answer.body.as_slice()).ok();
    let said = status.map(|status| status.message).filter(|text| !text.is_empty());
    said.map_or_else(|| answer.shown(), |text| text.chars().take(SHOWN_MAX).collect())
}

/// What was taken in part is never sent again.
pub fn partial(partial: Option<Partial>, what: &str) -> Result<(), Fault> {
    let Some(partial) = partial else { return Ok(()) };
    let said: String = partial.message.chars().take(SHOWN_MAX).collect();
    if partial.rejected > 0 {
        let count = partial.rejected;
        return Err(Fault::Refused(format!("{what}: the receiver dropped {count}: {said}")));
    }
    if !said.is_empty() {
        tracing::warn!(%what, %said, "the receiver warns");
    }
    Ok(())
}

/// What a status over gRPC means.
pub fn grpc(status: &Status, what: &str) -> Fault {
    let said: String = status.message().chars().take(SHOWN_MAX).collect();
    let text = format!("{what}: {:?}: {said}", status.code());
    let after = retry_after(status);
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => Fault::Later(text, after),
        Code::ResourceExhausted if after.is_some() => Fault::Later(text, after),
        Code::Unauthenticated | Code::PermissionDenied => {
            Fault::Later(format!("{text}; check the sink's headers"), None)
        }
        Code::Unimplemented => Fault::Later(format!("{text}; {ELSEWHERE}"), None),
        // It has a cause on this side: the connection broke, and no receiver said anything.
        _ if status.source().is_some() => Fault::Later(text, None),
        _ => Fault::Refused(text),
    }
}

fn retry_after(status: &Status) -> Option<Duration> {
    let details = RpcStatus::decode(status.details()).ok()?.details;
    let info = details.iter().find(|any| any.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(info.value.as_slice()).ok()?.retry_delay?;
    Some(Duration::try_from(delay).unwrap_or_default().min(AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: Vec<u8>) -> Answer {
        let status = reqwest::StatusCode::from_u16(status).expect("status");
        Answer { status, body, after: Some(Duration::from_secs(3)) }
    }

    #[test]
    fn only_what_otlp_says_is_tried_again() {
        let of = |status| http(&answer(status, Vec::new()), "x").expect_err("a fault");
        for status in [429, 502, 503, 504] {
            let Fault::Later(_, after) = of(status) else { panic!("{status}") };
            assert_eq!(after, Some(Duration::from_secs(3)), "{status}");
        }
        for status in [301, 401, 403, 404] {
            assert!(matches!(of(status), Fault::Later(..)), "{status}");
        }
        for status in [400, 408, 413, 415, 422, 501, 505] {
            assert!(matches!(of(status), Fault::Refused(_)), "{status}");
        }
        assert!(matches!(of(500), Fault::Unclear(_)));
    }

    #[test]
    fn a_partial_success_is_a_loss_and_a_warning_is_none() {
        let body = |rejected, message: &str| {
            let partial = Partial { rejected, message: message.into() };
            Response { partial: Some(partial) }.encode_to_vec()
        };
        let lost = http(&answer(200, body(2, "too old")), "POST /x").expect_err("a loss");
        assert_eq!(lost, Fault::Refused("POST /x: the receiver dropped 2: too old".into()));
        assert_eq!(http(&answer(200, body(0, "deprecated")), "x"), Ok(()));
        assert_eq!(http(&answer(200, Vec::new()), "x"), Ok(()));
        let page = http(&answer(200, b"<html>".to_vec()), "x");
        assert!(matches!(page, Err(Fault::Later(..))));
    }

    #[test]
    fn the_message_of_an_error_is_shown() {
        let status = RpcStatus { message: "too large".into(), details: Vec::new() };
        let told = http(&answer(413, status.encode_to_vec()), "x");
        assert_eq!(told, Err(Fault::Refused("x: 413 Payload Too Large too large".into())));
        let told = http(&answer(400, b"bad\nsample".to_vec()), "x");
        assert_eq!(told, Err(Fault::Refused("x: 400 Bad Request bad sample".into())));
    }

    #[test]
    fn exhausted_is_later_only_with_a_pause() {
        let bare = Status::new(Code::ResourceExhausted, "full");
        assert!(matches!(grpc(&bare, "x"), Fault::Refused(_)));
        let delay = prost_types::Duration { seconds: 2, nanos: 0 };
        let info = prost_types::Any {
            type_url: "type.googleapis.com/google.rpc.RetryInfo".into(),
            value: RetryInfo { retry_delay: Some(delay) }.encode_to_vec(),
        };
        let details = RpcStatus { message: String::new(), details: vec![info] }.encode_to_vec();
        let told = Status::with_details(Code::ResourceExhausted, "full", details.into());
        let Fault::Later(_, after) = grpc(&told, "x") else { panic!("refused") };
        assert_eq!(after, Some(Duration::from_secs(2)));
        for code in [Code::Unavailable, Code::OutOfRange, Code::DataLoss, Code::Unauthenticated] {
            assert!(matches!(grpc(&Status::new(code, ""), "x"), Fault::Later(..)), "{code:?}");
        }
        for code in [Code::Unknown, Code::Internal, Code::InvalidArgument, Code::NotFound] {
            assert!(matches!(grpc(&Status::new(code, ""), "x"), Fault::Refused(_)), "{code:?}");
        }
    }
}
