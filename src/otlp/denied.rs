//! Why a request was not accepted, as OTLP over gRPC and over HTTP say it.
//!
//! What may succeed later is `UNAVAILABLE` with RetryInfo, or 503 with `Retry-After`: never a
//! code that makes clients drop data, never one that makes them repeat what cannot succeed.

use super::wire;
use crate::model::Refused;
use http::StatusCode;
use tonic::Code;

/// After how many seconds a client may come back: short, because the Python SDK drops a batch
/// when the delay exceeds what is left of its ten seconds.
pub const RETRY_SECONDS: u64 = 1;

/// Why a request was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// The bytes are no OTLP.
    #[error("malformed request: {0}")]
    Malformed(String),
    /// More bytes than allowed.
    #[error("the request is larger than {limit} bytes{when}; lower the exporter's batch size")]
    TooLarge {
        /// The limit.
        limit: usize,
        /// Empty, or that it was compressed.
        when: &'static str,
    },
    /// Compressed in a way that is not spoken here.
    #[error("this compression is not supported; use gzip or zstd, or none")]
    Encoding,
    /// Neither protobuf nor JSON.
    #[error("content type must be application/x-protobuf or application/json")]
    ContentType,
    /// Too many requests are being worked on.
    #[error("too many requests, or bytes of them, are in flight; come back in a second")]
    Full,
    /// The tenant has sent what it may for now.
    #[error("the tenant's quota is used up; come back in a second")]
    Quota,
    /// The body did not arrive in time.
    #[error("the request's body did not arrive in time")]
    Slow,
    /// Requests are forwarded, and this one could not be for now.
    #[error("downstream has not taken it yet, send it again: {0}")]
    Downstream(String),
    /// Requests are forwarded, and downstream refused this one for good; it is in our log.
    #[error("downstream refused it: {message}")]
    Passed {
        /// Its gRPC code, or what comes nearest.
        code: Code,
        /// Its HTTP status, or what comes nearest.
        status: StatusCode,
        /// What it said.
        message: String,
    },
    /// The log took nothing.
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl Denied {
    /// The client may send it again.
    pub fn retryable(&self) -> bool {
        use Denied::{Downstream, Full, Quota, Refused, Slow};
        matches!(self, Full | Quota | Slow | Downstream(_) | Refused(_))
    }

    /// As a gRPC code.
    pub fn code(&self) -> Code {
        match self {
            Denied::Malformed(_) | Denied::TooLarge { .. } | Denied::ContentType => {
                Code::InvalidArgument
            }
            Denied::Encoding => Code::Unimplemented,
            Denied::Passed { code, .. } => *code,
            Denied::Full
            | Denied::Quota
            | Denied::Slow
            | Denied::Downstream(_)
            | Denied::Refused(_) => Code::Unavailable,
        }
    }

    /// As an HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Denied::Malformed(_) => StatusCode::BAD_REQUEST,
            Denied::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Denied::Encoding | Denied::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Denied::Passed { status, .. } => *status,
            Denied::Full
            | Denied::Quota
            | Denied::Slow
            | Denied::Downstream(_)
            | Denied::Refused(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// As a `google.rpc.Status` in protobuf, with RetryInfo when it may be sent again.
    pub fn proto(&self) -> Vec<u8> {
        status_proto(self.code(), &self.to_string(), self.retryable())
    }

    /// The same in JSON.
    pub fn json(&self) -> Vec<u8> {
        status_json(self.code(), &self.to_string(), self.retryable())
    }
}

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// `google.rpc.Status` in protobuf.
pub fn status_proto(code: Code, message: &str, retry: bool) -> Vec<u8> {
    let mut status = Vec::new();
    wire::put_varint(&mut status, 1, code as u64);
    wire::put_bytes(&mut status, 2, message.as_bytes());
    if retry {
        let mut any = Vec::new();
        wire::put_bytes(&mut any, 1, RETRY_INFO.as_bytes());
        wire::put_bytes(&mut any, 2, &retry_info());
        wire::put_bytes(&mut status, 3, &any);
    }
    status
}

/// `google.rpc.Status` in JSON.
pub fn status_json(code: Code, message: &str, retry: bool) -> Vec<u8> {
    let mut status = serde_json::json!({"code": code as i32, "message": message});
    if retry {
        let delay = format!("{RETRY_SECONDS}s");
        status["details"] = serde_json::json!([{"@type": RETRY_INFO, "retryDelay": delay}]);
    }
    status.to_string().into_bytes()
}

/// `google.rpc.RetryInfo` in protobuf.
pub fn retry_info() -> Vec<u8> {
    let (mut delay, mut info) = (Vec::new(), Vec::new());
    wire::put_varint(&mut delay, 1, RETRY_SECONDS);
    wire::put_bytes(&mut info, 1, &delay);
    info
}
