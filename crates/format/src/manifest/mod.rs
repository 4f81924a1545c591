//! `conjoint.json`: the description of an exported model.

mod graphs;
mod provenance;
mod read;

use serde::{Deserialize, Serialize};

pub use graphs::{Graphs, HeadTop, SamplerRows};
pub use provenance::Provenance;

use crate::blueprint::Blueprint;
use crate::dtype::DType;
use crate::family::Family;
use crate::operators::Operators;
use crate::quantisation::Quantisation;
use crate::tokens::SpecialTokens;

/// The description of an exported model: everything that its graphs do not define themselves.
///
/// An export writes it last. A folder with a manifest is therefore a complete export.
///
/// ```no_run
/// # fn main() -> Result<(), conjoint_format::FormatError> {
/// let manifest = conjoint_format::Manifest::read("models/tiny")?;
/// println!("{} ids, [MASK] is {}", manifest.vocab_size, manifest.tokens.mask);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[doc(alias = "conjoint.json")]
pub struct Manifest {
    /// Version of this file's layout: [`Manifest::FORMAT`].
    pub format: u32,
    /// The kind of model. It determines chat templates and defaults, not how the graphs are used.
    pub family: Family,
    /// V, the width of a row of logits. The tokenizer may have fewer ids.
    pub vocab_size: usize,
    /// D, the width of a hidden state.
    pub hidden_size: usize,
    /// Number of layers.
    pub layers: usize,
    /// Query heads of a layer.
    pub heads: usize,
    /// Key and value heads of a layer.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Inner width of a feed-forward block.
    pub ffn_size: usize,
    /// The longest sequence in the model's configuration, in tokens, including the prompt.
    ///
    /// Graphs with rotary positions accept any length, but the model has not been trained beyond this one.
    /// Graphs of BERT and ALBERT have a table of this many positions.
    #[doc(alias("context length", "max_position_embeddings"))]
    pub max_positions: usize,
    /// Special tokens.
    pub tokens: SpecialTokens,
    /// Element type of the checkpoint's embedding table. Inputs, outputs and activations are float32.
    pub dtype: DType,
    /// In how many bits the graphs store matrices; `None` if they use the checkpoint's own weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[doc(alias = "quantized")]
    pub quantised: Option<Quantisation>,
    /// Whether the hidden state of position i is that of the row at position i − 1, and position 0 keeps its own.
    pub shift: bool,
    /// B, the length of the attention blocks of a block-causal model; `None` for full attention.
    ///
    /// Blocks of B positions count from position 0. A position attends to all positions of its own block and of
    /// earlier blocks. The last block of a sequence may be shorter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[doc(alias("block diffusion", "bd3lm", "block_size", "bd_size"))]
    pub attention_block: Option<usize>,
    /// Which ONNX operators the graphs are made of.
    pub operators: Operators,
    /// File names of the graphs.
    pub graphs: Graphs,
    /// File of the tokenizer's vocabulary, if there is one: `tokenizer.json`, `vocab.json` with a `merges.txt`,
    /// or `vocab.txt`.
    pub tokenizer: Option<String>,
    /// The origin of the export.
    pub provenance: Provenance,
}

impl Manifest {
    /// The manifest of a model with fused operators, and without tokenizer and provenance.
    #[doc(hidden)]
    pub fn new(blueprint: &Blueprint, tokens: SpecialTokens, dtype: DType, graphs: Graphs) -> Self {
        Self {
            format: Self::FORMAT,
            family: blueprint.family,
            vocab_size: blueprint.vocab_size,
            hidden_size: blueprint.hidden_size,
            layers: blueprint.layers,
            heads: blueprint.heads,
            kv_heads: blueprint.kv_heads,
            head_dim: blueprint.head_dim,
            ffn_size: blueprint.ffn_size,
            max_positions: blueprint.max_positions,
            tokens,
            dtype,
            quantised: None,
            shift: blueprint.shift,
            attention_block: blueprint.attention_block,
            operators: Operators::default(),
            graphs,
            tokenizer: None,
            provenance: Provenance::default(),
        }
    }
}
