//! The pages.

pub mod human;
