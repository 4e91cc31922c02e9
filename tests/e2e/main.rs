//! The real binary, driven from outside: every door, every route, a kill in mid-stream.

mod agreement;
mod corpus;
mod crash;
// Not every answer is asked for here.
#[allow(dead_code)]
#[path = "../support/downstream.rs"]
mod downstream;
mod export;
#[path = "../support/figures.rs"]
mod figures;
mod forward;
mod gate;
mod pages;
mod payload;
mod server;
mod start;
