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
#[path = "../support/load.rs"]
mod load;
mod pages;
mod payload;
// Not every help is needed in each test.
#[allow(dead_code)]
#[path = "../support/server.rs"]
mod server;
mod start;
