//! A masked diffusion language model on a model server, over the Open Inference Protocol v2.
//!
//! The loop of `conjoint` runs here, and the forwards on a server that others may share: Triton, KServe, OpenVINO Model Server or
//! MLServer. The server's model maps token ids [B, T] to logits [B, T, V].
//!
//! ```no_run
//! use conjoint_core::unmasker::Marginal;
//! use conjoint_core::order::Entropy;
//! use conjoint_core::schedule::TokensPerStep;
//! use conjoint_core::{Canvas, Generator, Vocabulary};
//! use conjoint_remote::{RemoteDenoiser, RemoteOptions};
//!
//! let vocabulary = Vocabulary::new(32_000, 31_999)?;
//! let model = RemoteDenoiser::connect(RemoteOptions::new("http://localhost:8000", "dream"), vocabulary)?;
//! let generator = Generator::new(model).unmasker(Marginal::new(Entropy)).schedule(TokensPerStep::new(4)?);
//! let outputs = generator.run(vec![Canvas::unconditional(32, 31_999)?], &mut ())?;
//! # let _ = outputs;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A server that restarts does not end a run: a request is repeated while the server cannot be reached, for
//! [`patience`](RemoteOptions::patience). Forwards have no state on the server, so repeating one is safe.
//!
//! There is no sampler layer over the network: its passes are cheaper than a round trip. Strategies without one work, such as
//! exact sampling, `Marginal` under any policy, and the revisers.

mod client;
mod denoiser;
mod error;
mod options;
mod protocol;

pub use denoiser::RemoteDenoiser;
pub use error::RemoteError;
pub use options::RemoteOptions;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
