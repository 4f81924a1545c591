//! Names of strategies, comparisons and benchmarks for masked diffusion language models.
//!
//! | question | answer |
//! |---|---|
//! | what is called what, and how is a strategy of my own added? | [`registry`] |
//! | from what, and where, are tokens drawn? | [`Sampling`] |
//! | how do strategies compare in quality and cost? | [`comparison`] |
//! | how fast are they, and where does the time go? | [`mod@bench`] |
//! | what if I have no model of that size? | [`random_model`] |
//!
//! The `conjoint` command is a front end of this crate. A program of one's own can register a strategy and compare it with
//! the built-in ones:
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
//! A parameter that cannot be used is an [`Error`] with its name, its value and what would do. Nothing here prints; work
//! under way is shown through [`Progress`].

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
pub use error::Error;
pub use generation_config::{GenerationConfig, Recommended};
pub use model::{Model, ModelOptions};
pub use progress::Progress;
pub use registry::Registry;
pub use sampling::{Banned, Filters, Sampling, Stops};
pub use scorer::ScorerSpec;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
