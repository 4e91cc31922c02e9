//! The ways to another receiver: HTTP, and gRPC with its framing by hand, because a frame that
//! came over gRPC goes on as it is.

use super::answer;
use super::config::{Config, Protocol};
use super::{AT_ONCE_MAX, Parcel};
use crate::otlp::Signal;
use crate::otlp::admit::Permit;
use crate::otlp::answer::Partial;
use crate::otlp::body::PREFIX;
use crate::otlp::denied::Denied;
use crate::otlp::inflate::Encoding;
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, TE};
use http_body_util::{BodyExt, Full, Limited};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tonic::body::Body;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tower::{Service, ServiceExt};

const AGENT: &str = concat!("armspan/", env!("CARGO_PKG_VERSION"));
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read: a short message is due.
const ANSWER_BYTES_MAX: usize = 64 << 10;
const GZIP: HeaderValue = HeaderValue::from_static("gzip");

/// What is sent.
pub struct Outgoing {
    /// The message; over gRPC with its prefix.
    body: Bytes,
    gzip: bool,
    json: bool,
}

/// How requests travel.
pub struct Way {
    headers: HeaderMap,
    line: Line,
}

enum Line {
    Http { client: reqwest::Client, base: String },
    Grpc { endpoint: Box<Endpoint>, channel: Mutex<Channel> },
}

// === impl Way ===

impl Way {
    /// Does not connect yet.
    pub fn new(config: &Config) -> Result<Way, String> {
        let line = match config.protocol {
            Protocol::Http => {
                let base = config.endpoint.trim_end_matches('/').to_owned();
                Line::Http { client: http_client()?, base }
            }
            Protocol::Grpc => {
                let endpoint = grpc_endpoint(&config.endpoint)?;
                let channel = Mutex::new(endpoint.connect_lazy());
                Line::Grpc { endpoint: Box::new(endpoint), channel }
            }
        };
        Ok(Way { headers: config.header_map()?, line })
    }

    /// What there is to send. Every receiver must know gzip, so that goes on as it came; what is
    /// compressed otherwise goes on inflated.
    pub fn prepare(&self, parcel: &Parcel, permit: &mut Permit) -> Result<Outgoing, Denied> {
        let gzip = parcel.encoding == Encoding::Gzip && !parcel.wire.is_empty();
        match self.line {
            Line::Http { .. } => {
                let body = if gzip { parcel.wire.clone() } else { parcel.plain.clone() };
                Ok(Outgoing { body, gzip, json: parcel.json })
            }
            Line::Grpc { .. } => {
                let gzip = gzip && !parcel.json;
                let as_it_came = gzip || parcel.encoding == Encoding::Identity;
                let body = match &parcel.frame {
                    Some(frame) if as_it_came => frame.clone(),
                    _ if gzip => frame(1, &parcel.wire, permit)?,
                    _ => frame(0, &parcel.protobuf, permit)?,
                };
                Ok(Outgoing { body, gzip, json: false })
            }
        }
    }

    /// Sends and reads the answer; does not try again.
    pub async fn send(&self, signal: Signal, outgoing: Outgoing) -> Result<Partial, Denied> {
        match &self.line {
            Line::Http { client, base } => {
                let url = format!("{base}{}", signal.path());
                self.over_http(client, url, signal, outgoing).await
            }
            Line::Grpc { channel, .. } => {
                let channel = channel.lock().unwrap_or_else(PoisonError::into_inner).clone();
                self.over_grpc(channel, signal, outgoing).await
            }
        }
    }

    /// After a time-out over gRPC: nobody else would notice that the one connection is dead.
    pub fn reconnect(&self) {
        if let Line::Grpc { endpoint, channel } = &self.line {
            let fresh = endpoint.connect_lazy();
            *channel.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        }
    }

    async fn over_http(
        &self,
        client: &reqwest::Client,
        url: String,
        signal: Signal,
        outgoing: Outgoing,
    ) -> Result<Partial, Denied> {
        let media = if outgoing.json { "application/json" } else { "application/x-protobuf" };
        let mut request =
            client.post(url).headers(self.headers.clone()).header(CONTENT_TYPE, media);
        if outgoing.gzip {
            request = request.header(CONTENT_ENCODING, GZIP);
        }
        // The URL is for our log, not for clients.
        let broken = |error: reqwest::Error| unreachable(&error.without_url());
        let mut answer = request.body(outgoing.body).send().await.map_err(broken)?;
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(broken)? {
            if body.len() + part.len() > ANSWER_BYTES_MAX {
                break;
            }
            body.extend_from_slice(&part);
        }
        answer::http(answer.status(), answer.headers(), &body, signal)
    }

    async fn over_grpc(
        &self,
        mut channel: Channel,
        signal: Signal,
        outgoing: Outgoing,
    ) -> Result<Partial, Denied> {
        let mut request = http::Request::post(signal.method());
        if let Some(headers) = request.headers_mut() {
            headers.extend(self.headers.clone());
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert(TE, HeaderValue::from_static("trailers"));
            if outgoing.gzip {
                headers.insert("grpc-encoding", GZIP);
            }
        }
        let request = request
            .version(http::Version::HTTP_2)
            .body(Body::new(Full::new(outgoing.body)))
            .map_err(|error| unreachable(&error))?;
        let ready = channel.ready().await.map_err(|error| unreachable(&error))?;
        let answer = ready.call(request).await.map_err(|error| unreachable(&error))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| unreachable(&*error))?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        answer::grpc(head.status, &head.headers, &trailers, &body.to_bytes(), signal)
    }
}

fn http_client() -> Result<reqwest::Client, String> {
    let client = reqwest::Client::builder()
        .connect_timeout(CONNECT)
        // It would carry credentials elsewhere.
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(AT_ONCE_MAX)
        .user_agent(AGENT)
        .build();
    client.map_err(|error| format!("no HTTP client: {error}"))
}

fn grpc_endpoint(url: &str) -> Result<Endpoint, String> {
    let bad = |error: tonic::transport::Error| format!("endpoint: {error}");
    let mut to = Endpoint::from_shared(url.to_owned()).map_err(bad)?;
    if url.starts_with("https://") {
        to = to.tls_config(ClientTlsConfig::new().with_native_roots()).map_err(bad)?;
    }
    to.connect_timeout(CONNECT).user_agent(AGENT).map_err(bad)
}

/// A gRPC frame, which is a copy.
fn frame(flag: u8, message: &Bytes, permit: &mut Permit) -> Result<Bytes, Denied> {
    permit.grow(message.len() + PREFIX)?;
    let mut out = BytesMut::with_capacity(message.len() + PREFIX);
    out.put_u8(flag);
    // A request is bounded far below 4 GiB.
    out.put_u32(message.len() as u32);
    out.put_slice(message);
    Ok(out.freeze())
}

/// The innermost cause is what people need: "connection refused".
fn unreachable(error: &(dyn std::error::Error + 'static)) -> Denied {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    Denied::Downstream(innermost.to_string())
}
