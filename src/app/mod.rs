//! Composition: opens log and store, starts the engine's thread and the doors, drains.

pub mod clock;
mod doors;
pub mod driver;
pub mod export;
pub mod files;
pub mod fold;
pub mod folder;
mod grpc;
mod mend;
pub mod open;
mod overlay;
mod record;
pub mod replay;
mod save;
pub mod server;
pub mod telemetry;
mod tenants;
mod web;

/// By what a snapshot can be read: the version of the bytes of state.
pub fn state_version() -> String {
    format!("state-{}", crate::engine::STATE_VERSION)
}
