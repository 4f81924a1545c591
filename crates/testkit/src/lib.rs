//! What proves a sampler of `conjoint` right: exactly where that can be computed, statistically
//! where it cannot, and by a conformance suite in any case.
//!
//! | module | what it gives | for |
//! |---|---|---|
//! | [`joint`] | [`TabularJoint`] | a joint law small enough to write down, and its conditionals |
//! | [`oracle`] | [`TabularDenoiser`] | a model that answers those conditionals |
//! | [`top_k_model`] | [`TopKModel`] | the same model or layer with only the top of each row known at first |
//! | [`refiner`] | [`ExactRefiner`], [`StaleRefiner`], [`NoisyRefiner`] | sampler layers on top of it, right and wrong |
//! | [`autoregressive`] | [`TabularAutoregressive`], [`ForgetfulAutoregressive`] | second models that read from left to right, right and wrong |
//! | [`influence`] | [`TabularInfluence`] | how strongly its positions depend on each other |
//! | [`enumerate`] | [`exact_law`], [`Enumerator`] | the law of a strategy over that model, every branch walked |
//! | [`law`] | [`Law`] | that law, and its distance to another |
//! | [`chi2`] | [`GoodnessOfFit`] | whether samples may come from a law, at a stated false-alarm rate |
//! | [`conformance`] | [`strategy`](conformance::strategy), [`denoiser`](conformance::denoiser), [`sampler_layer`](conformance::sampler_layer), [`session`](conformance::session) | the laws that every strategy and model must obey |
//!
//! Revealing two tokens at once draws them independently; on two coins that always agree, that is
//! wrong by a total variation of one half. A refinement between the draws makes it exact again:
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

pub mod autoregressive;
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

pub use autoregressive::{ForgetfulAutoregressive, TabularAutoregressive};
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
