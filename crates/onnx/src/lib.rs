//! Masked diffusion language models and their sampler layers on ONNX Runtime, for `conjoint`.
//!
//! [`OnnxDenoiser`] runs a model that `conjoint export` wrote as a [`Denoiser`](conjoint_core::Denoiser).
//! [`OnnxSamplerLayer`] runs its sampler layer. The output layer computes only the requested rows. Hidden
//! states stay on the device from the forward pass to the last sampler pass. A model and its sampler layers
//! share one output layer.
//!
//! ONNX Runtime is not linked but loaded at run time. The module [`runtime`] finds the library, and can fetch
//! it.
//!
//! ```no_run
//! use conjoint_core::{Generator, schedule::TokensPerStep, unmasker::LearnedJoint};
//! use conjoint_onnx::{ExecutionProvider, OnnxDenoiser, runtime};
//!
//! runtime::ensure()?; // finds ONNX Runtime, or fetches it; libraries leave this to programs
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

mod autoregressive;
mod backbone;
mod cached_session;
mod contexts;
mod denoiser;
mod error;
mod graph;
mod grouping;
mod head;
mod hidden;
mod layer_context;
mod layer_passes;
mod logit_rows;
mod memory;
mod options;
mod packing;
mod pool;
mod product_rate;
mod provider;
mod requests;
mod row_ops;
mod row_sampler;
pub mod runtime;
mod sampler;
mod sequence_sampler;
mod session;
mod shared;
mod stats;

pub use autoregressive::OnnxAutoregressive;
/// The files of a model, in a crate of their own: [`Manifest`] and [`FormatError`](format::FormatError) are
/// part of the interface.
pub use conjoint_format as format;
pub use conjoint_format::Manifest;
pub use denoiser::OnnxDenoiser;
pub use error::Error;
pub use memory::available as available_memory;
pub use options::{HeadChoice, OnnxOptions};
pub use product_rate::product_rate;
pub use provider::ExecutionProvider;
pub use sampler::OnnxSamplerLayer;
pub use stats::{Calls, RuntimeStats};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
