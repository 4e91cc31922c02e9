//! What a request that may not enter is told, in the form of its listener. Never says which part
//! of a credential was wrong.

use super::Door;
use super::table::Missing;
use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{StatusCode, Version};
use prost::Message;
use tonic::{Code, Status};

/// Why a request may not enter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    status: StatusCode,
    code: Code,
    detail: &'static str,
}

/// `google.rpc.Status`, the body of OTLP's errors over HTTP.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

const PROTOBUF: &str = "application/x-protobuf";

// === impl Refusal ===

impl Refusal {
    /// No credentials, or none that are valid.
    pub fn unauthenticated(detail: &'static str) -> Refusal {
        Refusal { status: StatusCode::UNAUTHORIZED, code: Code::Unauthenticated, detail }
    }

    /// Valid credentials that do not allow it.
    pub fn forbidden(detail: &'static str) -> Refusal {
        Refusal { status: StatusCode::FORBIDDEN, code: Code::PermissionDenied, detail }
    }

    /// A host name that is not ours.
    pub fn host(detail: &'static str) -> Refusal {
        let status = StatusCode::MISDIRECTED_REQUEST;
        Refusal { status, code: Code::PermissionDenied, detail }
    }

    /// A body that is not JSON.
    pub fn media(detail: &'static str) -> Refusal {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Refusal { status, code: Code::InvalidArgument, detail }
    }

    /// A route that there is not.
    pub fn missing(missing: Missing) -> Refusal {
        let (status, code, detail) = match missing {
            Missing::Path => (StatusCode::NOT_FOUND, Code::Unimplemented, "there is no such route"),
            Missing::Method => {
                let detail = "the route has other methods";
                (StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, detail)
            }
        };
        Refusal { status, code, detail }
    }

    /// Credentials that cannot be checked for now: the client may come back.
    pub fn later(detail: &'static str) -> Refusal {
        Refusal { status: StatusCode::SERVICE_UNAVAILABLE, code: Code::Unavailable, detail }
    }

    /// As an answer of a listener to a request with such a version and headers.
    pub fn answer(&self, door: Door, version: Version, headers: &HeaderMap) -> Response {
        let media = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        // Who speaks no gRPC would take an answer of gRPC, whose status is 200, for success.
        let grpc = door == Door::Grpc
            && version >= Version::HTTP_2
            && media.starts_with(b"application/grpc");
        let mut response = match door {
            _ if grpc => Status::new(self.code, self.detail).into_http(),
            Door::Web => self.with("application/problem+json", self.problem()),
            _ if media.starts_with(PROTOBUF.as_bytes()) => self.with(PROTOBUF, self.proto()),
            _ => self.with("application/json", self.json()),
        };
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            let basic = HeaderValue::from_static("Basic realm=\"armspan\", charset=\"UTF-8\"");
            headers.append(WWW_AUTHENTICATE, basic);
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }

    fn with(&self, media: &'static str, body: Vec<u8>) -> Response {
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
        response
    }

    fn problem(&self) -> Vec<u8> {
        let problem = serde_json::json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        problem.to_string().into_bytes()
    }

    fn json(&self) -> Vec<u8> {
        let status = serde_json::json!({"code": self.code as i32, "message": self.detail});
        status.to_string().into_bytes()
    }

    fn proto(&self) -> Vec<u8> {
        RpcStatus { code: self.code as i32, message: self.detail.into() }.encode_to_vec()
    }
}
