//! Conformance suites: the requirements on every strategy and every model, with one call each.
//!
//! ```
//! use conjoint_core::unmasker::{LearnedJoint, Marginal};
//! use conjoint_testkit::conformance;
//!
//! conformance::strategy("marginal", Marginal::default)?;
//! // A strategy that refines uses the sampler layer of the suite.
//! conformance::strategy("learned joint", || LearnedJoint::new(conformance::ProbeLayer))?;
//! # Ok::<(), conformance::Violation>(())
//! ```
//!
//! A suite detects a broken strategy, not a biased one. Use [`exact_law`](crate::exact_law) to
//! compute the law of a strategy.

mod case;
mod denoiser;
mod flaws;
mod move_limit;
mod probe;
mod probe_scorer;
mod replay;
mod sampler_layer;
mod session;
mod strategy;
mod violation;

pub use denoiser::denoiser;
pub use probe::ProbeLayer;
pub use probe_scorer::ProbeScorer;
pub use sampler_layer::sampler_layer;
pub use session::session;
pub use strategy::{Suite, strategy};
pub use violation::Violation;
