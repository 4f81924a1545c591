//! Strategies by name, comparisons and benchmarks, for masked diffusion language models.
//!
//! | to … | use |
//! |---|---|
//! | make a strategy from its name, or register your own | [`registry`] |
//! | set filters, order, blocks, guidance and stops | [`Sampling`] |
//! | compare strategies in quality and cost | [`comparison`] |
//! | measure their speed, and where the time goes | [`mod@bench`] |
//! | get a model of any size with random weights | [`random_model`] |
//! | run a file of requests | [`requests`] |
//!
//! The `conjoint` command is a front end of this crate. Your own program can register a strategy and compare it with the
//! built-in ones:
//!
//! ```no_run
//! use conjoint::prelude::*;
//! use conjoint_lab::registry::UnmaskerEntry;
//! use conjoint_lab::{Comparison, Model, Registry};
//! # use conjoint::Error;
//!
//! /// Reveals the leftmost masked position.
//! #[derive(Clone)]
//! struct Leftmost;
//!
//! impl Unmasker for Leftmost {
//!     fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
//!         let drawn = view.draw(Row::candidate(0))?;
//!         view.reveal(Row::candidate(0), drawn);
//!         Ok(Next::EndStep)
//!     }
//! }
//!
//! conjoint::runtime::ensure()?; // finds ONNX Runtime, or fetches it
//! let own = UnmaskerEntry::new("leftmost", "one token, the leftmost", |_, _| Ok(Leftmost));
//! let registry = Registry::builtin().with_unmasker(own);
//!
//! let model = Model::open("models/tiny")?;
//! let lines = vec![registry.line("leftmost")?, registry.line("exact")?];
//! let report = Comparison::new(lines).run(&model, "runs/leftmost", &())?;
//! println!("{}", report.markdown());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! For an invalid parameter, functions return an [`Error`] that names the parameter, its value and the valid values. This crate
//! prints nothing: it reports progress through [`Progress`].

mod abbreviated;
pub mod bench;
pub mod comparison;
mod error;
pub mod files;
mod generation_config;
mod model;
mod progress;
pub mod prompt;
pub mod random_model;
pub mod registry;
pub mod requests;
mod sampling;
mod scorer;
pub mod text_files;

pub use abbreviated::abbreviated;
pub use bench::Bench;
pub use comparison::Comparison;
pub use error::{Error, reason};
pub use generation_config::{GenerationConfig, Recommended};
pub use model::{Model, ModelOptions};
pub use progress::Progress;
pub use registry::Registry;
pub use sampling::{Banned, Filters, Sampling, Stops};
pub use scorer::ScorerSpec;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
