//! Fuzzes `bodies::json`.
#![no_main]

// Each target uses one of them.
#[allow(dead_code)]
#[path = "../bodies/mod.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::json::run(bytes));
