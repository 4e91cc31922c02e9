//! Forwarding: what downstream gets is what the client sent, byte for byte, and the client is
//! answered by both. Downstream is a server that notes what comes and answers as it is told.

use crate::downstream::{Downstream, Say};
use crate::support::*;
use armspan::model::{Refused, Secret};
use armspan::otlp::Signal;
use armspan::otlp::forward::{Config, Protocol};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::metrics::v1::*;
use opentelemetry_proto::tonic::collector::trace::v1::*;
use prost::Message;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tonic_types::StatusExt;

const METRICS_EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
const PROTOCOLS: [Protocol; 2] = [Protocol::Http, Protocol::Grpc];

/// The corpus has a request with data points.
fn some_metrics() -> ExportMetricsServiceRequest {
    let bytes = std::fs::read("tests/corpus/js/otel_contrib_openai/chat.metrics.pb");
    ExportMetricsServiceRequest::decode(&bytes.expect("corpus")[..]).expect("metrics")
}

/// A request with fields that no schema of ours has: in the request, in a span, at high numbers.
#[derive(Clone, PartialEq, Message)]
struct Newer {
    #[prost(bytes = "vec", tag = "1")]
    resource_spans: Vec<u8>,
    #[prost(string, tag = "4000")]
    unknown: String,
    #[prost(fixed64, tag = "77")]
    number: u64,
}

fn newer() -> Newer {
    let known = good().resource_spans[0].encode_to_vec();
    // A field 99 of ResourceSpans, length-delimited: tag, length, "new".
    let resource_spans = [&known[..], &[0x9a, 0x06, 3], b"new"].concat();
    Newer { resource_spans, unknown: "kept".into(), number: 7 }
}

fn at(downstream: &Downstream, protocol: Protocol) -> Config {
    Config { endpoint: downstream.url(), protocol, ..Config::default() }
}

async fn pair(protocol: Protocol) -> (Downstream, Door) {
    let downstream = Downstream::start().await;
    let door = Door::new().forwarding(&at(&downstream, protocol));
    (downstream, door)
}

#[tokio::test]
async fn grpc_goes_on_byte_for_byte() {
    for protocol in PROTOCOLS {
        let (downstream, door) = pair(protocol).await;
        let client = door.grpc().await;
        for compress in [None, Some(CompressionEncoding::Gzip), Some(CompressionEncoding::Zstd)] {
            let _: ExportTraceServiceResponse =
                client.call(TRACE_EXPORT, newer(), compress).await.expect("taken");
            let _: ExportLogsServiceResponse =
                client.call(LOGS_EXPORT, some_logs(), compress).await.expect("taken");
            let answer: ExportMetricsServiceResponse =
                client.call(METRICS_EXPORT, some_metrics(), compress).await.expect("taken");
            assert_eq!(answer.partial_success, None, "downstream uses data points");
        }
        let came = downstream.came();
        assert_eq!(came.len(), 9);
        for (number, request) in came.iter().enumerate() {
            let (signal, bytes) = match number % 3 {
                0 => (Signal::Traces, newer().encode_to_vec()),
                1 => (Signal::Logs, some_logs().encode_to_vec()),
                _ => (Signal::Metrics, some_metrics().encode_to_vec()),
            };
            assert_eq!((request.signal, &request.plain), (signal, &bytes), "{protocol:?} {number}");
            // gzip goes on as it came; zstd, which not every receiver has to know, does not.
            assert_eq!(request.gzip, (3..6).contains(&number), "{protocol:?} {number}");
        }
        assert_eq!(door.meter.spans.load(Relaxed), 6);
        assert_eq!(door.meter.in_flight_bytes.load(Relaxed), 0);
        let forwarded = door.forwarded();
        assert_eq!(forwarded, [[3, 0, 0]; 3]);
    }
}

