//! OTLP over HTTP: `POST /v1/traces`, `/v1/logs`, `/v1/metrics`, protobuf and JSON.
//! Every error has a `google.rpc.Status` as its body, in the encoding of the request.

use super::body::{self, Framing, Limits};
use super::denied::{Denied, RETRY_SECONDS, status_json, status_proto};
use super::forward::Parcel;
use super::inflate::{Encoding, inflate};
use super::{Receiver, Signal, json};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use http::header::{
    ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER,
};
use http::{HeaderMap, StatusCode};
use std::sync::Arc;
use tonic::Code;
use tower_http::catch_panic::CatchPanicLayer;

/// In which form a client speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Protobuf,
    Json,
}

/// The routes of OTLP over HTTP.
pub fn router(receiver: Arc<Receiver>) -> Router {
    let route = |signal| {
        let receiver = receiver.clone();
        let take = move |request: Request| {
            let receiver = receiver.clone();
            async move { receiver.http(signal, request).await }
        };
        post(take).fallback(wrong_method)
    };
    Router::new()
        .route(Signal::Traces.path(), route(Signal::Traces))
        .route(Signal::Logs.path(), route(Signal::Logs))
        .route(Signal::Metrics.path(), route(Signal::Metrics))
        .fallback(not_found)
        .layer(CatchPanicLayer::new())
}

impl Receiver {
    async fn http(&self, signal: Signal, request: Request) -> Response {
        let form = Form::of(request.headers());
        let outcome = match form {
            Some(form) => self.http_take(signal, form, request).await,
            None => Err(Denied::ContentType),
        };
        self.count_outcome(&outcome);
        let form = form.unwrap_or(Form::Json);
        match outcome {
            Ok(body) => form.respond(StatusCode::OK, body),
            Err(denied) => form.deny(&denied),
        }
    }

    async fn http_take(
        &self,
        signal: Signal,
        form: Form,
        request: Request,
    ) -> Result<Vec<u8>, Denied> {
        let headers = request.headers();
        let encoding =
            Encoding::from_header(headers.get(CONTENT_ENCODING)).ok_or(Denied::Encoding)?;
        let expected = content_length(headers);
        let limit = self.config.request_bytes_max;
        let limits = Limits { bytes: limit, time: self.config.body_timeout };
        let mut permit = self.admit()?;
        let body = request.into_body();
        let read = body::read(body, Framing::Plain, expected, &limits, &mut permit).await?;
        let plain: Bytes = match encoding {
            Encoding::Identity => read.clone(),
            other => inflate(other, &read, limit, &mut permit)?.into(),
        };
        let protobuf = match form {
            Form::Protobuf => plain.clone(),
            Form::Json => {
                // What is written is smaller than what is read, but for lists of numbers.
                permit.grow(plain.len())?;
                from_json(signal, &plain)?.into()
            }
        };
        let json = form == Form::Json;
        let parcel = Parcel { wire: read, encoding, frame: None, plain, json, protobuf };
        let partial = self.take(signal, &parcel, &mut permit).await?;
        Ok(match form {
            Form::Protobuf => partial.proto(),
            Form::Json => partial.json(signal),
        })
    }
}

fn from_json(signal: Signal, text: &[u8]) -> Result<Vec<u8>, Denied> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let read = match signal {
        Signal::Traces => json::traces(text),
        Signal::Logs => json::logs(text),
        Signal::Metrics => json::metrics(text),
    };
    read.map_err(|error| Denied::Malformed(error.to_string()))
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

// === impl Form ===

impl Form {
    fn of(headers: &HeaderMap) -> Option<Form> {
        let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let media = value.split(';').next().unwrap_or_default().trim();
        if media.eq_ignore_ascii_case("application/json") {
            return Some(Form::Json);
        }
        let names = ["application/x-protobuf", "application/protobuf"];
        names.iter().any(|name| media.eq_ignore_ascii_case(name)).then_some(Form::Protobuf)
    }

    fn respond(self, status: StatusCode, body: Vec<u8>) -> Response {
        let media = match self {
            Form::Protobuf => "application/x-protobuf",
            Form::Json => "application/json",
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
        response
    }

    fn deny(self, denied: &Denied) -> Response {
        let body = match self {
            Form::Protobuf => denied.proto(),
            Form::Json => denied.json(),
        };
        let mut response = self.respond(denied.status(), body);
        if denied.retryable() {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
        }
        response
    }

    fn refuse(self, status: StatusCode, code: Code, message: &str) -> Response {
        let body = match self {
            Form::Protobuf => status_proto(code, message, false),
            Form::Json => status_json(code, message, false),
        };
        self.respond(status, body)
    }
}

/// There are too many requests at once.
pub(super) fn full(headers: &HeaderMap) -> Response {
    Form::of(headers).unwrap_or(Form::Json).deny(&Denied::Full)
}

async fn wrong_method(headers: HeaderMap) -> Response {
    let form = Form::of(&headers).unwrap_or(Form::Json);
    let message = "only POST is allowed here";
    let mut response = form.refuse(StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, message);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    response
}

async fn not_found(headers: HeaderMap) -> Response {
    let form = Form::of(&headers).unwrap_or(Form::Json);
    let grpc =
        headers.get(CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(b"application/grpc"));
    let message = match grpc {
        true => "this port speaks OTLP over HTTP; send OTLP over gRPC to the gRPC port (4317)",
        false => "no such path; OTLP is taken at /v1/traces, /v1/logs and /v1/metrics",
    };
    form.refuse(StatusCode::NOT_FOUND, Code::NotFound, message)
}
