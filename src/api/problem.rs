//! Errors as RFC 9457 problem details, and as gRPC statuses.

use crate::model::log::Refused;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use prost::Message;
use schemars::JsonSchema;
use serde::Serialize;
use tonic::metadata::MetadataValue;

/// A problem document; `type` is always `about:blank`.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct Problem {
    /// What kind of problem.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The status in words.
    pub title: &'static str,
    /// The status code.
    pub status: u16,
    /// What was wrong and what to do.
    pub detail: String,
    /// Near ids or names, when something was not found or not unique.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<String>,
    /// What was wrong with each item, when none was accepted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<super::intake::ItemError>,
    /// Seconds after which to try again.
    #[serde(skip)]
    pub retry_after: Option<u32>,
}

impl Problem {
    /// A problem with a status and a detail.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Problem {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("error"),
            status: status.as_u16(),
            detail: detail.into(),
            candidates: Vec::new(),
            errors: Vec::new(),
            retry_after: None,
        }
    }

    /// 400.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 404 with near names.
    pub fn not_found(detail: impl Into<String>, near: Vec<String>) -> Self {
        Problem { candidates: near, ..Problem::new(StatusCode::NOT_FOUND, detail) }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, refused.to_string());
        Problem { retry_after: Some(1), ..problem }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        let mut response = (status, axum::Json(&self)).into_response();
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<Problem> for tonic::Status {
    fn from(problem: Problem) -> Self {
        let code = match problem.status {
            404 => tonic::Code::NotFound,
            409 => tonic::Code::FailedPrecondition,
            503 => tonic::Code::Unavailable,
            _ => tonic::Code::InvalidArgument,
        };
        let near = problem.candidates.join(", ");
        let text = match near.as_str() {
            "" => problem.detail,
            near => format!("{}: {near}", problem.detail),
        };
        match problem.retry_after {
            Some(seconds) => retryable(code, text, i64::from(seconds)),
            None => tonic::Status::new(code, text),
        }
    }
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<prost_types::Duration>,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// A status that says when to come back, in both trailers that clients read.
fn retryable(code: tonic::Code, message: String, seconds: i64) -> tonic::Status {
    let delay = prost_types::Duration { seconds, nanos: 0 };
    let info = RetryInfo { retry_delay: Some(delay) }.encode_to_vec();
    let type_url = "type.googleapis.com/google.rpc.RetryInfo".to_owned();
    let details = vec![prost_types::Any { type_url, value: info.clone() }];
    let whole = RpcStatus { code: code as i32, message: message.clone(), details }.encode_to_vec();
    let mut status = tonic::Status::with_details(code, message, whole.into());
    let value = MetadataValue::from_bytes(&info);
    status.metadata_mut().insert_bin("google.rpc.retryinfo-bin", value);
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_says_when_to_come_back_over_grpc_too() {
        let status = tonic::Status::from(Problem::from(Refused::Busy));
        assert_eq!(status.code(), tonic::Code::Unavailable);
        let whole = RpcStatus::decode(status.details()).expect("status");
        let info = RetryInfo::decode(whole.details[0].value.as_slice()).expect("info");
        assert_eq!(info.retry_delay.map(|delay| delay.seconds), Some(1));
        assert!(status.metadata().get_bin("google.rpc.retryinfo-bin").is_some());
    }
}
