//! The structure of a model: sizes, flags and tensor names, in the same form for every architecture.

use super::encoder::Encoder;
use crate::family::Family;

/// The structure of a model, and of the decoder layers that it or its sampler layer consists of.
///
/// A decoder layer has bidirectional attention, RMS norms before attention and feed-forward network, split-half
/// RoPE and a gated FFN with SiLU.
#[derive(Debug, Clone, PartialEq)]
pub struct Blueprint {
    pub family: Family,
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub layers: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub ffn_size: usize,
    pub max_positions: usize,
    /// θ of decoder layers. The fields down to `qk_norm` are of decoder layers too.
    pub rope_theta: f32,
    pub norm_eps: f32,
    /// Whether the head multiplies by the embedding table.
    pub tied: bool,
    /// Whether q, k and v have biases.
    pub qkv_bias: Part,
    /// Whether q and k are normalised per head before RoPE.
    pub qk_norm: Part,
    /// Whether row i of the logits predicts position i + 1.
    pub shift: bool,
    /// B, the length of the attention blocks of a block-causal model; `None` for full attention.
    ///
    /// Blocks of B positions count from position 0. A position attends to all positions of its own block and of
    /// earlier blocks. The last block of a sequence may be shorter.
    pub attention_block: Option<usize>,
    pub body: Body,
    /// Defaults used where the configuration has no value, a sentence each.
    pub notes: Vec<String>,
}

/// What the caller knows of a model beyond its configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overrides {
    /// [`Blueprint::shift`]. `None` takes that of the architecture.
    pub shift: Option<bool>,
    /// The length of [attention blocks](Blueprint::attention_block); 0 for full attention. `None` takes that of
    /// the configuration.
    pub attention_block: Option<usize>,
}

/// The part of a model between the embedding table and the output layer's matrix.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Decoder layers and a final norm, with these tensor names.
    Decoder(&'static Names),
    /// The layers and the head of an encoder of the BERT family.
    Encoder(Encoder),
}

/// Whether an architecture has an optional part of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Never,
    Always,
    /// In all layers, if the first one has its tensor.
    IfPresent,
}

impl Part {
    /// Whether the layers have it. `present` returns whether the first layer has its tensor.
    pub(crate) fn exists(self, present: impl FnOnce() -> bool) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::IfPresent => present(),
        }
    }
}

/// Names of an architecture's tensors, without `.weight` and `.bias`.
#[derive(Debug, PartialEq)]
pub struct Names {
    pub(crate) embed: &'static str,
    pub(crate) final_norm: &'static str,
    pub(crate) head: &'static str,
    /// Prefix of a layer's number.
    pub(crate) layers: &'static str,
    pub(crate) layer: LayerNames,
}

/// Names inside a decoder layer.
#[derive(Debug, PartialEq)]
pub struct LayerNames {
    pub(crate) attention_norm: &'static str,
    pub(crate) q: &'static str,
    pub(crate) k: &'static str,
    pub(crate) v: &'static str,
    pub(crate) o: &'static str,
    pub(crate) q_norm: &'static str,
    pub(crate) k_norm: &'static str,
    pub(crate) ffn_norm: &'static str,
    pub(crate) gate: &'static str,
    pub(crate) up: &'static str,
    pub(crate) down: &'static str,
}
