//! Masked diffusion language models and their sampler layers on ONNX Runtime, for `conjoint`.
//!
//! [`OnnxDenoiser`] runs a folder that `conjoint export` wrote as a
//! [`Denoiser`](conjoint_core::Denoiser), [`OnnxSamplerLayer`] the sampler layer that goes with it.
//! Only the rows that are asked for meet the output layer, hidden states stay on the device from
//! the model to the last sampler pass, and a model and its sampler layers share one output layer.
//!
//! ONNX Runtime itself is not linked: a library is loaded at run time, which [`runtime`] finds, and
//! fetches if asked to.
//!
//! ```no_run
//! use conjoint_core::{Generator, schedule::TokensPerStep, unmasker::LearnedJoint};
//! use conjoint_onnx::{ExecutionProvider, OnnxDenoiser, runtime};
//!
//! runtime::ensure()?; // programs may fetch ONNX Runtime, libraries leave it to them
//! let model = OnnxDenoiser::open("models/tiny", ExecutionProvider::Cpu)?;
//! let sampler = model.sampler_layer()?;
//! let generator = Generator::new(model)
//!     .unmasker(LearnedJoint::new(sampler))
//!     .schedule(TokensPerStep::new(4)?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | feature | what it adds |
//! |---|---|
//! | `cuda` | [`ExecutionProvider::Cuda`] |
//! | `tensorrt` | [`ExecutionProvider::TensorRt`], and `cuda` |

mod answer;
mod autoregressive;
mod batch;
mod denoiser;
mod error;
mod head;
mod hidden;
mod memory;
mod options;
mod provider;
mod regroup;
mod row_sampler;
pub mod runtime;
mod sampler;
mod session;
mod stats;

pub use autoregressive::OnnxAutoregressive;
pub use conjoint_export::Manifest;
pub use denoiser::OnnxDenoiser;
pub use error::Error;
pub use memory::available as available_memory;
pub use options::{HeadChoice, OnnxOptions};
pub use provider::ExecutionProvider;
pub use sampler::OnnxSamplerLayer;
pub use stats::{Calls, RuntimeStats};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
