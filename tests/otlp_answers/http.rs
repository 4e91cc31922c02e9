//! Over HTTP.

use crate::support::*;
use armspan::model::Refused;
use armspan::otlp::{self, Config};
use axum::http::{Request, StatusCode, header};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tower::ServiceExt;

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
