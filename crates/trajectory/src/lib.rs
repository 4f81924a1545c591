//! What a frozen diffusion language model writes one token at a time, and in which order: the data
//! that a joint sampler is trained on, and one-at-a-time samples to compare others with; and what a sampler
//! layer writes, to train it on states of its own.
//!
//! A [`Source`] is a numbered series of [`Trajectory`]s: [`Sampled`] by the model or a layer, or along given
//! [`Texts`]. A [`Store`] is a folder of Parquet files that hold them with the settings they were made with, and
//! a [`Plan`] makes those that a folder lacks. Trajectory i depends on nothing but the model, the settings and
//! i: neither on batches and files, nor on how many processes shared the work or how often they were
//! killed.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use conjoint_core::Denoiser;
//! use conjoint_testkit::{TabularDenoiser, TabularJoint};
//! use conjoint_trajectory::{Plan, Partition, Sampled, Source, Store};
//!
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let model: Arc<dyn Denoiser> = Arc::new(TabularDenoiser::new(TabularJoint::random(4, 3, 1.0, 0)?)?);
//! let source = Sampled::new(vec![vec![]], 4, 7, model.vocabulary())?;
//! let store = Store::claim(folder, source.settings().with("model", "a random joint"))?;
//! let portions = Partition { count: 100, ..Partition::default() };
//! Plan::new(&store, &source, &portions)?.run(&model, &mut ())?;
//!
//! let trajectories = store.read(None)?;
//! assert_eq!(trajectories.len(), 100);
//! assert_eq!(trajectories[0].canvas(4, 3), trajectories[0].tokens);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Reading a folder elsewhere
//!
//! `pandas.read_parquet(folder)` and its kin read all files of a folder as one table with columns `index`,
//! `prompt_len`, `tokens` and `order`, the last two lists; names that begin with `_` or `.` are passed over.

mod error;
mod plan;
mod settings;
mod shard;
mod source;
mod store;
mod trajectory;

pub use error::Error;
pub use plan::{Partition, Plan, ShardIndex};
pub(crate) use settings::SETTINGS;
pub use settings::{FolderSettings, digest};
pub use source::{GivenText, Sampled, Source, Texts};
pub use store::Store;
pub use trajectory::Trajectory;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
