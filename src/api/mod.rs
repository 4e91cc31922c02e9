//! The API: JSON over HTTP under `/api/v1`, and the same over gRPC. It reads a published view,
//! and takes scores and assignments, which it acknowledges once they are in the log.

mod events;
mod find;
mod gate;
mod grpc;
mod http;
mod intake;
mod openapi;
mod outbox;
mod problem;
mod status;
mod twin;

#[allow(missing_docs, clippy::all, clippy::unwrap_used)]
pub mod proto {
    //! Generated from `proto/armspan/v1`; `generated_tests` keeps it current.
    include!("generated/armspan.v1.rs");

    /// The encoded descriptors of `proto/armspan/v1`, for reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!("generated/descriptors.bin");
}

pub use grpc::{run_service, score_service};
pub use http::{ExperimentLine, ExperimentList, http_router};
pub use openapi::openapi;
pub use outbox::{Items, OutboxItem, OutboxPage, Outgoing};
pub use status::{Status, status};
pub use twin::to_proto;

use crate::model::log::{Clock, Log};
use crate::model::meter::Meter;
use crate::model::view::{AskSeries, View};
use crate::normalize::Normalizer;
use arc_swap::ArcSwap;
use std::sync::Arc;

/// What the API reads and writes.
#[derive(Clone)]
pub struct ApiState {
    /// What there is to see.
    pub view: Arc<ArcSwap<View>>,
    /// What the doors counted.
    pub meter: Arc<Meter>,
    /// Understands scores and assignments.
    pub normalizer: Arc<Normalizer>,
    /// Takes them.
    pub log: Arc<dyn Log>,
    /// Stamps them.
    pub clock: Arc<dyn Clock>,
    /// Charts.
    pub series: AskSeries,
    /// What sinks get.
    pub outgoing: Outgoing,
}

#[cfg(test)]
mod generated_tests;
#[cfg(test)]
pub(crate) mod tests;
