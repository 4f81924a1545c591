//! Hugging Face checkpoints of masked diffusion language models as ONNX graphs.
//!
//! [`export`] reads a checkpoint folder (`config.json` and `.safetensors` files) and writes three
//! small graphs and a manifest beside it. No weights are copied, unless they are [pickled](#pickled-weights): an initializer of a graph is
//! external data at its offset in the checkpoint's own `.safetensors` file, so a 15 GB model
//! exports in well under a second and lies on disk once. ONNX Runtime is not needed for any of it.
//!
//! | file | inputs | output |
//! |---|---|---|
//! | `backbone.onnx` | `input_ids` i64 [B, T], `key_mask` bool [B, T] | `hidden` f32 [B, T, D] |
//! | `sampler.onnx` | `input_ids`, `key_mask`, `hidden` f32 [B, T, D] | `hidden_next` f32 [B, T, D] |
//! | `sampler-context.onnx`, `sampler-rows.onnx` | [`SamplerRows`] | instead of `sampler.onnx`, for passes [over rows](SamplerForm::Rows) |
//! | `head.onnx` | `hidden` f32 [B, T, D], `rows` i64 \[N\] | `logits` f32 [N, V] |
//! | `head-top.onnx`, if [asked for](ExportOptions::head_top) | [`HeadTop`] | the top of each row, its mass and entropy |
//! | `conjoint.json` | | [`Manifest`] |
//!
//! B, T and N are free at run time.
//!
//! - **Row i is position i.** Models whose row i predicts position i + 1, such as Dream, are
//!   shifted inside `backbone`: row i is the state at i − 1, and row 0 is the state at 0. The
//!   sampler layer takes and returns shifted states.
//! - **Padding** is on the right: `key_mask` is false there, and nobody attends to it. Rows of
//!   padding come out finite and mean nothing. Every other row equals what it is without padding.
//! - **Rows of the head** index the flattened B · T, in any order and number. The V × D matrix,
//!   which takes most of a sampler pass, meets only the rows asked for; one head serves both
//!   `backbone` and `sampler`.
//! - **One name, one tensor.** An initializer has its checkpoint's name in every graph, so that a
//!   runtime can share what two graphs hold in common, such as the embedding table.
//!
//! # Models
//!
//! Dream and its relatives, LLaDA, and masked diffusion models on Qwen2 or Qwen3, with grouped
//! keys and values, biases, normalised queries and keys, tied embeddings, and shards; and encoders
//! with a head for masked language modelling, BERT, ALBERT and ModernBERT, without a second token
//! type. A sampler layer is found by its tensors' names, `drafter.*`, in a folder of its own or among its base
//! model's. An unknown architecture, an option that the graphs do not implement, and a tensor
//! that is missing, misshapen or left over are errors that name it, before anything is written.
//!
//! An encoder's head has layers of its own before the V × D matrix. They are in `head.onnx`, so that
//! `hidden` is what the encoder's last layer gives. Its sampler layer is a decoder layer all the same:
//! with norms before attention and feed-forward network, rotary positions with θ = 10,000, ε = 1e-6, and
//! the sizes of the encoder's layers. It is given the tokens' rows of the embedding table, without
//! positions and types, in the width of the layers.
//!
//! # Pickled weights
//!
//! A `pytorch_model.bin` without `.safetensors` files beside it is converted, tensor by tensor, to
//! `model.safetensors` in another folder, and to `weights/model.safetensors` in the checkpoint's own.
//! Python's pickles are programs. They are read by a parser that knows what `torch.save` writes, and nothing
//! of them is run.
//!
//! # Precision
//!
//! Weights may be float32, float16 or bfloat16. The graphs cast them to float32 and compute in
//! float32 throughout, which every provider can; ONNX Runtime does the casts once, on loading,
//! so 16-bit weights take twice their size in memory. A half-precision graph for a device would
//! leave out the casts of matrices, so that `Gemm` and attention run in the weights' own type,
//! keep norms, rotary angles, softmax and logits in float32, and pass `hidden` in 16 bits, which
//! the manifest would have to say.
//!
//! With [`ExportOptions::quantisation`] matrices are stored in 8 or 4 bits instead, in a file of their own, and stay so in memory; see
//! [`Quantisation`]. [`Manifest::footprint`] says how much memory an export takes.
//!
//! # Links
//!
//! ONNX Runtime opens external data only inside the model's folder. A sampler's file, and a
//! checkpoint's when exporting to another folder or from a cache of symbolic links, is therefore
//! hard-linked into it, or copied across file systems ([`ExportObserver`] is told). A hard link shares its bytes with the original. `onnx.checker` of the `onnx` package is
//! stricter and refuses hard links too.
//!
//! # Exports of an export
//!
//! The manifest lists the files that an export [brought](Provenance::brought) into its folder. The next export into the same folder
//! replaces those that are still as they were left, and removes those that it has no use for. All other files are the user's: one
//! that is in the way and differs is an error. Two exports into one folder take turns, where the system locks folders. An export
//! that would change nothing touches nothing, so that a model can be opened meanwhile.
//!
//! # Example
//!
//! ```no_run
//! use conjoint_export::{ExportOptions, Manifest, export};
//!
//! # fn main() -> Result<(), conjoint_export::ExportError> {
//! export(&ExportOptions::new("checkpoints/LLaDA-8B-Base"))?;
//! assert_eq!(Manifest::read("checkpoints/LLaDA-8B-Base")?.tokens.mask, 126336);
//! # Ok(())
//! # }
//! ```

mod blueprint;
mod brought;
mod check;
mod checkpoint;
mod config;
mod encoder;
mod encoder_weights;
mod error;
mod export;
mod floats;
mod folder;
mod footprint;
mod graph;
mod head_top;
mod header;
mod layout;
mod manifest;
mod model;
mod observer;
mod operators;
mod pickle;
mod product;
mod proto;
mod quantise;
mod quantised;
mod sampler_form;
mod sampler_rows;
mod sniff;
mod store;
mod tables;
mod tokens;
mod weight_file;
mod weights;

#[cfg(test)]
mod sanity;

pub use blueprint::Activation;
pub use error::ExportError;
pub use export::{ExportOptions, export, export_observed};
pub use footprint::Footprint;
pub use manifest::{DType, Family, Graphs, HeadTop, MANIFEST, Manifest, Provenance, SamplerRows};
pub use observer::ExportObserver;
pub use operators::Operators;
pub use quantise::Quantisation;
pub use sampler_form::SamplerForm;
pub use tables::{HeadTables, HeadTransform, LayerSizes, Tables};
pub use tokens::{GivenTokens, SpecialTokens, TokenName};
pub use weight_file::WeightFile;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
