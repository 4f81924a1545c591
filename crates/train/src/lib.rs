//! Training of small masked diffusion language models, and of the sampler layer that lets a frozen one
//! reveal several dependent tokens per forward.
//!
//! | stage | entry | reads | writes |
//! |---|---|---|---|
//! | base model | [`base::train_base`] | texts of [`conjoint_corpus`] | a Dream checkpoint: `config.json`, `model.safetensors`, `tokenizer.json` |
//! | sampler layer | [`distillation::train_sampler`] | that checkpoint, a [`teacher::Teacher`], [`conjoint_trajectory::Trajectory`]s of its own | `model.safetensors` with `drafter.*` |
//!
//! Both run the same [`trainer`]: batches are split over threads, Muon and AdamW take the step
//! ([`options::OptimizerOptions`]), an average of the weights is what is validated and saved, and the run's folder
//! holds a checkpoint from which an interrupted run continues as if nothing had happened. All
//! random numbers depend on the seed and the step alone.
//!
//! # Example
//!
//! ```
//! use conjoint_train::base::{BaseOptions, train_base};
//!
//! # let dir = tempfile::tempdir()?;
//! let mut options = BaseOptions { hidden_size: 16, layers: 1, intermediate_size: 24, ..Default::default() };
//! # options.validation_rows = 2;
//! # options.run.progress = false;
//! options.run.dir = dir.path().join("run");
//! options.run.max_steps = Some(3);
//! let summary = train_base(&options)?;
//! assert_eq!(summary.tokens, 3 * 32 * 48);
//!
//! let model = conjoint_train::checkpoint::load(&options.run.dir, &Default::default())?;
//! assert_eq!(model.config().hidden_size, 16);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! - `wgpu`: [`devices::DeviceKind::Wgpu`], GPUs through Vulkan, Metal or DirectX 12. So far run on llvmpipe alone,
//!   which is Vulkan on the processor.
//! - `cuda`: [`devices::DeviceKind::Cuda`], NVIDIA GPUs. Not built so far: a build script among burn's own
//!   dependencies for it fetches LLVM from outside the package registry.

mod atomic;
pub mod base;
mod candidates;
mod chain;
pub mod checkpoint;
pub mod config;
mod dashboard;
pub mod decoder;
pub mod devices;
pub mod disk_cache;
pub mod distill;
pub mod distillation;
pub mod divergence;
pub mod dream;
mod error;
mod figures;
pub mod head;
mod identity;
mod json;
pub mod log;
mod masked_diffusion;
mod masking;
pub mod onnx_teacher;
mod optimizer;
pub mod options;
pub mod params;
mod progress;
mod progressive;
pub mod row_passes;
pub mod sampler;
mod state;
mod tables;
pub mod teacher;
mod tensors;
#[cfg(test)]
mod testing;
mod threads;
pub mod tokenizer;
pub mod trainer;
mod unrolling;
mod walk;
pub mod window;

pub use error::TrainError;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
