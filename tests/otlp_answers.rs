//! What OTLP clients are answered, over both doors: success, partial success, errors that must
//! not be repeated, errors that must be, in each encoding and compression. The log is a fake one
//! that takes or refuses as it is told; the bytes of the wire are read by the official types.

use armspan::model::{Appended, Body, Clock, Log, Meter, Position, Refused};
use armspan::normalize::Normalizer;
use armspan::otlp::{self, Config, Receiver};
use axum::http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use opentelemetry_proto::tonic::collector::logs::v1::*;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::*;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use std::io::Write;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use tower::ServiceExt;

/// A time at which the spans of these tests are young.
const NOW: u64 = 1_795_463_700_000_000_000;

#[derive(Default)]
struct FakeLog {
    refuses: Mutex<Option<Refused>>,
    taken: Mutex<Vec<Body>>,
    delay: Mutex<Duration>,
}

impl Log for FakeLog {
    fn append(&self, _: u64, body: Body) -> Appended {
        if let Some(why) = *self.refuses.lock().expect("lock") {
            return Box::pin(std::future::ready(Err(why)));
        }
        let mut taken = self.taken.lock().expect("lock");
        taken.push(body);
        let (position, delay) = (taken.len() as u64 - 1, *self.delay.lock().expect("lock"));
        Box::pin(async move {
            tokio::time::sleep(delay).await;
            Ok(position)
        })
    }

    fn depth(&self) -> (Position, u64) {
        (self.taken.lock().expect("lock").len() as u64, 0)
    }
}

struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> u64 {
        NOW
    }
}

struct Door {
    log: Arc<FakeLog>,
    meter: Arc<Meter>,
    receiver: Arc<Receiver>,
}

impl Door {
    fn new() -> Door {
        Door::with(Config::default())
    }

    fn with(config: Config) -> Door {
        let (log, meter) = (Arc::new(FakeLog::default()), Arc::new(Meter::default()));
        let normalizer = Arc::new(Normalizer::default());
        let horizon = 7 * 86_400 * 1_000_000_000;
        let receiver = Receiver::new(
            config,
            normalizer,
            log.clone(),
            Arc::new(FixedClock),
            meter.clone(),
            horizon,
        );
        Door { log, meter, receiver: Arc::new(receiver) }
    }

    fn taken(&self) -> usize {
        self.log.taken.lock().expect("lock").len()
    }

    fn refuse(&self, why: Refused) {
        *self.log.refuses.lock().expect("lock") = Some(why);
    }

    async fn http(&self, request: Request<axum::body::Body>) -> (StatusCode, HeaderMap, Vec<u8>) {
        let router = otlp::http_router(self.receiver.clone());
        let response = router.oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("body").to_bytes().to_vec();
        assert_eq!(self.meter.in_flight_bytes.load(Relaxed), 0, "all bytes are given back");
        (parts.status, parts.headers, body)
    }

    async fn post(
        &self,
        path: &str,
        media: &str,
        encoding: &str,
        body: Vec<u8>,
    ) -> (StatusCode, HeaderMap, Vec<u8>) {
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, media)
            .header(header::CONTENT_ENCODING, encoding)
            .body(body.into())
            .expect("request");
        self.http(request).await
    }

    /// Serves gRPC on a real socket.
    async fn grpc(&self) -> Client {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = listener.local_addr().expect("address");
        let router = otlp::grpc_router(self.receiver.clone());
        let router = tonic::service::Routes::from(router).into_axum_router();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let shutdown = async move { drop(stopped.await) };
        let served = tokio::spawn(otlp::serve(listener, router, shutdown, Duration::from_secs(5)));
        let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}"));
        let channel = channel.expect("uri").connect().await.expect("connects");
        Client { address, channel, stop: Some(stop), served }
    }
}

struct Client {
    address: std::net::SocketAddr,
    channel: tonic::transport::Channel,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<()>,
}

