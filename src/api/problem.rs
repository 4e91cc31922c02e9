//! Errors as RFC 9457 problem details, and as gRPC statuses.

use crate::model::log::Refused;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

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
        tonic::Status::new(code, text)
    }
}
