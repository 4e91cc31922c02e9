//! The real binary, driven from outside: every door, every route, a kill in mid-stream.

mod corpus;
mod crash;
mod export;
#[path = "../support/figures.rs"]
mod figures;
mod payload;
mod server;
mod start;
