//! armspan: an OpenTelemetry collector for online evals.
//!
//! Bytes of OTLP become observations (`otlp`, `normalize`), which are acknowledged once they are
//! in the log (`log`); the engine folds the log into tallies (`engine`), and everything outside
//! reads what it publishes. A module uses only lower floors; `tests/house.rs` enforces it.

#![forbid(unsafe_code)]

pub mod fail;

pub mod identify;
pub mod model;
pub mod normalize;
pub mod stats;

pub mod judge;

pub mod engine;

pub mod compare;

pub mod auth;

pub mod api;
pub mod log;
pub mod otlp;
pub mod sink;
pub mod store;
pub mod web;

pub mod app;
pub mod cli;
pub mod config;