#[tokio::test]
async fn http_goes_on_byte_for_byte_in_its_form() {
    for protocol in PROTOCOLS {
        let (downstream, door) = pair(protocol).await;
        let json = in_form(JSON, &good());
        let encodings = ["identity", "gzip", "zstd", "deflate"];
        for encoding in encodings {
            for (media, bytes) in [(PROTOBUF, newer().encode_to_vec()), (JSON, json.clone())] {
                let body = compressed(encoding, &bytes);
                let (status, _, _) = door.post("/v1/traces", media, encoding, body.clone()).await;
                assert_eq!(status, 200);
                let request = downstream.came().pop().expect("came");
                let is_json = media == JSON && protocol == Protocol::Http;
                let gzip = encoding == "gzip" && (media == PROTOBUF || is_json);
                assert_eq!((request.json, request.gzip), (is_json, gzip), "{media} {encoding}");
                if gzip {
                    assert_eq!(request.wire, body, "the very stream that came");
                }
                match media == JSON && !is_json {
                    false => assert_eq!(request.plain, bytes, "{media} {encoding} {protocol:?}"),
                    true => {
                        let decoded = ExportTraceServiceRequest::decode(&request.plain[..]);
                        assert_eq!(decoded.expect("protobuf"), good());
                    }
                }
            }
        }
        assert_eq!(downstream.came().len(), 8);
    }
}

#[tokio::test]
async fn only_configured_headers_go_on() {
    for protocol in PROTOCOLS {
        let downstream = Downstream::start().await;
        let headers = vec![Secret::new("authorization=Bearer t0ken"), Secret::new("X-Team=evals")];
        let config = Config { headers, ..at(&downstream, protocol) };
        let door = Door::new().forwarding(&config);
        let request = http::Request::post("/v1/traces")
            .header("content-type", PROTOBUF)
            .header("authorization", "Bearer of-the-client")
            .header("x-client", "secret")
            .body(good().encode_to_vec().into());
        let (status, _, _) = door.http(request.expect("request")).await;
        assert_eq!(status, 200);
        let came = downstream.came().pop().expect("came").headers;
        assert_eq!(came["authorization"], "Bearer t0ken");
        assert_eq!(came["x-team"], "evals");
        assert!(!came.contains_key("x-client"));
        assert!(came["user-agent"].to_str().expect("text").contains("armspan/"));
    }
}

/// Retryable errors: both doors say "come back in a second", and nothing is counted yet.
#[tokio::test]
async fn what_downstream_does_not_take_now_is_answered_retryably() {
    let faults = [Say::Later, Say::Unauthorized, Say::Cut, Say::Silent];
    for (protocol, say) in PROTOCOLS.into_iter().flat_map(|p| faults.map(|say| (p, say))) {
        let downstream = Downstream::start().await;
        let timeout = armspan::model::settings::Span(200_000_000);
        let config = Config { timeout, ..at(&downstream, protocol) };
        let door = Door::new().forwarding(&config);
        downstream.say(&[say; 2]);
        let status = door.grpc().await.export(good()).await.expect_err("refused");
        assert_eq!(status.code(), Code::Unavailable, "{protocol:?} {say:?}: {status}");
        let info = status.get_details_retry_info().expect("RetryInfo");
        assert_eq!(info.retry_delay, Some(Duration::from_secs(1)));
        let body = good().encode_to_vec();
        let (status, headers, body) = door.post("/v1/traces", PROTOBUF, "identity", body).await;
        assert_eq!((status.as_u16(), headers["retry-after"].as_bytes()), (503, &b"1"[..]));
        let (code, message, retry) = status_of(PROTOBUF, &body);
        assert!(code == 14 && retry && message.contains("downstream"), "{message}");
        assert!(!message.contains("127.0.0.1"), "where downstream is, is ours: {message}");
        assert_eq!((door.taken(), door.meter.spans.load(Relaxed)), (2, 0));
        assert_eq!(door.forwarded()[0], [0, 2, 0]);
        // It takes again: over gRPC after a time-out on a new connection.
        door.grpc().await.export(good()).await.expect("taken");
        assert_eq!(downstream.came().iter().filter(|came| came.said == Say::Ok).count(), 1);
        assert_eq!(door.meter.spans.load(Relaxed), 2);
    }
}

