//! Sends traffic as an exporter does: OTLP over gRPC.

use super::traffic::Sent;
use anyhow::{Context as _, Result, bail};
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use std::net::SocketAddr;
use tonic::transport::{Channel, Endpoint};

/// A connection to one listener.
pub struct Feed {
    traces: TraceServiceClient<Channel>,
    logs: LogsServiceClient<Channel>,
}

impl Feed {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Result<Feed> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
        let channel = endpoint.connect().await.context("cannot reach our own listener")?;
        let traces = TraceServiceClient::new(channel.clone());
        Ok(Feed { traces, logs: LogsServiceClient::new(channel) })
    }

    /// Sends a stretch of traffic, spans and scores side by side as two exporters do, and waits
    /// until it is acknowledged.
    pub async fn send(&mut self, sent: Sent) -> Result<()> {
        let Feed { traces, logs } = self;
        let spans = async {
            if !sent.traces.resource_spans.is_empty() {
                let answer = traces.export(sent.traces).await?.into_inner();
                if let Some(partial) = answer.partial_success {
                    bail!("some spans of the demo were refused: {}", partial.error_message);
                }
            }
            Ok(())
        };
        let scores = async {
            if !sent.logs.resource_logs.is_empty() {
                let answer = logs.export(sent.logs).await?.into_inner();
                if let Some(partial) = answer.partial_success {
                    bail!("some scores of the demo were refused: {}", partial.error_message);
                }
            }
            Ok(())
        };
        tokio::try_join!(spans, scores).map(drop)
    }
}
