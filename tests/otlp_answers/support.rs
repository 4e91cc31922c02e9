//! A fake log, both doors around it, requests, and readers of answers.

use armspan::model::{Appended, Body, Clock, Log, Meter, Position, Refused};
use armspan::normalize::Normalizer;
use armspan::otlp::{self, Config, Receiver, forward};
use axum::http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use opentelemetry_proto::tonic::collector::logs::v1::*;
use opentelemetry_proto::tonic::collector::trace::v1::*;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use std::io::Write;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tonic::Status;
use tonic::codec::CompressionEncoding;
use tower::ServiceExt;

/// A time at which the spans of these tests are young.
pub const NOW: u64 = 1_795_463_700_000_000_000;

#[derive(Default)]
pub struct FakeLog {
    pub refuses: Mutex<Option<Refused>>,
    pub taken: Mutex<Vec<Body>>,
    pub delay: Mutex<Duration>,
}

impl Log for FakeLog {
    fn append(&self, _: u64, body: Body) -> Appended {
        if let Some(why) = *self.refuses.lock().expect("lock") {
            return Appended::known(Err(why));
        }
        let mut taken = self.taken.lock().expect("lock");
        taken.push(body);
        let (position, delay) = (taken.len() as u64 - 1, *self.delay.lock().expect("lock"));
        Appended::of(async move {
            tokio::time::sleep(delay).await;
            Ok(position)
        })
    }

    fn depth(&self) -> (Position, u64) {
        (self.taken.lock().expect("lock").len() as u64, 0)
    }
}

pub struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> u64 {
        NOW
    }
}

/// The normaliser of these tests.
pub fn normalizer() -> Normalizer {
    Normalizer::new(armspan::normalize::Config::default())
}

pub struct Door {
    pub log: Arc<FakeLog>,
    pub meter: Arc<Meter>,
    pub receiver: Arc<Receiver>,
}

impl Door {
    pub fn new() -> Door {
        Door::with(Config::default())
    }

    pub fn with(config: Config) -> Door {
        let log = Arc::new(FakeLog::default());
        Door { log: log.clone(), ..Door::build(config, log) }
    }

    /// Around another log; the fake one stays unused.
    pub fn around(log: Arc<dyn Log>) -> Door {
        Door::build(Config::default(), log)
    }

    fn build(config: Config, log: Arc<dyn Log>) -> Door {
        let meter = Arc::new(Meter::default());
        let (normalizer, clock) = (Arc::new(normalizer()), Arc::new(FixedClock));
        let horizon = 7 * 86_400 * 1_000_000_000;
        let receiver = Receiver::new(config, normalizer, log, clock, meter.clone(), horizon);
        Door { log: Arc::default(), meter, receiver: Arc::new(receiver) }
    }

    /// The same, passing requests on.
    pub fn forwarding(self, config: &forward::Config) -> Door {
        assert_eq!(config.faults(), []);
        let to = forward::Forwarder::new(config, self.meter.clone()).expect("forwards");
        let receiver = Arc::into_inner(self.receiver).expect("nobody else has it");
        Door { receiver: Arc::new(receiver.forwarding(to)), ..self }
    }

    /// Requests sent on, by signal and outcome.
    pub fn forwarded(&self) -> [[u64; 3]; 3] {
        let counters = self.meter.forwarded.each_ref();
        counters.map(|signal| signal.each_ref().map(|count| count.load(Relaxed)))
    }

    pub fn taken(&self) -> usize {
        self.log.taken.lock().expect("lock").len()
    }

    pub fn refuse(&self, why: Refused) {
        *self.log.refuses.lock().expect("lock") = Some(why);
    }

    pub async fn http(
        &self,
        request: Request<axum::body::Body>,
    ) -> (StatusCode, HeaderMap, Vec<u8>) {
        let router = otlp::http_router(self.receiver.clone());
        let response = router.oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("body").to_bytes().to_vec();
        assert_eq!(self.meter.in_flight_bytes.load(Relaxed), 0, "all bytes are given back");
        (parts.status, parts.headers, body)
    }

    pub async fn post(
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
    pub async fn grpc(&self) -> Client {
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

pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("address").port()
}

pub struct Client {
    pub address: std::net::SocketAddr,
    pub channel: tonic::transport::Channel,
    pub stop: Option<tokio::sync::oneshot::Sender<()>>,
    pub served: tokio::task::JoinHandle<()>,
}

impl Client {
    pub async fn call<Q, A>(
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

    pub async fn export(
        &self,
        request: ExportTraceServiceRequest,
    ) -> Result<ExportTraceServiceResponse, Status> {
        self.call(TRACE_EXPORT, request, None).await
    }
}

pub const TRACE_EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
pub const LOGS_EXPORT: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

pub fn span(trace_id: &[u8]) -> Span {
    Span {
        trace_id: trace_id.to_vec(),
        span_id: vec![7; 8],
        name: "n".into(),
        start_time_unix_nano: NOW - 2_000_000_000,
        end_time_unix_nano: NOW - 1_000_000_000,
        ..Span::default()
    }
}

pub fn traces(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }],
    }
}

pub fn good() -> ExportTraceServiceRequest {
    traces(vec![span(&[1; 16]), span(&[2; 16])])
}

pub fn half_good() -> ExportTraceServiceRequest {
    traces(vec![span(&[1; 16]), span(&[])])
}

pub fn some_logs() -> ExportLogsServiceRequest {
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

pub fn in_form(media: &str, request: &ExportTraceServiceRequest) -> Vec<u8> {
    match media {
        JSON => serde_json::to_vec(request).expect("json"),
        _ => request.encode_to_vec(),
    }
}

pub const JSON: &str = "application/json";
pub const PROTOBUF: &str = "application/x-protobuf";

pub fn compressed(encoding: &str, bytes: &[u8]) -> Vec<u8> {
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
pub fn status_of(media: &str, body: &[u8]) -> (i32, String, bool) {
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
