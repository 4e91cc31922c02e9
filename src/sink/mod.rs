//! Where figures and run records go out: `/metrics`, and JSONL files.

pub mod jsonl;
pub mod prometheus;
