//! One request out, one answer back, over gRPC or HTTP.

use super::args::{Args, Protocol};
use super::fresh::Source;
use super::template::Template;
use crate::model::Nanos;
use anyhow::{Context as _, Result};
use bytes::{Buf, Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::uri::PathAndQuery;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// How long an answer may take, as for most SDKs.
const ANSWER: Duration = Duration::from_secs(10);

/// A request before its bytes are made; sent again it has the same.
#[derive(Clone)]
pub struct Message {
    /// What it looks like.
    pub template: Arc<Template>,
    /// Where its fresh values come from.
    pub source: Arc<Source>,
    /// Its number.
    pub number: u64,
    /// When it was made.
    pub now: Nanos,
}

/// What the receiver said.
pub enum Answer {
    /// It has them, all but those that it rejected for good.
    Acknowledged { rejected: u64 },
    /// To come back later, or nothing at all.
    Later(String),
    /// No, and no again.
    Refused(String),
}

/// A connection over gRPC; over HTTP as many as are needed.
#[derive(Clone)]
pub enum Transport {
    /// tonic's.
    Grpc(Channel),
    /// reqwest's, and where to.
    Http(reqwest::Client, String),
}

// === impl Message ===

impl Message {
    fn render(&self, out: &mut impl bytes::BufMut) {
        self.template.render(&self.source, self.number, self.now, out);
    }
}

// === impl Transport ===

impl Transport {
    /// Does not connect yet.
    pub fn new(args: &Args) -> Result<Self> {
        let target = args.target();
        match args.protocol {
            Protocol::Grpc => {
                let endpoint = Endpoint::from_shared(target.to_owned());
                let endpoint = endpoint.with_context(|| format!("{target} is no URL"))?;
                Ok(Transport::Grpc(endpoint.timeout(ANSWER).connect_lazy()))
            }
            Protocol::Http => {
                let url = format!("{target}/v1/traces");
                url.parse::<http::Uri>().with_context(|| format!("{target} is no URL"))?;
                // A proxy would be measured, too.
                let client = reqwest::Client::builder().no_proxy().timeout(ANSWER).build()?;
                Ok(Transport::Http(client, url))
            }
        }
    }

    /// Sends once.
    pub async fn send(&self, message: Message) -> Answer {
        match self {
            Transport::Grpc(channel) => over_grpc(channel.clone(), message).await,
            Transport::Http(client, url) => over_http(client, url, &message).await,
        }
    }
}

async fn over_grpc(channel: Channel, message: Message) -> Answer {
    let mut client = tonic::client::Grpc::new(channel);
    if let Err(error) = client.ready().await {
        return Answer::Later(causes(&error));
    }
    let path = PathAndQuery::from_static(EXPORT);
    match client.unary(tonic::Request::new(message), path, Raw).await {
        Ok(answer) => acknowledged(answer.into_inner()),
        Err(status) => not_taken(&status),
    }
}

/// The codes of OTLP that mean "later"; and what is no answer, but a connection that broke.
fn not_taken(status: &Status) -> Answer {
    let later = matches!(
        status.code(),
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
    );
    let why = format!("{:?}: {}", status.code(), status.message());
    match later || status.source().is_some() {
        true => Answer::Later(why),
        false => Answer::Refused(why),
    }
}

async fn over_http(client: &reqwest::Client, url: &str, message: &Message) -> Answer {
    let mut body = BytesMut::with_capacity(message.template.len());
    message.render(&mut body);
    let request = client.post(url).header(CONTENT_TYPE, "application/x-protobuf");
    let answer = match request.body(body.freeze()).send().await {
        Ok(answer) => answer,
        Err(error) => return Answer::Later(causes(&error.without_url())),
    };
    let status = answer.status();
    let body = match answer.bytes().await {
        Ok(body) => body,
        Err(error) => return Answer::Later(causes(&error.without_url())),
    };
    match status.as_u16() {
        200 => acknowledged(body),
        429 | 502..=504 => Answer::Later(status.to_string()),
        _ => Answer::Refused(format!("{status}: {}", String::from_utf8_lossy(&body))),
    }
}

fn acknowledged(body: Bytes) -> Answer {
    match ExportTraceServiceResponse::decode(body) {
        Ok(answer) => {
            let rejected = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
            Answer::Acknowledged { rejected: u64::try_from(rejected).unwrap_or(0) }
        }
        Err(error) => Answer::Refused(format!("the answer is no OTLP: {error}")),
    }
}

/// An error with its causes.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Renders straight into the connection's buffer: one copy a request.
#[derive(Clone, Copy, Default)]
struct Raw;

// === impl Raw ===

impl Codec for Raw {
    type Encode = Message;
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
    type Item = Message;
    type Error = Status;

    fn encode(&mut self, message: Message, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.reserve(message.template.len());
        message.render(out);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, answer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(answer.copy_to_bytes(answer.remaining())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;

    #[test]
    fn codes_that_mean_later_are_those_of_otlp() {
        for code in [Code::Unavailable, Code::ResourceExhausted, Code::DeadlineExceeded] {
            assert!(matches!(not_taken(&Status::new(code, "x")), Answer::Later(_)), "{code:?}");
        }
        for code in [Code::InvalidArgument, Code::Unauthenticated, Code::Unimplemented] {
            assert!(matches!(not_taken(&Status::new(code, "x")), Answer::Refused(_)), "{code:?}");
        }
    }

    #[test]
    fn what_was_rejected_is_read_from_the_answer() {
        let partial = ExportTracePartialSuccess { rejected_spans: 3, error_message: "x".into() };
        let answer = ExportTraceServiceResponse { partial_success: Some(partial) };
        let answer = acknowledged(answer.encode_to_vec().into());
        assert!(matches!(answer, Answer::Acknowledged { rejected: 3 }));
        let whole = acknowledged(Bytes::new());
        assert!(matches!(whole, Answer::Acknowledged { rejected: 0 }));
        assert!(matches!(acknowledged(Bytes::from_static(b"<")), Answer::Refused(_)));
    }
}
