//! Trajectories of masked diffusion language models: texts, with the order in which their tokens were revealed.
//!
//! A sampler layer is trained on trajectories that the frozen model samples one token at a time. They also serve as a
//! reference set for evaluations. A layer can be trained on trajectories that it drew itself, too.
//!
//! - A [`Source`] is a numbered series of [`Trajectory`]s: [`Sampled`] by the model or a layer, or along given [`Texts`].
//! - A [`Store`] is a folder of Parquet files that hold trajectories and their settings.
//! - A [`Plan`] makes the trajectories that a folder lacks.
//!
//! Trajectory i depends only on the model, the settings and i. It does not depend on batches, on files, on the number of
//! processes that share the work, or on interruptions.
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
//! let partition = Partition { count: 100, ..Partition::default() };
//! Plan::new(&store, &source, &partition)?.run(&model, &mut ())?;
//!
//! let trajectories = store.read(None)?;
//! assert_eq!(trajectories.len(), 100);
//! assert_eq!(trajectories[0].canvas(4, 3), trajectories[0].tokens);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Reading a folder elsewhere
//!
//! Readers of Parquet folders, such as `pandas.read_parquet(folder)`, return one table with the columns `index`,
//! `prompt_len`, `tokens` and `order`; the last two are lists. These readers ignore names that begin with `_` or `.`.

mod error;
mod plan;
mod settings;
mod shard;
mod sources;
mod store;
mod trajectory;

pub use error::Error;
pub use plan::{Partition, Plan, ShardIndex};
pub use settings::{FolderSettings, digest};
pub use sources::{GivenText, Sampled, Source, Texts};
pub use store::Store;
pub use trajectory::Trajectory;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
