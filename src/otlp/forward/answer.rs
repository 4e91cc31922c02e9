//! What downstream's answer means for the client: as OTLP has it, so that it is told what it
//! would be told there, with two exceptions. Wrong credentials are a fault of our config and not
//! of the request, so they are answered retryably. And what must not be repeated never gets a
//! code that some clients repeat.

use crate::otlp::Signal;
use crate::otlp::answer::Partial;
use crate::otlp::body::PREFIX;
use crate::otlp::denied::Denied;
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use prost::Message;
use tonic::{Code, Status};

/// Characters of downstream's message that are shown.
const SHOWN_MAX: usize = 300;
const CREDENTIALS: &str = "; armspan's forward.headers must be put right";

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// What all `Export…ServiceResponse` are on the wire.
#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(message, optional, tag = "1")]
    partial: Option<WirePartial>,
}

/// What all `Export…PartialSuccess` are on the wire.
#[derive(Clone, PartialEq, Message)]
struct WirePartial {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    message: String,
}

/// Of an answer over HTTP.
pub fn http(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    signal: Signal,
) -> Result<Partial, Denied> {
    let media = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let json = media.is_some_and(|media| media.starts_with("application/json"));
    if status.is_success() {
        return Ok(if json { partial_json(body) } else { partial(body) });
    }
    let protobuf = media.is_some_and(|media| media.contains("protobuf"));
    let message = shown(&match (json, protobuf) {
        (true, _) => json_message(body).unwrap_or_default(),
        (_, true) => RpcStatus::decode(body).unwrap_or_default().message,
        _ => String::from_utf8_lossy(body).into_owned(),
    });
    let what = format!("{status} {message}").trim_end().to_owned();
    Err(match status.as_u16() {
        408 | 429 | 502..=504 => Denied::Downstream(what),
        401 | 403 | 407 => Denied::Downstream(format!("{what}{CREDENTIALS}")),
        300..=399 => Denied::Downstream(format!("{what}; armspan's forward.endpoint has moved")),
        404 | 405 | 501 => refused(Code::Unimplemented, status, what + &leave_out(signal)),
        500.. => refused(Code::Internal, status, what),
        _ => refused(Code::InvalidArgument, status, what),
    })
}

/// Of an answer over gRPC.
pub fn grpc(
    http: StatusCode,
    headers: &HeaderMap,
    trailers: &HeaderMap,
    body: &[u8],
    signal: Signal,
) -> Result<Partial, Denied> {
    let status = Status::from_header_map(headers).or_else(|| Status::from_header_map(trailers));
    match status {
        Some(status) if status.code() == Code::Ok => {
            // Nobody was asked to compress; what cannot be read says nothing more than "taken".
            let message = body.get(PREFIX..).filter(|_| body[0] == 0);
            Ok(partial(message.unwrap_or_default()))
        }
        Some(status) => Err(by_code(&status, signal)),
        None if http.is_success() => Err(Denied::Downstream("its answer was cut short".into())),
        // A proxy, or no gRPC at all.
        None => self::http(http, headers, b"", signal),
    }
}

fn by_code(status: &Status, signal: Signal) -> Denied {
    let (code, message) = (status.code(), shown(status.message()));
    let what = format!("{code:?}: {message}");
    match code {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => Denied::Downstream(what),
        Code::Unauthenticated | Code::PermissionDenied => {
            Denied::Downstream(format!("{what}{CREDENTIALS}"))
        }
        Code::ResourceExhausted if retry_info(status) => Denied::Downstream(what),
        // Without RetryInfo it is a message that is too large, which some clients repeat.
        Code::ResourceExhausted => {
            refused(Code::InvalidArgument, StatusCode::PAYLOAD_TOO_LARGE, what)
        }
        Code::Unimplemented | Code::NotFound => {
            refused(Code::Unimplemented, StatusCode::NOT_FOUND, what + &leave_out(signal))
        }
        Code::Internal | Code::Unknown => refused(code, StatusCode::INTERNAL_SERVER_ERROR, what),
        _ => refused(code, StatusCode::BAD_REQUEST, what),
    }
}

fn refused(code: Code, status: StatusCode, message: String) -> Denied {
    Denied::Passed { code, status, message }
}

fn leave_out(signal: Signal) -> String {
    let name = signal.name();
    format!("; if it takes no {name}, leave them out of armspan's forward.signals")
}

fn retry_info(status: &Status) -> bool {
    let own = status.metadata().get_bin("google.rpc.retryinfo-bin").is_some();
    let details = RpcStatus::decode(status.details()).unwrap_or_default().details;
    own || details.iter().any(|any| any.type_url.ends_with("/google.rpc.RetryInfo"))
}

