//! The binary.

#![forbid(unsafe_code)]

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    armspan::cli::run(&armspan::cli::args::Args::parse())
}
