//! The least that receiving over gRPC costs: an endpoint that drops the bytes, on one thread.
//! `cargo run --release --example ceiling -- PORT` takes any OTLP request and acknowledges it;
//! nothing is decoded or kept.

use bytes::{Buf, BufMut, Bytes};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::task::{Context, Poll};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Response, Status};

type Answer<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

const MESSAGE_BYTES_MAX: usize = 64 << 20;
const STREAM_WINDOW: u32 = 8 << 20;
const CONNECTION_WINDOW: u32 = 32 << 20;
const FRAME_BYTES_MAX: u32 = 1 << 20;

/// Drops what comes.
#[derive(Clone, Copy)]
struct Sink;

/// Bytes as they are.
#[derive(Clone, Copy, Default)]
struct Raw;

// === impl Sink ===

impl tonic::server::UnaryService<Bytes> for Sink {
    type Response = Bytes;
    type Future = Answer<Response<Bytes>, Status>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        drop(std::hint::black_box(request));
        Box::pin(async { Ok(Response::new(Bytes::new())) })
    }
}

impl tower::Service<http::Request<tonic::body::Body>> for Sink {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Answer<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        Box::pin(async move {
            let grpc = tonic::server::Grpc::new(Raw);
            Ok(grpc.max_decoding_message_size(MESSAGE_BYTES_MAX).unary(Sink, request).await)
        })
    }
}

impl tonic::server::NamedService for Sink {
    const NAME: &'static str = "opentelemetry.proto.collector.trace.v1.TraceService";
}

// === impl Raw ===

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, input: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(input.copy_to_bytes(input.remaining())))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let port = std::env::args().nth(1).and_then(|text| text.parse::<u16>().ok());
    let Some(port) = port else {
        eprintln!("usage: ceiling PORT");
        return ExitCode::from(2);
    };
    let served = tonic::transport::Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_BYTES_MAX)
        .add_service(Sink)
        .serve(([127, 0, 0, 1], port).into())
        .await;
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("port {port}: {error}");
            ExitCode::FAILURE
        }
    }
}
