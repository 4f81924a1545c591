//! The files of a masked diffusion language model, read and checked.
//!
//! A model's folder holds a Hugging Face checkpoint, an export of one, or both:
//!
//! - **A checkpoint** is a `config.json`, weights in `.safetensors` files, and the files of a tokenizer.
//!   [`Tables::read`] reads the parts of it that training a sampler layer needs.
//! - **An export** adds ONNX graphs and a `conjoint.json`. [`Manifest::read`] reads the latter,
//!   [`Manifest::problems`] checks the folder against it, and [`Manifest::footprint`] estimates the memory that
//!   the model needs.
//!
//! [`WeightFile`] identifies a weight file by a checksum. ONNX Runtime is not needed. `conjoint-export` writes
//! exports, and `conjoint-onnx` runs them.
//!
//! # Example
//!
//! ```no_run
//! use conjoint_format::Manifest;
//!
//! # fn main() -> Result<(), conjoint_format::FormatError> {
//! let manifest = Manifest::read("models/tiny")?;
//! for problem in manifest.problems("models/tiny") {
//!     eprintln!("{problem}");
//! }
//! # Ok(())
//! # }
//! ```

mod check;
mod config;
mod dtype;
mod error;
mod family;
mod footprint;
mod graph_file;
mod header;
mod manifest;
mod operators;
mod products;
mod quantisation;
mod sampler_form;
mod tables;
mod tokens;
mod weight_file;

// Shared with `conjoint-export`. These modules are not part of the public interface, and may change in every
// release.
#[doc(hidden)]
pub mod blueprint;
#[doc(hidden)]
pub mod checkpoint;
#[doc(hidden)]
pub mod lock;
#[doc(hidden)]
pub mod names;
#[doc(hidden)]
pub mod path_check;
#[doc(hidden)]
pub mod proto;
#[doc(hidden)]
pub mod quantised_weights;
#[doc(hidden)]
pub mod weights;

#[doc(inline)]
pub use blueprint::Activation;
pub use dtype::DType;
pub use error::FormatError;
pub use family::Family;
pub use footprint::Footprint;
pub use manifest::{Graphs, HeadTop, Manifest, Provenance, SamplerRows};
#[doc(inline)]
pub use names::MANIFEST;
pub use operators::Operators;
pub use products::Products;
pub use quantisation::Quantisation;
pub use sampler_form::SamplerForm;
pub use tables::{HeadTables, HeadTransform, LayerSizes, Tables};
pub use tokens::{GivenTokens, SpecialTokens, TokenName};
pub use weight_file::WeightFile;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
