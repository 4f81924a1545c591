//! The laws that every strategy and every model must obey, as one call each.
//!
//! ```
//! use conjoint_core::unmasker::{LearnedJoint, Marginal};
//! use conjoint_testkit::conformance;
//!
//! conformance::strategy("marginal", Marginal::default)?;
//! // A strategy that refines brings the suite's own sampler layer.
//! conformance::strategy("learned joint", || LearnedJoint::new(conformance::ProbeLayer))?;
//! # Ok::<(), conformance::Violation>(())
//! ```
//!
//! The suites find what is *broken*, not what is *biased*: which law a strategy samples is for
//! [`exact_law`](crate::exact_law) to say.

mod case;
mod denoiser;
mod flaws;
mod probe;
mod probe_scorer;
mod replay;
mod sampler_layer;
mod session;
mod strategy;
mod violation;
mod watch;

pub use denoiser::denoiser;
pub use probe::ProbeLayer;
pub use probe_scorer::ProbeScorer;
pub use sampler_layer::sampler_layer;
pub use session::session;
pub use strategy::{Suite, strategy};
pub use violation::Violation;
