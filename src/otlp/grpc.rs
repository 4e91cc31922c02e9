//! OTLP over gRPC: the three `Export` methods, one message each way.
//!
//! The framing is our own, because the limits are: tonic answers an oversized message with
//! `OUT_OF_RANGE`, which OTLP clients repeat for ever, and a decompressed one with
//! `RESOURCE_EXHAUSTED`. Here both are `INVALID_ARGUMENT`, and bytes are admitted before they
//! are read.

use super::body::{self, Framing, Limits, PREFIX};
use super::denied::{Denied, retry_info};
use super::forward::Parcel;
use super::inflate::{Encoding, inflate};
use super::{Receiver, Signal};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{StatusCode, Version};
use http_body_util::{BodyExt, Full};
use std::io::Write;
use std::sync::Arc;
use tonic::Status;
use tonic::metadata::{MetadataMap, MetadataValue};
use tower_http::catch_panic::CatchPanicLayer;

/// Compressions that are taken, as clients are told.
const ACCEPTED: HeaderValue = HeaderValue::from_static("identity,gzip,zstd,deflate");

/// The methods as routes, to be merged with other gRPC services. `tonic::service::Routes::from`
/// takes it. What comes over HTTP/1.1, or to the paths of OTLP over HTTP, gets a clear answer.
pub fn router(receiver: Arc<Receiver>) -> Router {
    let mut router = Router::new();
    for signal in Signal::ALL {
        let receiver = receiver.clone();
        let take = move |request: Request| {
            let receiver = receiver.clone();
            async move { receiver.grpc(signal, request).await }
        };
        router = router.route(signal.method(), any(take));
    }
    // Where an OTLP/HTTP client that was given the wrong port arrives.
    for signal in Signal::ALL {
        router = router.route(signal.path(), any(wrong_port));
    }
    router.layer(CatchPanicLayer::new())
}

impl Receiver {
    async fn grpc(&self, signal: Signal, request: Request) -> Response {
        if request.version() < Version::HTTP_2 || !is_grpc(request.headers()) {
            return wrong_port().await;
        }
        let gzip = accepts_gzip(request.headers());
        let outcome = self.grpc_take(signal, request).await;
        self.count_outcome(&outcome);
        match outcome {
            Ok(message) => success(message, gzip),
            Err(denied) => deny(&denied),
        }
    }

    async fn grpc_take(&self, signal: Signal, request: Request) -> Result<Vec<u8>, Denied> {
        let encoding = Encoding::from_header(request.headers().get("grpc-encoding"));
        let encoding = encoding.ok_or(Denied::Encoding)?;
        let limit = self.config.request_bytes_max;
        let limits = Limits { bytes: limit, time: self.config.body_timeout };
        let mut permit = self.admit()?;
        let body = request.into_body();
        let read = body::read(body, Framing::Grpc, None, &limits, &mut permit).await?;
        let frame = Some(read.clone());
        let (compressed, wire) = unframe(read)?;
        let encoding = if compressed { encoding } else { Encoding::Identity };
        let plain: Bytes = match compressed {
            true if encoding == Encoding::Identity => {
                return Err(Denied::Malformed("compressed without a grpc-encoding".into()));
            }
            true => inflate(encoding, &wire, limit, &mut permit)?.into(),
            false => wire.clone(),
        };
        let protobuf = plain.clone();
        let parcel = Parcel { wire, encoding, frame, plain, json: false, protobuf };
        Ok(self.take(signal, &parcel, &mut permit).await?.proto())
    }
}

/// Whether the one message of a request is compressed, and its bytes.
fn unframe(body: Bytes) -> Result<(bool, Bytes), Denied> {
    let cut = || Denied::Malformed("the body is not one whole gRPC message".into());
    let prefix: [u8; PREFIX] = body.get(..PREFIX).ok_or_else(cut)?.try_into().map_err(|_| cut())?;
    let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
    if prefix[0] > 1 || body.len() - PREFIX != length {
        return Err(cut());
    }
    Ok((prefix[0] == 1, body.slice(PREFIX..)))
}

/// Whether a request says that it is one of gRPC.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).map(|value| value.as_bytes());
    let rest = value.and_then(|value| value.strip_prefix(b"application/grpc"));
    // gRPC-Web has another framing.
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get("grpc-accept-encoding").and_then(|value| value.to_str().ok());
    accepted.is_some_and(|list| list.split(',').any(|name| name.trim() == "gzip"))
}

fn success(message: Vec<u8>, gzip: bool) -> Response {
    // An empty message does not get smaller.
    let gzip = gzip && !message.is_empty();
    let message = if gzip { compress(&message) } else { message };
    let mut frame = Vec::with_capacity(PREFIX + message.len());
    frame.push(u8::from(gzip));
    frame.extend_from_slice(&(message.len() as u32).to_be_bytes());
    frame.extend_from_slice(&message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body =
        Full::new(Bytes::from(frame))
            .with_trailers(std::future::ready(Some(Ok::<_, std::convert::Infallible>(trailers))));
    let mut response = Response::new(Body::new(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    if gzip {
        headers.insert("grpc-encoding", HeaderValue::from_static("gzip"));
    }
    headers.insert("grpc-accept-encoding", ACCEPTED);
    response
}

fn compress(message: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    // Writing into memory cannot fail; an empty answer would be noticed as malformed.
    let written = out.write_all(message);
    written.and_then(|()| out.finish()).unwrap_or_default()
}

/// A status with its details, and RetryInfo in both trailers that clients look at.
fn deny(denied: &Denied) -> Response {
    let mut metadata = MetadataMap::new();
    if denied.retryable() {
        metadata.insert_bin("google.rpc.retryinfo-bin", MetadataValue::from_bytes(&retry_info()));
    }
    let details = if denied.retryable() { denied.proto().into() } else { Bytes::new() };
    let status =
        Status::with_details_and_metadata(denied.code(), denied.to_string(), details, metadata);
    let mut response = status.into_http::<Body>();
    response.headers_mut().insert("grpc-accept-encoding", ACCEPTED);
    response
}

/// There are too many requests at once.
pub(super) fn full() -> Response {
    deny(&Denied::Full)
}

async fn wrong_port() -> Response {
    let message = "this port speaks OTLP over gRPC (HTTP/2); send OTLP over HTTP to the HTTP port \
                   (4318), or set the exporter's protocol to grpc\n";
    (StatusCode::BAD_REQUEST, message).into_response()
}
