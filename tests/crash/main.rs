//! The real binary under faults: killed at random and at every named point, on failing disks,
//! with damaged files, under more load than it can take. What was acknowledged is there, once.

#![allow(clippy::print_stdout, reason = "the figures of long runs go into a table")]

mod damage;
mod disks;
mod kills;
#[path = "../support/load.rs"]
mod load;
mod overload;
// Not every answer is asked for here.
#[allow(dead_code)]
#[path = "../support/server.rs"]
mod server;
#[path = "../support/shim/mod.rs"]
mod shim;
mod upgrade;
mod world;
