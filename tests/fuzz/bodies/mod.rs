//! What each fuzz target does with its bytes: the real code, and beside it an oracle that must
//! agree. `targets/` runs them under libFuzzer, `tests/fuzz_inputs.rs` in `cargo test`.

pub mod api;
pub mod config;
pub mod door;
pub mod inflate;
pub mod json;
pub mod log;
pub mod walk;