#[tokio::test]
async fn a_downstream_that_is_away_is_answered_retryably() {
    for protocol in PROTOCOLS {
        let endpoint = format!("http://127.0.0.1:{}", free_port());
        let config = Config { endpoint, protocol, ..Config::default() };
        let door = Door::new().forwarding(&config);
        let status = door.grpc().await.export(good()).await.expect_err("refused");
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().contains("refused"), "{status}");
        let answer: Result<ExportMetricsServiceResponse, _> =
            door.grpc().await.call(METRICS_EXPORT, some_metrics(), None).await;
        assert_eq!(answer.expect_err("refused").code(), Code::Unavailable);
    }
}

/// A permanent error is passed through, and is the end of the request: it is counted.
#[tokio::test]
async fn what_downstream_refuses_for_good_is_passed_through() {
    for protocol in PROTOCOLS {
        let (downstream, door) = pair(protocol).await;
        downstream.say(&[Say::Bad; 2]);
        let status = door.grpc().await.export(good()).await.expect_err("refused");
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().contains("no such tenant"), "{status}");
        assert!(status.get_details_retry_info().is_none());
        let (status, headers, body) =
            door.post("/v1/traces", JSON, "identity", in_form(JSON, &good())).await;
        assert_eq!((status.as_u16(), headers.contains_key("retry-after")), (400, false));
        let (code, message, retry) = status_of(JSON, &body);
        assert!(code == 3 && !retry && message.contains("no such tenant"), "{message}");
        assert_eq!((door.taken(), door.meter.spans.load(Relaxed)), (2, 4));
        assert_eq!(door.forwarded()[0], [0, 0, 2]);
    }
}

#[tokio::test]
async fn partial_successes_of_both_are_one() {
    for protocol in PROTOCOLS {
        let (downstream, door) = pair(protocol).await;
        let client = door.grpc().await;
        downstream.say(&[Say::Partial, Say::Partial, Say::Ok, Say::Partial]);
        let partial = client.export(good()).await.expect("taken").partial_success.expect("one");
        assert_eq!(partial.rejected_spans, 1);
        assert_eq!(partial.error_message, "downstream rejected 1: too old");
        let partial = client.export(half_good()).await.expect("taken").partial_success;
        let partial = partial.expect("both");
        assert_eq!(partial.rejected_spans, 2);
        let told = partial.error_message;
        assert!(told.starts_with("armspan: 1 empty_trace_id"), "{told}");
        assert!(told.ends_with("; downstream rejected 1: too old"), "{told}");
        // What we reject goes on, too: the request is whole.
        let partial = client.export(half_good()).await.expect("taken").partial_success;
        assert_eq!(partial.expect("ours").rejected_spans, 1);
        assert_eq!(downstream.came()[2].plain, half_good().encode_to_vec());
        let answer: ExportMetricsServiceResponse =
            client.call(METRICS_EXPORT, some_metrics(), None).await.expect("taken");
        let partial = answer.partial_success.expect("downstream's");
        assert_eq!((partial.rejected_data_points, &partial.error_message[..]), (1, "too old"));
    }
}

#[tokio::test]
async fn what_we_refuse_does_not_go_on() {
    for protocol in PROTOCOLS {
        let downstream = Downstream::start().await;
        let limited = armspan::otlp::Config {
            request_bytes_max: 1 << 12,
            ..armspan::otlp::Config::default()
        };
        let door = Door::with(limited).forwarding(&at(&downstream, protocol));
        let big = traces(vec![span(&[1; 16]); 500]).encode_to_vec();
        for (body, path) in [
            (vec![0xff; 40], "/v1/traces"),
            (vec![0xff; 40], "/v1/logs"),
            (vec![0xff; 40], "/v1/metrics"),
            (big, "/v1/traces"),
        ] {
            let (status, _, _) = door.post(path, PROTOBUF, "identity", body).await;
            assert!(status.is_client_error(), "{status}");
        }
        assert_eq!(downstream.came().len(), 0);
    }
}

#[tokio::test]
async fn a_log_that_refuses_is_answered_as_ever() {
    let (_downstream, door) = pair(Protocol::Http).await;
    door.refuse(Refused::Disk);
    let status = door.grpc().await.export(good()).await.expect_err("refused");
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("disk"), "{status}");
}