/// What cannot be read says nothing more than that the request was taken.
fn partial(body: &[u8]) -> Partial {
    let found = Response::decode(body).ok().and_then(|response| response.partial);
    let found = found.unwrap_or_default();
    Partial { rejected: u64::try_from(found.rejected).unwrap_or(0), message: shown(&found.message) }
}

fn partial_json(body: &[u8]) -> Partial {
    let answer: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let found = &answer["partialSuccess"];
    let count = |name: &str| match &found[name] {
        serde_json::Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    };
    let names = ["rejectedSpans", "rejectedLogRecords", "rejectedDataPoints"];
    let rejected = names.into_iter().find_map(count).unwrap_or(0);
    Partial { rejected, message: shown(found["errorMessage"].as_str().unwrap_or_default()) }
}

fn json_message(body: &[u8]) -> Option<String> {
    let status: serde_json::Value = serde_json::from_slice(body).ok()?;
    status["message"].as_str().map(str::to_owned)
}

/// The beginning, on one line.
fn shown(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(SHOWN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_http(status: u16) -> Denied {
        let status = StatusCode::from_u16(status).expect("status");
        let body = br#"{"code": 3, "message": "no\n such"}"#;
        let headers =
            HeaderMap::from_iter([(CONTENT_TYPE, "application/json".parse().expect("t"))]);
        http(status, &headers, body, Signal::Logs).expect_err("an error")
    }

    fn of_grpc(status: Status) -> Denied {
        let mut headers = HeaderMap::new();
        status.add_header(&mut headers).expect("headers");
        grpc(StatusCode::OK, &headers, &HeaderMap::new(), b"", Signal::Logs).expect_err("an error")
    }

    #[test]
    fn answers_over_http_are_told_apart() {
        for status in [302, 401, 403, 408, 429, 502, 503, 504] {
            assert!(of_http(status).retryable(), "{status}");
        }
        for status in [400, 404, 413, 415, 422, 500, 501] {
            let denied = of_http(status);
            assert!(!denied.retryable(), "{status}");
            assert_eq!(denied.status().as_u16(), status);
            assert!(denied.to_string().contains("no such"), "{denied}");
        }
        assert_eq!(of_http(400).code(), Code::InvalidArgument);
        assert_eq!(of_http(404).code(), Code::Unimplemented);
        assert!(of_http(404).to_string().contains("takes no logs"));
        assert!(of_http(401).to_string().contains("forward.headers"));
    }

    #[test]
    fn answers_over_grpc_are_told_apart() {
        use Code::*;
        let later = [Cancelled, DeadlineExceeded, Aborted, OutOfRange, Unavailable, DataLoss];
        for code in later.into_iter().chain([Unauthenticated, PermissionDenied]) {
            assert!(of_grpc(Status::new(code, "no such")).retryable(), "{code:?}");
        }
        for code in [InvalidArgument, FailedPrecondition, Internal, Unknown, Unimplemented] {
            let denied = of_grpc(Status::new(code, "no such"));
            assert!(!denied.retryable(), "{code:?}");
            assert_eq!(denied.code(), code);
            assert!(denied.to_string().contains("no such"), "{denied}");
        }
    }

    #[test]
    fn exhausted_is_worth_another_try_with_retry_info_only() {
        use tonic_types::{ErrorDetails, StatusExt};
        let told = ErrorDetails::with_retry_info(Some(std::time::Duration::from_secs(1)));
        let status = Status::with_error_details(Code::ResourceExhausted, "queue", told);
        assert!(of_grpc(status).retryable());
        let denied = of_grpc(Status::resource_exhausted("message larger than max"));
        assert_eq!((denied.retryable(), denied.code()), (false, Code::InvalidArgument));
    }

    #[test]
    fn an_answer_without_a_status_was_cut_short() {
        let none = HeaderMap::new();
        let told = grpc(StatusCode::OK, &none, &none, b"", Signal::Traces);
        assert!(told.expect_err("cut").retryable());
        let told = grpc(StatusCode::BAD_GATEWAY, &none, &none, b"", Signal::Traces);
        assert!(told.expect_err("a proxy").retryable());
    }

    #[test]
    fn a_partial_success_is_read_from_both_forms() {
        let expected = Partial { rejected: 3, message: "old".into() };
        assert_eq!(partial(&expected.proto()), expected);
        for signal in Signal::ALL {
            assert_eq!(partial_json(&expected.json(signal)), expected);
        }
        assert_eq!(partial_json(b"{}"), Partial::default());
        assert_eq!(partial(b"\xff"), Partial::default());
    }
}
