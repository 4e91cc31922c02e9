//! A receiver of OTLP, over HTTP and gRPC on one port, that notes each request's bytes and
//! answers as it is told.

use armspan::otlp::Signal;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::BodyExt;
use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tonic::{Code, Status};

/// An answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Say {
    /// Full success.
    Ok,
    /// Full success, after half a second.
    Slow,
    /// One was rejected.
    Partial,
    /// Not now.
    Later,
    /// Not with these credentials.
    Unauthorized,
    /// Never.
    Bad,
    /// The answer breaks off.
    Cut,
    /// Nothing at all.
    Silent,
}

/// What came.
#[derive(Clone, Debug)]
pub struct Came {
    pub signal: Signal,
    pub headers: HeaderMap,
    pub json: bool,
    pub gzip: bool,
    /// The message as it came.
    pub wire: Vec<u8>,
    /// Not compressed.
    pub plain: Vec<u8>,
    /// What it was answered.
    pub said: Say,
}

#[derive(Default)]
struct Shared {
    came: Vec<Came>,
    answers: VecDeque<Say>,
}

/// Ends with the test's runtime.
pub struct Downstream {
    shared: Arc<Mutex<Shared>>,
    port: u16,
}

impl Downstream {
    pub async fn start() -> Downstream {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
        let port = listener.local_addr().expect("address").port();
        let shared = Arc::<Mutex<Shared>>::default();
        let state = shared.clone();
        let router = Router::new().fallback(move |request| answer(state.clone(), request));
        let forever = std::future::pending();
        tokio::spawn(armspan::otlp::serve(listener, router, forever, Duration::ZERO));
        Downstream { shared, port }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The next answers; `Ok` after them.
    pub fn say(&self, answers: &[Say]) {
        self.shared.lock().expect("lock").answers.extend(answers);
    }

    pub fn came(&self) -> Vec<Came> {
        self.shared.lock().expect("lock").came.clone()
    }
}

async fn answer(shared: Arc<Mutex<Shared>>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("body").to_bytes().to_vec();
    let path = head.uri.path();
    let header = |name: &str| head.headers.get(name).map(|value| value.to_str().expect("text"));
    let grpc = header("content-type").expect("media") == "application/grpc";
    let (gzip, wire) = match grpc {
        true => (body[0] == 1, body[5..].to_vec()),
        false => (header("content-encoding").is_some(), body),
    };
    if gzip {
        let name = if grpc { "grpc-encoding" } else { "content-encoding" };
        assert_eq!(header(name), Some("gzip"));
    }
    let mut plain = wire.clone();
    if gzip {
        plain.clear();
        flate2::read::GzDecoder::new(&wire[..]).read_to_end(&mut plain).expect("gzip");
    }
    let signal = match path {
        _ if path.contains("race") => Signal::Traces,
        _ if path.contains("ogs") => Signal::Logs,
        _ => Signal::Metrics,
    };
    let json = header("content-type") == Some("application/json");
    let said = {
        let mut shared = shared.lock().expect("lock");
        let said = shared.answers.pop_front().unwrap_or(Say::Ok);
        let headers = head.headers.clone();
        shared.came.push(Came { signal, headers, json, gzip, wire, plain, said });
        said
    };
    match said {
        Say::Silent => std::future::pending().await,
        Say::Slow => tokio::time::sleep(Duration::from_millis(500)).await,
        _ => {}
    }
    if grpc { over_grpc(said) } else { over_http(said, json, signal) }
}

/// `partial_success` of all signals: one was rejected, "too old".
const PARTIAL: &[u8] = b"\x0a\x0b\x08\x01\x12\x07too old";

fn over_http(said: Say, json: bool, signal: Signal) -> Response<Body> {
    let (status, body) = match said {
        Say::Later => (StatusCode::SERVICE_UNAVAILABLE, b"busy".to_vec()),
        Say::Unauthorized => (StatusCode::UNAUTHORIZED, Vec::new()),
        Say::Bad => (StatusCode::BAD_REQUEST, b"no such tenant".to_vec()),
        Say::Cut => return Response::new(cut(b"\x0a")),
        Say::Partial if json => {
            let name = match signal {
                Signal::Traces => "rejectedSpans",
                Signal::Logs => "rejectedLogRecords",
                Signal::Metrics => "rejectedDataPoints",
            };
            let text = format!(r#"{{"partialSuccess":{{"{name}":"1","errorMessage":"too old"}}}}"#);
            (StatusCode::OK, text.into_bytes())
        }
        Say::Partial => (StatusCode::OK, PARTIAL.to_vec()),
        _ => (StatusCode::OK, if json { b"{}".to_vec() } else { Vec::new() }),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let media = match (status, json) {
        (StatusCode::OK, true) => "application/json",
        (StatusCode::OK, false) => "application/x-protobuf",
        _ => "text/plain",
    };
    response.headers_mut().insert("content-type", HeaderValue::from_static(media));
    response
}

fn over_grpc(said: Say) -> Response<Body> {
    let error = match said {
        Say::Later => Some(Code::Unavailable),
        Say::Unauthorized => Some(Code::Unauthenticated),
        Say::Bad => Some(Code::InvalidArgument),
        _ => None,
    };
    if let Some(code) = error {
        return Status::new(code, "no such tenant").into_http();
    }
    let message = if said == Say::Partial { PARTIAL } else { b"" };
    let frame = [&[0, 0, 0, 0, message.len() as u8][..], message].concat();
    let mut response = Response::new(match said {
        Say::Cut => cut(&frame[..3]),
        _ => {
            let trailers = HeaderMap::from_iter([(
                "grpc-status".parse().expect("name"),
                HeaderValue::from_static("0"),
            )]);
            let body = http_body_util::Full::new(bytes::Bytes::from(frame));
            let trailers = Some(Ok::<_, std::convert::Infallible>(trailers));
            Body::new(body.with_trailers(std::future::ready(trailers)))
        }
    });
    let media = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", media);
    response
}

/// A body that ends with an error after its first bytes.
fn cut(begin: &[u8]) -> Body {
    let parts = [Ok(begin.to_vec()), Err(std::io::Error::other("broken"))];
    Body::from_stream(tokio_stream::iter(parts))
}
