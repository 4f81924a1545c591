//! Whole strategies: what goes together, the conformance suite, presets and revocation.

#[path = "../common/mod.rs"]
mod common;

mod combinations;
mod conformance;
mod presets;
mod revocation;
