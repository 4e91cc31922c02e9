//! Serves a router on a listener, HTTP/1.1 and HTTP/2, until it is told to stop; then lets the
//! requests that run come to their end. What strangers can make it hold is bounded: places of
//! connections and requests, buffers, headers, frames and time.

use super::seats::{Seat, Seats};
use super::{grpc, http as http_door};
use crate::auth::Tls;
use axum::body::{Bytes, HttpBody};
use axum::response::Response;
use axum::{BoxError, Router};
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tower::{Service, ServiceExt};

/// Streams of one HTTP/2 connection. All of them, with their headers, may come before the first one
/// is looked at; but clients begin so many before they know of any limit.
const STREAMS_MAX: u32 = 100;
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 32 << 20;
/// Of a frame: each connection holds one that is not yet whole.
const FRAME_BYTES: u32 = 16 << 10;
/// Of a frame on the few connections that are wide: a usual request fits into one.
const WIDE_FRAME_BYTES: u32 = 1 << 20;
/// What an HTTP/1.1 connection holds that is not yet read: the head of a request, or some body.
const BUFFER_BYTES: usize = 32 << 10;
/// Of freed memory that a heap of the allocator keeps.
const KEPT_BYTES: usize = 8 << 20;
const HEADER_LIST_BYTES_MAX: u32 = 8 << 10;
/// How long the first byte of a connection, and the head of an HTTP/1.1 request, may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// After `accept` failed (no file handles), before it is tried again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown` resolves, then waits at most `drain` for what runs.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
    drain: Duration,
) {
    serve_tls(listener, router, None, shutdown, drain).await;
}

/// The same, over TLS when there is some. Requests then carry who the client is by its
/// certificate ([`crate::auth::Peer`]).
pub async fn serve_tls(
    listener: TcpListener,
    router: Router,
    tls: Option<Arc<Tls>>,
    shutdown: impl Future<Output = ()>,
    drain: Duration,
) {
    keep_memory();
    let builders = [FRAME_BYTES, WIDE_FRAME_BYTES].map(builder);
    let graceful = GracefulShutdown::new();
    let seats = Seats::new();
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener) => accepted,
            () = &mut shutdown => break,
        };
        let Some(stream) = accepted else { continue };
        let seat = seats.take();
        let (router, tls) = (router.clone(), tls.clone());
        let builder = builders[usize::from(seat.is_wide())].clone();
        let watcher = graceful.watcher();
        tokio::spawn(async move {
            let conversation = converse(&builder, stream, router, tls, seat.clone(), watcher);
            tokio::select! {
                () = conversation => {}
                () = seat.needed() => {}
            }
        });
    }
    drop(listener);
    let _ = timeout(drain, graceful.shutdown()).await;
}

async fn converse(
    builder: &Builder<TokioExecutor>,
    stream: TcpStream,
    router: Router,
    tls: Option<Arc<Tls>>,
    seat: Arc<Seat>,
    watcher: Watcher,
) {
    // One that connects and says nothing must not keep its place for ever.
    if !matches!(timeout(HEADER_TIMEOUT, stream.readable()).await, Ok(Ok(()))) {
        return;
    }
    match tls {
        None => speak(builder, stream, router, seat, watcher).await,
        Some(tls) => {
            if let Some((stream, peer)) = tls.greet(stream).await {
                let router = router.layer(axum::Extension(peer));
                speak(builder, stream, router, seat, watcher).await;
            }
        }
    }
}

async fn speak(
    builder: &Builder<TokioExecutor>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    seat: Arc<Seat>,
    watcher: Watcher,
) {
    let service = TowerToHyperService::new(seated(router, seat));
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    // A client that breaks off, or speaks no HTTP, is no matter of ours.
    let _ = watcher.watch(connection).await;
}

/// The router for one connection: while a request runs, its place is busy.
fn seated<B>(
    router: Router,
    seat: Arc<Seat>,
) -> impl Service<Request<B>, Response = Response, Error = Infallible, Future: Send> + Clone + Send
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    tower::service_fn(move |request: Request<B>| {
        let (router, begun) = (router.clone(), seat.begin());
        async move {
            let Some((_running, reading)) = begun else { return Ok(come_back(request.headers())) };
            // The body takes the mark along, and drops it when it was read.
            let marked = move |frame| {
                let _ = &reading;
                frame
            };
            router.oneshot(request.map(|body| body.map_frame(marked))).await
        }
    })
}

/// Makes the system's allocator keep a few freed requests. glibc gives the free end of a heap back
/// when it is larger than twice the largest block that was ever mapped by itself and freed; with
/// blocks as large as a request that happens at each request, and every page of the next one is a
/// fault. One larger block, never written to, moves that mark. Elsewhere it does nothing.
fn keep_memory() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(KEPT_BYTES / 2)));
}

fn come_back(headers: &HeaderMap) -> Response {
    if grpc::is_grpc(headers) { grpc::full() } else { http_door::full(headers) }
}

async fn accept(listener: &TcpListener) -> Option<TcpStream> {
    match listener.accept().await {
        Ok((stream, _)) => {
            let _ = stream.set_nodelay(true);
            Some(stream)
        }
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

fn builder(frame_bytes: u32) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(BUFFER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(frame_bytes)
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    builder
}
