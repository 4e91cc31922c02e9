//! The API: JSON over HTTP under `/api/v1`, and the same over gRPC. It reads a published view,
//! and takes scores and assignments, which it acknowledges once they are in the log.

pub mod compare;
mod events;
mod find;
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
pub use http::http_router;
pub use openapi::openapi;
pub use outbox::{Items, OutboxItem, OutboxPage, Outgoing};
pub use status::{Status, status};
pub use twin::to_proto;

use crate::model::id::Nanos;
use crate::model::log::{Clock, Log};
use crate::model::meter::Meter;
use crate::model::view::{self, View};
use crate::normalize::Normalizer;
use arc_swap::ArcSwap;
use std::sync::Arc;

/// Answers a chart's query from the engine's windows.
pub type Series = Arc<dyn Fn(&SeriesQuery) -> view::Series + Send + Sync>;

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
    pub series: Series,
    /// What sinks get.
    pub outgoing: Outgoing,
}

/// Which windows a chart wants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SeriesQuery {
    /// The experiment.
    pub experiment: String,
    /// The call site; all when absent.
    pub site: Option<String>,
    /// The metric.
    pub metric: String,
    /// The arm; all when absent.
    pub arm: Option<String>,
    /// From this time on, nanoseconds.
    pub from: Nanos,
    /// Up to, without this time, nanoseconds.
    pub to: Nanos,
    /// Length of a window: whole minutes, nanoseconds.
    pub step: Nanos,
}

#[cfg(test)]
mod generated_tests;
#[cfg(test)]
pub(crate) mod tests;