impl Client {
    async fn call<Q, A>(
        &self,
        path: &'static str,
        request: Q,
        compress: Option<CompressionEncoding>,
    ) -> Result<A, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone())
            .accept_compressed(CompressionEncoding::Gzip);
        if let Some(encoding) = compress {
            grpc = grpc.send_compressed(encoding);
        }
        grpc.ready().await.expect("ready");
        let codec = tonic_prost::ProstCodec::<Q, A>::default();
        let path = http::uri::PathAndQuery::from_static(path);
        Ok(grpc.unary(tonic::Request::new(request), path, codec).await?.into_inner())
    }

    async fn export(
        &self,
        request: ExportTraceServiceRequest,
    ) -> Result<ExportTraceServiceResponse, Status> {
        self.call(TRACE_EXPORT, request, None).await
    }
}

const TRACE_EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const LOGS_EXPORT: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

fn span(trace_id: &[u8]) -> Span {
    Span {
        trace_id: trace_id.to_vec(),
        span_id: vec![7; 8],
        name: "n".into(),
        start_time_unix_nano: NOW - 2_000_000_000,
        end_time_unix_nano: NOW - 1_000_000_000,
        ..Span::default()
    }
}

fn traces(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }],
    }
}

fn good() -> ExportTraceServiceRequest {
    traces(vec![span(&[1; 16]), span(&[2; 16])])
}

fn half_good() -> ExportTraceServiceRequest {
    traces(vec![span(&[1; 16]), span(&[])])
}

fn some_logs() -> ExportLogsServiceRequest {
    let record = |trace: u8| LogRecord {
        time_unix_nano: NOW,
        trace_id: vec![trace; 16],
        span_id: vec![7; 8],
        ..LogRecord::default()
    };
    let scope_logs =
        vec![ScopeLogs { log_records: vec![record(1), record(2)], ..ScopeLogs::default() }];
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }],
    }
}

fn in_form(media: &str, request: &ExportTraceServiceRequest) -> Vec<u8> {
    match media {
        JSON => serde_json::to_vec(request).expect("json"),
        _ => request.encode_to_vec(),
    }
}

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

fn compressed(encoding: &str, bytes: &[u8]) -> Vec<u8> {
    use flate2::{Compression, write};
    let level = Compression::default();
    let done = match encoding {
        "gzip" => {
            let mut out = write::GzEncoder::new(Vec::new(), level);
            out.write_all(bytes).and_then(|()| out.finish())
        }
        "deflate" => {
            let mut out = write::ZlibEncoder::new(Vec::new(), level);
            out.write_all(bytes).and_then(|()| out.finish())
        }
        "zstd" => zstd::encode_all(bytes, 3),
        _ => Ok(bytes.to_vec()),
    };
    done.expect("compresses")
}

/// The `google.rpc.Status` of an error body, whatever its form: code and whether RetryInfo of
/// one second is in it.
fn status_of(media: &str, body: &[u8]) -> (i32, String, bool) {
    if media == JSON {
        let json: serde_json::Value = serde_json::from_slice(body).expect("json");
        let retry = json["details"][0]["retryDelay"] == "1s";
        let code = json["code"].as_i64().expect("code") as i32;
        return (code, json["message"].as_str().expect("message").into(), retry);
    }
    let status = tonic_types::pb::Status::decode(body).expect("google.rpc.Status");
    let retry = status.details.iter().any(|any| {
        let info = tonic_types::pb::RetryInfo::decode(&any.value[..]).expect("RetryInfo");
        any.type_url == "type.googleapis.com/google.rpc.RetryInfo"
            && info.retry_delay.is_some_and(|delay| delay.seconds == 1)
    });
    (status.code, status.message, retry)
}

#[tokio::test]
async fn http_takes_every_form_and_compression() {
    for media in [PROTOBUF, JSON, "application/json; charset=utf-8"] {
        for encoding in ["identity", "gzip", "zstd", "deflate"] {
            let door = Door::new();
            let form = media.split(';').next().expect("media");
            let body = compressed(encoding, &in_form(form, &good()));
            let (status, headers, answer) = door.post("/v1/traces", media, encoding, body).await;
            assert_eq!(status, StatusCode::OK, "{media} {encoding}");
            assert_eq!(headers[header::CONTENT_TYPE], form);
            let full: &[u8] = if form == JSON { b"{}" } else { b"" };
            assert_eq!(answer, full, "full success leaves partial_success unset");
            assert_eq!(door.taken(), 1);
            assert_eq!(door.meter.spans.load(Relaxed), 2);
        }
    }
}

