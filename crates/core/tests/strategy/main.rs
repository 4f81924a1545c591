//! Whole strategies: the conformance suite at more parameters, presets and revocation.
//!
//! The tests of `conjoint-lab` run every strategy and every combination of its registry through the suite.

#[path = "../common/mod.rs"]
mod common;

mod conformance;
mod presets;
mod revocation;
