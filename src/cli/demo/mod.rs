//! `armspan demo`: seeded traffic through the same path as production.

mod random;
pub mod scenario;
pub mod traffic;
mod wire;