#[tokio::test]
async fn json_and_protobuf_put_the_same_into_the_log() {
    let door = Door::new();
    for media in [PROTOBUF, JSON] {
        door.post("/v1/traces", media, "identity", in_form(media, &good())).await;
    }
    let taken = door.log.taken.lock().expect("lock");
    assert_eq!(taken[0], taken[1]);
}

#[tokio::test]
async fn an_empty_request_is_success_and_no_entry() {
    let door = Door::new();
    for (path, media, body) in [
        ("/v1/traces", PROTOBUF, &b""[..]),
        ("/v1/traces", JSON, b"{}"),
        ("/v1/logs", PROTOBUF, b""),
        ("/v1/logs", JSON, b"{\"resourceLogs\":[]}"),
        ("/v1/metrics", PROTOBUF, b""),
    ] {
        let (status, _, answer) = door.post(path, media, "identity", body.to_vec()).await;
        assert_eq!(status, StatusCode::OK);
        assert!(answer.is_empty() || answer == b"{}", "{path} {media}");
    }
    assert_eq!(door.taken(), 0);
}

#[tokio::test]
async fn bad_spans_are_a_partial_success_and_the_good_ones_count() {
    let door = Door::new();
    let body = half_good().encode_to_vec();
    let (status, _, answer) = door.post("/v1/traces", PROTOBUF, "identity", body).await;
    assert_eq!(status, StatusCode::OK);
    let partial = ExportTraceServiceResponse::decode(&answer[..]).expect("response");
    let partial = partial.partial_success.expect("partial");
    assert_eq!(partial.rejected_spans, 1);
    assert!(partial.error_message.contains("1 empty_trace_id: "), "{}", partial.error_message);
    assert_eq!(door.taken(), 1);
    let body = in_form(JSON, &half_good());
    let (_, _, answer) = door.post("/v1/traces", JSON, "identity", body).await;
    let json: serde_json::Value = serde_json::from_slice(&answer).expect("json");
    assert_eq!(json["partialSuccess"]["rejectedSpans"], "1");
}

#[tokio::test]
async fn metrics_are_counted_and_answered_as_not_used() {
    let door = Door::new();
    let body =
        std::fs::read("tests/corpus/js/otel_contrib_openai/chat.metrics.pb").expect("corpus");
    let (status, _, answer) = door.post("/v1/metrics", PROTOBUF, "identity", body).await;
    assert_eq!(status, StatusCode::OK);
    let partial = ExportMetricsServiceResponse::decode(&answer[..]).expect("response");
    let partial = partial.partial_success.expect("partial");
    assert!(partial.rejected_data_points > 0);
    assert!(partial.error_message.contains("traces and logs"));
    assert_eq!(door.meter.metric_points.load(Relaxed), partial.rejected_data_points as u64);
    assert_eq!(door.taken(), 0);
}

