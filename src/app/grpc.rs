//! Everything that speaks gRPC on one port: OTLP, our own services, health and reflection.

use crate::api::{self, ApiState};
use crate::otlp::{self, Receiver};
use anyhow::{Context as _, Result};
use axum::Router;
use std::sync::Arc;
use tonic::service::Routes;
use tonic_health::ServingStatus;

/// Services that the health service speaks for; the empty name is the whole server.
const SERVICES: [&str; 6] = [
    "",
    "opentelemetry.proto.collector.trace.v1.TraceService",
    "opentelemetry.proto.collector.logs.v1.LogsService",
    "opentelemetry.proto.collector.metrics.v1.MetricsService",
    "armspan.v1.RunService",
    "armspan.v1.ScoreService",
];

/// All services as one router.
pub async fn router(receiver: Arc<Receiver>, state: ApiState) -> Result<Router> {
    let (reporter, health) = tonic_health::server::health_reporter();
    for service in SERVICES {
        reporter.set_service_status(service, ServingStatus::Serving).await;
    }
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(otlp::OTLP_DESCRIPTORS)
            .register_encoded_file_descriptor_set(api::proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let current = reflection().build_v1().context("descriptors for reflection")?;
    let older = reflection().build_v1alpha().context("descriptors for reflection")?;
    Ok(Routes::from(otlp::grpc_router(receiver))
        .add_service(health)
        .add_service(current)
        .add_service(older)
        .add_service(api::run_service(state.clone()))
        .add_service(api::score_service(state))
        .into_axum_router())
}
