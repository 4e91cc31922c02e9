//! Composition: opens log and store, starts the engine's thread and the doors, drains.

pub mod clock;
pub mod fold;