#[tokio::test]
async fn malformed_is_400_and_says_so_in_the_form_of_the_request() {
    let door = Door::new();
    for (media, encoding, body) in [
        (PROTOBUF, "identity", &b"\xff\xff\xff\xff"[..]),
        (JSON, "identity", b"{\"resourceSpans\": 7}"),
        (PROTOBUF, "gzip", b"this is no gzip"),
        (PROTOBUF, "zstd", b"this is no zstd"),
        (JSON, "deflate", b"this is no deflate"),
    ] {
        let (status, headers, answer) =
            door.post("/v1/traces", media, encoding, body.to_vec()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{media} {encoding}");
        assert_eq!(headers[header::CONTENT_TYPE], media);
        assert!(!headers.contains_key(header::RETRY_AFTER));
        let (code, message, retry) = status_of(media, &answer);
        assert_eq!((code, retry), (3, false));
        assert!(message.contains("malformed"), "{message}");
    }
    assert_eq!((door.taken(), door.meter.requests_bad.load(Relaxed)), (0, 5));
}

#[tokio::test]
async fn oversize_is_413_declared_or_not_and_bombs_too() {
    let door = Door::with(Config { request_bytes_max: 1 << 16, ..Config::default() });
    let big = vec![10; 100_000];
    let (status, _, answer) = door.post("/v1/traces", PROTOBUF, "identity", big.clone()).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(status_of(PROTOBUF, &answer).0, 3);
    let chunks =
        futures_util::stream::iter((0..10).map(|_| Ok::<_, std::io::Error>(vec![10; 9_000])));
    let request = Request::post("/v1/traces")
        .header(header::CONTENT_TYPE, PROTOBUF)
        .body(axum::body::Body::from_stream(chunks))
        .expect("request");
    assert_eq!(door.http(request).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    let request = Request::post("/v1/traces")
        .header(header::CONTENT_TYPE, PROTOBUF)
        .header(header::CONTENT_LENGTH, 1u64 << 40)
        .body(axum::body::Body::from_stream(futures_util::stream::pending::<
            Result<Vec<u8>, std::io::Error>,
        >()))
        .expect("request");
    assert_eq!(door.http(request).await.0, StatusCode::PAYLOAD_TOO_LARGE, "before it is read");
    let door = Door::new();
    for encoding in ["gzip", "zstd", "deflate"] {
        let bomb = compressed(encoding, &vec![0; 50 << 20]);
        let (status, ..) = door.post("/v1/traces", PROTOBUF, encoding, bomb).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{encoding}");
    }
}

#[tokio::test]
async fn wrong_types_methods_and_paths() {
    let door = Door::new();
    let (status, headers, answer) = door.post("/v1/traces", "text/plain", "identity", vec![]).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(headers[header::CONTENT_TYPE], JSON);
    assert!(status_of(JSON, &answer).1.contains("application/x-protobuf"));
    let (status, ..) = door.post("/v1/traces", PROTOBUF, "br", vec![1]).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let get = Request::get("/v1/logs").body(axum::body::Body::empty()).expect("request");
    let (status, headers, _) = door.http(get).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(headers[header::ALLOW], "POST");
    let (status, _, answer) = door.post("/v1/trace", PROTOBUF, "identity", vec![]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(status_of(PROTOBUF, &answer).1.contains("/v1/traces"));
}

#[tokio::test]
async fn what_ends_by_itself_is_503_with_one_second() {
    for why in [Refused::Busy, Refused::Disk, Refused::Failed, Refused::Closing] {
        for media in [PROTOBUF, JSON] {
            let door = Door::new();
            door.refuse(why);
            let body = in_form(media, &good());
            let (status, headers, answer) = door.post("/v1/traces", media, "identity", body).await;
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{why:?}");
            assert_eq!(headers[header::RETRY_AFTER], "1");
            let (code, _, retry) = status_of(media, &answer);
            assert_eq!((code, retry), (14, true), "{why:?} {media}");
            assert_eq!(door.meter.requests_refused.load(Relaxed), 1);
            assert_eq!(door.meter.spans.load(Relaxed), 0, "a repeat would count them again");
        }
    }
}

#[tokio::test]
async fn requests_in_flight_are_bounded() {
    let door = Door::with(Config { in_flight_bytes_max: 200, ..Config::default() });
    *door.log.delay.lock().expect("lock") = Duration::from_millis(300);
    let router = otlp::http_router(door.receiver.clone());
    let post = || {
        let request = Request::post("/v1/traces")
            .header(header::CONTENT_TYPE, PROTOBUF)
            .body(axum::body::Body::from(traces(vec![span(&[1; 16]); 3]).encode_to_vec()));
        router.clone().oneshot(request.expect("request"))
    };
    let (one, two) = tokio::join!(post(), post());
    let mut statuses = [one.expect("answer").status(), two.expect("answer").status()];
    statuses.sort();
    assert_eq!(statuses, [StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE]);
    assert_eq!(door.meter.in_flight_bytes.load(Relaxed), 0);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let door = Door::with(Config { body_timeout: Duration::from_millis(50), ..Config::default() });
    let never = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let request = Request::post("/v1/traces")
        .header(header::CONTENT_TYPE, PROTOBUF)
        .header(header::CONTENT_LENGTH, 100)
        .body(axum::body::Body::from_stream(never))
        .expect("request");
    assert_eq!(door.http(request).await.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn grpc_takes_traces_and_logs_in_each_compression() {
    let door = Door::new();
    let client = door.grpc().await;
    for compress in [None, Some(CompressionEncoding::Gzip), Some(CompressionEncoding::Zstd)] {
        let answer: ExportTraceServiceResponse =
            client.call(TRACE_EXPORT, good(), compress).await.expect("taken");
        assert_eq!(answer.partial_success, None);
        let answer: ExportLogsServiceResponse =
            client.call(LOGS_EXPORT, some_logs(), compress).await.expect("taken");
        assert_eq!(answer.partial_success, None);
    }
    assert_eq!(door.meter.spans.load(Relaxed), 6);
    assert_eq!(door.meter.log_records.load(Relaxed), 6);
    client.export(ExportTraceServiceRequest::default()).await.expect("empty is success");
}

#[tokio::test]
async fn grpc_partial_success_comes_compressed_when_asked() {
    let client = Door::new().grpc().await;
    let partial =
        client.export(half_good()).await.expect("taken").partial_success.expect("partial");
    assert_eq!(partial.rejected_spans, 1);
    assert!(partial.error_message.contains("empty_trace_id"));
}

#[tokio::test]
async fn grpc_never_answers_oversize_with_a_code_that_is_retried() {
    let door = Door::with(Config { request_bytes_max: 1 << 16, ..Config::default() });
    let client = door.grpc().await;
    let big = traces(vec![span(&[1; 16]); 3_000]);
    for compress in [None, Some(CompressionEncoding::Gzip), Some(CompressionEncoding::Zstd)] {
        let refused =
            client.call::<_, ExportTraceServiceResponse>(TRACE_EXPORT, big.clone(), compress);
        let status = refused.await.expect_err("too large");
        assert_eq!(status.code(), Code::InvalidArgument, "{compress:?}: {status}");
        assert!(status.message().contains("batch size"), "{status}");
    }
    assert_eq!(door.meter.in_flight_bytes.load(Relaxed), 0);
}

#[tokio::test]
async fn grpc_malformed_is_invalid_argument() {
    /// Bytes that decode as no OTLP request: field 1 as a varint, where a message is due.
    #[derive(Clone, PartialEq, Message)]
    struct Junk {
        #[prost(bytes = "vec", tag = "1")]
        junk: Vec<u8>,
    }
    let client = Door::new().grpc().await;
    let junk = Junk { junk: vec![0xff; 40] };
    let status = client
        .call::<_, ExportTraceServiceResponse>(TRACE_EXPORT, junk, None)
        .await
        .expect_err("malformed");
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert!(status.get_details_retry_info().is_none());
}

#[tokio::test]
async fn grpc_says_when_to_come_back_in_both_trailers() {
    for why in [Refused::Busy, Refused::Disk, Refused::Failed, Refused::Closing] {
        let door = Door::new();
        door.refuse(why);
        let status = door.grpc().await.export(good()).await.expect_err("refused");
        assert_eq!(status.code(), Code::Unavailable, "{why:?}");
        let info = status.get_details_retry_info().expect("grpc-status-details-bin");
        assert_eq!(info.retry_delay, Some(Duration::from_secs(1)));
        let own = status.metadata().get_bin("google.rpc.retryinfo-bin").expect("for Python");
        let own =
            tonic_types::pb::RetryInfo::decode(own.to_bytes().expect("base64")).expect("info");
        assert_eq!(own.retry_delay.expect("delay").seconds, 1);
    }
}

#[tokio::test]
async fn unknown_methods_are_unimplemented() {
    let client = Door::new().grpc().await;
    let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Import";
    let refused = client.call::<_, ExportTraceServiceResponse>(path, good(), None).await;
    assert_eq!(refused.expect_err("unknown").code(), Code::Unimplemented);
}

#[tokio::test]
async fn http_on_the_grpc_port_is_told_where_to_go() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let client = Door::new().grpc().await;
    let mut stream = tokio::net::TcpStream::connect(client.address).await.expect("connects");
    let request = b"POST /v1/traces HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n\
                    Content-Length: 2\r\nConnection: close\r\n\r\n{}";
    stream.write_all(request).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answer");
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("4318"), "{answer}");
}

#[tokio::test]
async fn a_drain_answers_what_is_under_way() {
    let door = Door::new();
    *door.log.delay.lock().expect("lock") = Duration::from_millis(300);
    let mut client = door.grpc().await;
    let stop = client.stop.take().expect("stop");
    let (answer, ()) = tokio::join!(client.export(good()), async {
        while door.taken() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.send(()).expect("serving");
    });
    assert_eq!(answer.expect("answered").partial_success, None);
    client.served.await.expect("ends");
}
