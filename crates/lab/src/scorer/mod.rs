//! Autoregressive scorers by name.

mod open;
pub(crate) mod spec;

pub use spec::ScorerSpec;
