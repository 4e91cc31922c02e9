//! No content leaks: canaries go through every dialect, door and error path of the real binary,
//! and are then searched for in everything that it wrote, logged, served or said.

mod canary;
mod commands;
mod doors;
mod panics;
mod run;
// Not every help of theirs is needed here.
#[allow(dead_code)]
#[path = "../support/server.rs"]
mod server;
