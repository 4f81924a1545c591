//! Tests for samplers of `conjoint`: exact laws over tabular joints, χ² tests of samples, and conformance suites.
//!
//! | module | main items | purpose |
//! |---|---|---|
//! | [`joint`] | [`TabularJoint`] | a joint law given as a table, and its conditionals |
//! | [`oracle`] | [`TabularDenoiser`] | the exact denoiser of a joint |
//! | [`cached`] | [`CachedDenoiser`] | that denoiser with a key-value cache that becomes stale |
//! | [`top_k_model`] | [`TopKModel`] | a model or layer that returns top-K rows |
//! | [`refiner`] | [`ExactRefiner`], [`StaleRefiner`], [`NoisyRefiner`] | sampler layers on that denoiser, right and wrong |
//! | [`autoregressive`] | [`TabularAutoregressive`], [`MarginalAutoregressive`] | second models that read from left to right, right and wrong |
//! | [`influence`] | [`TabularInfluence`] | the true influences between positions |
//! | [`enumerate`] | [`exact_law`], [`Enumerator`] | the law of a strategy over that denoiser, from every branch |
//! | [`law`] | [`Law`] | that law, and its distance from another |
//! | [`chi2`] | [`GoodnessOfFit`] | a χ² test of samples against a law, at a given false-alarm rate |
//! | [`conformance`] | [`strategy`](conformance::strategy), [`denoiser`](conformance::denoiser), [`sampler_layer`](conformance::sampler_layer), [`session`](conformance::session) | the requirements on every strategy and model |
//! | [`mismatch`] | [`first_mismatch`](mismatch::first_mismatch) | the first difference of two greedy decodes |
//!
//! # Check a strategy of your own
//!
//! [`conformance::strategy`] runs a strategy with many models, schedules and settings, and returns the first failed check:
//!
//! ```
//! use conjoint_core::{Error, Next, Unmasker, View};
//! use conjoint_testkit::conformance;
//!
//! /// Reveals the last candidate, one token a step.
//! #[derive(Clone)]
//! struct LastFirst;
//!
//! impl Unmasker for LastFirst {
//!     fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
//!         let last = view.rows().next_back().expect("a step has a candidate");
//!         let drawn = view.draw(last)?;
//!         view.reveal(last, drawn);
//!         Ok(Next::EndStep)
//!     }
//! }
//!
//! conformance::strategy("last first", || LastFirst)?;
//! # Ok::<(), conformance::Violation>(())
//! ```
//!
//! A strategy with a sampler layer uses [`conformance::ProbeLayer`] there. One with a second model uses
//! [`conformance::ProbeScorer`].
//!
//! Configure a [`conformance::Suite`] for a strategy that remasks positions, for one that queries rows with masked
//! positions, and for one with steps that reveal nothing.
//!
//! # Compute its law
//!
//! [`exact_law`] runs every branch of a strategy over a [`TabularDenoiser`], and returns the law of the output. Compare it
//! with the law that the strategy claims, here with the joint of the model:
//!
//! ```
//! # use conjoint_core::{Error, Next, Unmasker, View};
//! # #[derive(Clone)]
//! # struct LastFirst;
//! # impl Unmasker for LastFirst {
//! #     fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
//! #         let last = view.rows().next_back().expect("a step has a candidate");
//! #         let drawn = view.draw(last)?;
//! #         view.reveal(last, drawn);
//! #         Ok(Next::EndStep)
//! #     }
//! # }
//! use conjoint_core::{Canvas, Generator};
//! use conjoint_testkit::{TabularDenoiser, TabularJoint, exact_law};
//!
//! let joint = TabularJoint::random(3, 3, 0.5, 1)?;
//! let generator = Generator::new(TabularDenoiser::new(joint.clone())?).unmasker(LastFirst);
//! let law = exact_law(&generator, &Canvas::unconditional(3, joint.mask())?)?;
//! assert!(joint.total_variation(&law) < 1e-6);
//! # Ok::<(), conjoint_testkit::Error>(())
//! ```
//!
//! A test should also show that the distance detects a wrong strategy. Two tokens drawn independently differ from the joint.
//! On two coins that always agree, the total variation is 0.5. An exact sampler layer makes it 0:
//!
//! ```
//! use conjoint_core::schedule::TokensPerStep;
//! use conjoint_core::unmasker::{LearnedJoint, Marginal};
//! use conjoint_core::{Canvas, Generator};
//! use conjoint_testkit::{ExactRefiner, TabularDenoiser, TabularJoint, exact_law};
//!
//! let coins = TabularJoint::new(2, 2, &[0.5, 0.0, 0.0, 0.5])?;
//! let canvas = Canvas::unconditional(2, coins.mask())?;
//! let two = Generator::new(TabularDenoiser::new(coins.clone())?).schedule(TokensPerStep::new(2)?);
//!
//! let independent = exact_law(&two.clone().unmasker(Marginal::default()), &canvas)?;
//! assert!((coins.total_variation(&independent) - 0.5).abs() < 1e-6);
//! let joint = exact_law(&two.unmasker(LearnedJoint::new(ExactRefiner)), &canvas)?;
//! assert!(coins.total_variation(&joint) < 1e-6);
//! # Ok::<(), conjoint_testkit::Error>(())
//! ```
//!
//! The tests of `conjoint-core` in `crates/core/tests` prove the laws of its strategies in this way, one file for each.

pub mod autoregressive;
pub mod cached;
pub mod chi2;
pub mod conformance;
pub mod enumerate;
pub mod error;
pub mod influence;
pub mod joint;
pub mod law;
pub mod mismatch;
mod noise;
pub mod oracle;
pub mod refiner;
pub mod top_k_model;

pub use autoregressive::{MarginalAutoregressive, TabularAutoregressive};
pub use cached::CachedDenoiser;
pub use chi2::GoodnessOfFit;
pub use enumerate::{Enumerator, ReplayStream, exact_law};
pub use error::Error;
pub use influence::TabularInfluence;
pub use joint::TabularJoint;
pub use law::Law;
pub use oracle::TabularDenoiser;
pub use refiner::{ExactRefiner, NoisyRefiner, StaleRefiner};
pub use top_k_model::TopKModel;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