#[tokio::test]
async fn signals_that_are_not_named_stay_here() {
    let downstream = Downstream::start().await;
    let config = Config { signals: vec![Signal::Logs], ..at(&downstream, Protocol::Http) };
    let door = Door::new().forwarding(&config);
    let client = door.grpc().await;
    client.export(good()).await.expect("taken");
    let answer: ExportMetricsServiceResponse =
        client.call(METRICS_EXPORT, some_metrics(), None).await.expect("taken");
    assert!(answer.partial_success.expect("not used").error_message.contains("no metrics"));
    let _: ExportLogsServiceResponse =
        client.call(LOGS_EXPORT, some_logs(), None).await.expect("taken");
    assert_eq!(downstream.came().len(), 1);
    assert_eq!(downstream.came()[0].signal, Signal::Logs);
}

/// So many at once, over as many connections; the rest waits here.
#[tokio::test]
async fn downstream_is_not_flooded() {
    const AT_ONCE: usize = 64;
    let (downstream, door) = pair(Protocol::Http).await;
    downstream.say(&[Say::Slow; AT_ONCE]);
    let client = door.grpc().await;
    let all = async {
        let exports = (0..AT_ONCE + 20).map(|_| client.export(good()));
        futures_util::future::join_all(exports).await
    };
    let (answers, ()) = tokio::join!(all, async {
        while downstream.came().len() < AT_ONCE {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(downstream.came().len(), AT_ONCE);
    });
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(downstream.came().len(), AT_ONCE + 20);
}

/// A slow downstream is back-pressure: bytes that wait for it are in flight, and bounded.
#[tokio::test]
async fn what_waits_for_downstream_is_in_flight() {
    let downstream = Downstream::start().await;
    let limited = armspan::otlp::Config {
        request_bytes_max: 1 << 16,
        in_flight_bytes_max: 1 << 16,
        ..armspan::otlp::Config::default()
    };
    let door = Door::with(limited).forwarding(&at(&downstream, Protocol::Grpc));
    downstream.say(&[Say::Slow]);
    let client = door.grpc().await;
    let half = traces(vec![span(&[1; 16]); 1_000]);
    let bytes = half.encoded_len() as u64;
    assert!(bytes > 1 << 15, "two of them do not fit");
    let (first, second) = tokio::join!(client.export(half.clone()), async {
        while downstream.came().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // The frame goes on as it came: it is there once.
        let held = door.meter.in_flight_bytes.load(Relaxed);
        assert!((bytes..bytes + 64).contains(&held), "{held} of {bytes}");
        client.export(half.clone()).await
    });
    first.expect("taken in the end");
    let status = second.expect_err("full");
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("in flight"), "{status}");
    assert_eq!(door.meter.in_flight_bytes.load(Relaxed), 0);
}

/// A copy that is made for downstream is in flight, too.
#[tokio::test]
async fn a_frame_that_is_written_for_grpc_is_admitted() {
    let (downstream, door) = pair(Protocol::Grpc).await;
    downstream.say(&[Say::Slow]);
    let body = good().encode_to_vec();
    let bytes = body.len() as u64;
    let (answer, ()) = tokio::join!(door.post("/v1/traces", PROTOBUF, "identity", body), async {
        while downstream.came().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(door.meter.in_flight_bytes.load(Relaxed), 2 * bytes + 5);
    });
    assert_eq!(answer.0, 200);
}

/// A connection whose other end is gone without a word, as after a lost route: only the time-out
/// can tell, and the next request takes another one.
#[tokio::test]
async fn a_dead_connection_is_left_after_one_time_out() {
    let downstream = Downstream::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
    let address = listener.local_addr().expect("address");
    let to = downstream.url().replace("http://", "");
    tokio::spawn(async move {
        let (_dead, _) = listener.accept().await.expect("accepted");
        loop {
            let (mut from, _) = listener.accept().await.expect("accepted");
            let mut to = tokio::net::TcpStream::connect(&to).await.expect("connected");
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut from, &mut to).await });
        }
    });
    let config = Config {
        endpoint: format!("http://{address}"),
        timeout: armspan::model::settings::Span(300_000_000),
        ..at(&downstream, Protocol::Grpc)
    };
    let door = Door::new().forwarding(&config);
    let client = door.grpc().await;
    let status = client.export(good()).await.expect_err("dead");
    assert!(status.message().contains("in time"), "{status}");
    client.export(good()).await.expect("on another connection");
}
