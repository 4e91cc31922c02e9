//! Sends one request and waits for its answer, over HTTP or gRPC.

use super::answer::{self, Fault, Partial};
use super::{Config, Protocol};
use crate::model::Secret;
use crate::sink::Failure;
use crate::sink::http::{self, Auth};
use ::http::{HeaderName, HeaderValue};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use prost::Message;
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataKey, MetadataValue};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a request may take, its answer included.
const REQUEST: Duration = Duration::from_secs(60);

/// A request of either signal.
pub enum Request {
    /// Events.
    Logs(ExportLogsServiceRequest),
    /// Figures.
    Metrics(ExportMetricsServiceRequest),
}

/// Sends requests.
pub struct Client {
    way: Way,
    endpoint: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

enum Way {
    Http(reqwest::Client),
    /// Made at the first request, because a channel needs the runtime that it lives in.
    Grpc(Option<Channel>),
}

/// Name and value of a header `name=value`; the error does not show it.
pub fn header(text: &Secret) -> Result<(HeaderName, HeaderValue), &'static str> {
    let pair = text.reveal().and_then(|text| text.split_once('='));
    let (name, value) = pair.ok_or("write it as name=value")?;
    let name: HeaderName = name.trim().to_ascii_lowercase().parse().map_err(|_| "no such name")?;
    let mut value: HeaderValue = value.trim().parse().map_err(|_| "its value is no text")?;
    if name.as_str().ends_with("-bin") {
        return Err("names that end with -bin are for bytes");
    }
    value.set_sensitive(true);
    Ok((name, value))
}

fn channel(endpoint: &str) -> Result<Channel, tonic::transport::Error> {
    let mut to = Endpoint::from_shared(endpoint.to_owned())?;
    if endpoint.starts_with("https://") {
        to = to.tls_config(ClientTlsConfig::new().with_native_roots())?;
    }
    Ok(to.connect_timeout(CONNECT).timeout(REQUEST).connect_lazy())
}

// === impl Client ===

impl Client {
    /// Does not connect yet.
    pub fn new(config: &Config) -> Result<Client, Failure> {
        let way = match config.protocol {
            Protocol::Http => Way::Http(http::client()?),
            Protocol::Grpc => Way::Grpc(None),
        };
        let headers = config.headers.iter().map(header).collect::<Result<_, _>>();
        let headers = headers.map_err(|what| Failure::refused(format!("headers: {what}")))?;
        Ok(Client { way, endpoint: config.endpoint().to_owned(), headers })
    }

    /// Sends a request until it is answered; does not try again.
    pub async fn send(&mut self, request: Request) -> Result<(), Fault> {
        match &mut self.way {
            Way::Http(client) => {
                let client = client.clone();
                self.over_http(&client, request).await
            }
            Way::Grpc(channel_made) => {
                let channel = match channel_made {
                    Some(channel) => channel.clone(),
                    None => {
                        let made = channel(&self.endpoint);
                        let endpoint = &self.endpoint;
                        let failed = |error| Fault::Later(format!("{endpoint}: {error}"), None);
                        channel_made.insert(made.map_err(failed)?).clone()
                    }
                };
                self.over_grpc(channel, request).await
            }
        }
    }

    async fn over_http(&self, client: &reqwest::Client, request: Request) -> Result<(), Fault> {
        let (path, body) = match request {
            Request::Logs(request) => ("/v1/logs", request.encode_to_vec()),
            Request::Metrics(request) => ("/v1/metrics", request.encode_to_vec()),
        };
        let url = format!("{}{path}", self.endpoint);
        let what = format!("POST {url}");
        let mut request = client.post(url).header("content-type", "application/x-protobuf");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        match http::send(request.body(body), &Auth::None, &what).await {
            Ok(answer) => answer::http(&answer, &what),
            Err(failure) => Err(Fault::Later(failure.to_string(), None)),
        }
    }

    async fn over_grpc(&self, channel: Channel, request: Request) -> Result<(), Fault> {
        let of = |signal: &str| format!("{} {signal}", self.endpoint);
        match request {
            Request::Logs(request) => {
                let sent = LogsServiceClient::new(channel).export(self.headed(request)).await;
                let what = of("logs");
                let answer = sent.map_err(|status| answer::grpc(&status, &what))?.into_inner();
                let partial = answer.partial_success.map(|partial| Partial {
                    rejected: partial.rejected_log_records,
                    message: partial.error_message,
                });
                answer::partial(partial, &what)
            }
            Request::Metrics(request) => {
                let sent = MetricsServiceClient::new(channel).export(self.headed(request)).await;
                let what = of("metrics");
                let answer = sent.map_err(|status| answer::grpc(&status, &what))?.into_inner();
                let partial = answer.partial_success.map(|partial| Partial {
                    rejected: partial.rejected_data_points,
                    message: partial.error_message,
                });
                answer::partial(partial, &what)
            }
        }
    }

    fn headed<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        for (name, value) in &self.headers {
            let key = MetadataKey::<Ascii>::from_bytes(name.as_str().as_bytes());
            let value = MetadataValue::<Ascii>::try_from(value.as_bytes());
            // `header` has seen to it that both are texts.
            if let (Ok(key), Ok(value)) = (key, value) {
                request.metadata_mut().insert(key, value);
            }
        }
        request
    }
}
