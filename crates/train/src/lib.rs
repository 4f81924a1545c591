//! Training of small masked diffusion language models and of sampler layers.
//!
//! A sampler layer lets a frozen model reveal several dependent tokens per forward pass. It is trained by knowledge
//! distillation: the frozen model is its teacher.
//!
//! | stage | entry | reads | writes |
//! |---|---|---|---|
//! | base model | [`train_base`] | the texts of a file, or of [`conjoint_corpus`] | a Dream checkpoint: `config.json`, `model.safetensors`, `tokenizer.json`, `tokenizer_config.json` |
//! | sampler layer | [`train_sampler`] | a checkpoint, a [`Teacher`](distillation::Teacher) that runs it, [`conjoint_trajectory::Trajectory`]s | `model.safetensors` with `drafter.*` |
//!
//! # Modules
//!
//! - [`base`]: masked diffusion training of a base model.
//! - [`distillation`]: training of the sampler layer, and the teachers.
//! - [`model`]: the networks and their checkpoints.
//! - [`run`]: what both kinds of training share. A run splits each batch over threads and devices. Muon and AdamW
//!   update the weights. A moving average of the weights is validated and saved.
//!
//! A run writes its state into its folder. An interrupted run resumes from there, and with a budget in steps it ends
//! at the same weights as an uninterrupted one. All random numbers depend on the seed and the step only.
//!
//! # Example
//!
//! ```
//! use conjoint_train::{BaseOptions, model::checkpoint, train_base};
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
//! let model = checkpoint::load(&options.run.dir, &Default::default())?;
//! assert_eq!(model.config().hidden_size, 16);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! - `wgpu`: [`DeviceKind::Wgpu`](run::DeviceKind::Wgpu), GPUs through Vulkan, Metal or DirectX 12. Tested only on
//!   llvmpipe, which is Vulkan on the processor.
//! - `cuda`: [`DeviceKind::Cuda`](run::DeviceKind::Cuda), NVIDIA GPUs. Not built so far: a build script among burn's
//!   own dependencies downloads LLVM from outside the package registry.

pub mod base;
pub mod distillation;
mod error;
mod files;
mod masking;
pub mod model;
pub mod run;

pub use base::{BaseOptions, train_base};
pub use distillation::{SamplerOptions, train_sampler};
pub use error::TrainError;
pub use masking::Window;
pub use run::{OptimizerOptions, RunOptions, RunSummary};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
