//! The real binary, driven from outside: every door, every route, a kill in mid-stream.

mod corpus;
mod crash;
mod payload;
mod server;
mod start;
