//! Over gRPC, on a real socket, with tonic's client.

use crate::support::*;
use armspan::log::LocalLog;
use armspan::model::{Body, Observation, Refused};
use armspan::otlp::{self, Config};
use axum::http::{HeaderMap, Request, Version};
use http_body_util::BodyExt;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tonic_types::StatusExt;
use tower::ServiceExt;

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

/// One request with hand-made framing, and the answer's head and body.
async fn raw(door: &Door, framed: Vec<u8>) -> (HeaderMap, Vec<u8>) {
    let request = Request::post(TRACE_EXPORT)
        .version(Version::HTTP_2)
        .header("content-type", "application/grpc+proto")
        .header("grpc-accept-encoding", "identity, gzip")
        .body(axum::body::Body::from(framed))
        .expect("request");
    let router = otlp::grpc_router(door.receiver.clone());
    let (parts, body) = router.oneshot(request).await.expect("infallible").into_parts();
    (parts.headers, body.collect().await.expect("body").to_bytes().to_vec())
}

fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u32).to_be_bytes();
    [&[flag][..], &length, message].concat()
}

#[tokio::test]
async fn answers_are_compressed_when_asked() {
    let (headers, body) = raw(&Door::new(), framed(0, &half_good().encode_to_vec())).await;
    assert_eq!(headers["grpc-encoding"], "gzip");
    assert_eq!(body[0], 1);
    let mut message = Vec::new();
    flate2::read::GzDecoder::new(&body[5..]).read_to_end(&mut message).expect("gzip");
    let answer = ExportTraceServiceResponse::decode(&message[..]).expect("response");
    assert_eq!(answer.partial_success.expect("partial").rejected_spans, 1);
}

#[tokio::test]
async fn bad_framing_is_invalid_argument() {
    let message = good().encode_to_vec();
    let whole = framed(0, &message);
    let twice = [whole.clone(), whole.clone()].concat();
    let longer = [&whole[..], b"x"].concat();
    let bad = [
        vec![],
        vec![0, 0],
        whole[..whole.len() - 1].to_vec(),
        twice,
        longer,
        framed(1, &message),
        framed(9, &message),
    ];
    for (at, body) in bad.into_iter().enumerate() {
        let (headers, _) = raw(&Door::new(), body).await;
        assert_eq!(headers["grpc-status"], "3", "case {at}");
    }
    // A length that nobody will send is refused before anything else is read.
    let (headers, _) = raw(&Door::new(), vec![0, 0xff, 0xff, 0xff, 0xff]).await;
    assert_eq!(headers["grpc-status"], "3");
    assert!(headers["grpc-message"].to_str().expect("text").contains("larger"));
}

#[tokio::test]
async fn what_is_answered_is_in_the_real_log() {
    let dir = tempfile::TempDir::new().expect("dir");
    let config = armspan::log::Config {
        dir: dir.path().to_owned(),
        segment_bytes: 1 << 16,
        queue_bytes_max: 32 << 20,
        disk_free_min: 0,
        accept_loss: false,
    };
    let opened = LocalLog::open(config, Arc::default()).expect("opens");
    let (log, _tail) = opened.start().expect("starts");
    let client = Door::around(Arc::new(log.clone())).grpc().await;
    let mut exports = Vec::new();
    for trace in 1..=40 {
        exports.push(client.export(traces(vec![span(&[trace; 16])])));
    }
    let answers = futures_util::future::join_all(exports).await;
    assert!(answers.iter().all(Result::is_ok));
    // Read while the log is open: what was answered does not depend on an orderly end.
    let mut seen = std::collections::BTreeSet::new();
    for entry in armspan::log::read(dir.path(), 0).expect("reads") {
        let Body::Batch(bytes) = entry.expect("entry").1.body else { panic!("a batch") };
        for observation in armspan::model::codec::Reader::new(&bytes) {
            if let Observation::Link(link) = observation.expect("readable") {
                seen.insert(link.place.trace.0);
            }
        }
    }
    assert_eq!(seen.len(), 40);
}
