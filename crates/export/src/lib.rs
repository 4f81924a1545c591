//! Export of Hugging Face checkpoints of masked diffusion language models to ONNX graphs.
//!
//! [`export`] reads a checkpoint folder (`config.json` and `.safetensors` files), and writes two to five small
//! graphs and a manifest, by default into the same folder. ONNX Runtime is not needed.
//!
//! Weights are not copied: an initializer of a graph is external data at its offset in the checkpoint's own
//! `.safetensors` file. So a 15 GB model exports in well under a second, and is on disk once. There are three
//! exceptions: [pickled weights](#pickled-weights) are converted, [quantised](#precision) matrices are stored
//! anew, and files are copied [across file systems](#links).
//!
//! | file | inputs | output |
//! |---|---|---|
//! | `backbone.onnx` | `input_ids` i64 [B, T], `key_mask` bool [B, T] | `hidden` f32 [B, T, D] |
//! | `sampler.onnx` | `input_ids`, `key_mask`, `hidden` f32 [B, T, D] | `hidden_next` f32 [B, T, D] |
//! | `sampler-context.onnx`, `sampler-rows.onnx` | [`SamplerRows`] | instead of `sampler.onnx`, for passes [over rows](SamplerForm::Rows) |
//! | `head.onnx` | `hidden` f32 [B, T, D], `rows` i64 \[N\] | `logits` f32 [N, V] |
//! | `head-top.onnx`, [optional](ExportOptions::head_top) | [`HeadTop`] | the top tokens of each row, its mass and entropy |
//! | `conjoint.json` | | [`Manifest`] |
//!
//! B, T and N are free at run time.
//!
//! - **Row i is position i.** In some models, such as Dream, row i predicts position i + 1. Their states are
//!   shifted inside `backbone`: row i is the state at i − 1, and row 0 is the state at 0. The sampler layer
//!   takes and returns shifted states.
//! - **Padding** is on the right, where `key_mask` is false. No position attends to it. Rows of padding are
//!   finite and meaningless. All other rows are the same as without padding.
//! - **Rows of the head** are indices of the flattened B · T, in any order and number. Only these rows are
//!   multiplied by the V × D matrix, which takes most of the time of a sampler pass. One head serves both
//!   `backbone` and `sampler`.
//! - **Names of initializers** are those of the checkpoint's tensors, in every graph. So a runtime can share
//!   tensors that two graphs have in common, such as the embedding table.
//!
//! # Models
//!
//! - Decoders: Dream and its relatives, LLaDA, and masked diffusion models on Qwen2 or Qwen3. Supported are
//!   grouped keys and values, biases, normalised queries and keys, tied embeddings, and shards.
//! - Encoders with a head for masked language modelling: BERT, ALBERT and ModernBERT, without a second token
//!   type.
//! - A sampler layer, recognised by its tensors' names, `drafter.*`, in its own folder.
//!
//! An unknown architecture, an unsupported option, and a tensor that is missing, unused or of another shape are
//! errors. Each names its cause, before anything is written.
//!
//! An encoder's head has layers before the V × D matrix. They are part of `head.onnx`, so `hidden` is the
//! output of the encoder's last layer. Its sampler layer is a decoder layer, with norms before attention and
//! feed-forward network, rotary positions with θ = 10,000, ε = 1e-6, and the sizes of the encoder's layers. Its
//! input is the tokens' rows of the embedding table, without positions and types, in the width of the layers.
//!
//! # Pickled weights
//!
//! A `pytorch_model.bin` without `.safetensors` files beside it is converted, tensor by tensor: to
//! `model.safetensors` in another folder, and to `weights/model.safetensors` in the checkpoint's own. Python's
//! pickles are programs. The parser recognises the calls that `torch.save` writes, and runs nothing.
//!
//! # Precision
//!
//! Weights may be float32, float16 or bfloat16. The graphs cast them to float32 and compute in float32, which
//! every provider supports. ONNX Runtime casts once, on loading. So 16-bit matrices, except embedding tables,
//! need twice their size in memory.
//!
//! With [`ExportOptions::quantisation`], matrices are stored in 8 or 4 bits in a separate file, and keep this
//! form in memory; see [`Quantisation`]. [`Manifest::footprint`] computes the memory that an export needs.
//!
//! # Links
//!
//! ONNX Runtime opens external data only inside the model's folder. So files from other folders are hard-linked
//! into it: a sampler's file, and a checkpoint's when exporting to another folder or from a cache of symbolic
//! links. Across file systems they are copied, which [`ExportObserver::on_copy`] reports. A hard link shares
//! its bytes with the original. `onnx.checker` of the `onnx` package is stricter and rejects hard links too.
//!
//! # Repeated exports
//!
//! The manifest lists the [files that an export put into its folder](Provenance::exported_files). The next
//! export into the same folder replaces those that have not changed since, and removes those that it does not
//! need. All other files belong to the user. If one has a name that the export needs, and another content, that
//! is an error.
//!
//! Two exports into one folder run one after the other, where the system locks folders. An export that would
//! change nothing writes nothing, so a model can be opened at the same time.
//!
//! # Example
//!
//! ```no_run
//! use conjoint_export::{ExportOptions, Manifest, export};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! export(&ExportOptions::new("checkpoints/LLaDA-8B-Base"))?;
//! assert_eq!(Manifest::read("checkpoints/LLaDA-8B-Base")?.tokens.mask, 126336);
//! # Ok(())
//! # }
//! ```

mod build;
mod builder;
mod encoder;
mod error;
mod export;
mod exported_files;
mod graph;
mod graph_names;
mod head_top;
mod layout;
mod model;
mod observer;
mod operator_set;
mod options;
mod output;
mod packed;
mod pickle;
mod product;
mod quantise;
mod sampler_rows;
mod source;
mod staging;
mod store;
mod value;

#[cfg(test)]
mod graph_tests;

pub use conjoint_format::{
    Activation, DType, Family, Footprint, FormatError, GivenTokens, Graphs, HeadTables, HeadTop,
    HeadTransform, LayerSizes, MANIFEST, Manifest, Operators, Provenance, Quantisation,
    SamplerForm, SamplerRows, SpecialTokens, Tables, TokenName, WeightFile,
};
pub use error::ExportError;
pub use export::{export, export_observed};
pub use observer::ExportObserver;
pub use options::ExportOptions;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
