//! The tables of a frozen model that its sampler layer shares: the embedding and the output layer.

mod read;

use crate::blueprint::Activation;
use crate::tokens::SpecialTokens;

/// The sizes of a model's decoder layers, and its special tokens.
///
/// For an encoder, these are the sizes of its sampler layer, which is a decoder layer: those of the encoder's
/// layers, with θ = 10,000 and ε = 1e-6.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerSizes {
    /// V, the number of rows of the tables.
    pub vocab_size: usize,
    /// D, the width of the hidden states.
    pub hidden_size: usize,
    /// F, the inner width of the feed-forward network.
    pub ffn_size: usize,
    /// Number of query heads.
    pub heads: usize,
    /// Number of key and value heads.
    pub kv_heads: usize,
    /// The width of a head.
    pub head_dim: usize,
    /// The longest sequence, in tokens.
    pub max_positions: usize,
    /// θ of the rotary embedding.
    pub rope_theta: f32,
    /// ε under the root of each RMS norm.
    pub norm_eps: f32,
    /// Whether the projections to queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Special tokens.
    pub tokens: SpecialTokens,
}

/// The tables of a frozen model with which a sampler layer is trained.
#[doc(alias("embedding", "lm_head"))]
#[derive(Debug, Clone, PartialEq)]
pub struct Tables {
    /// Sizes of the model's layers.
    pub sizes: LayerSizes,
    /// The embedding, [V, D] in row-major order. A factorised embedding is multiplied out.
    pub embedding: Vec<f32>,
    /// The map from hidden states to logits.
    pub head: HeadTables,
}

/// The map from a hidden state x to logits: M t(x) + c.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadTables {
    /// t, from D to E. Without it, t(x) = x.
    pub transform: Option<HeadTransform>,
    /// M, [V, E] in row-major order; the embedding table where the two are tied.
    pub matrix: Vec<f32>,
    /// c, `[V]`.
    pub bias: Option<Vec<f32>>,
}

/// The network of an encoder's head before its output layer: t(x) = norm(f(W x + b)), with
/// norm(y) = (y − mean(y)) · g / √(var(y) + ε) + s.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadTransform {
    /// W, [E, D] in row-major order.
    pub dense: Vec<f32>,
    /// b, `[E]`.
    pub bias: Option<Vec<f32>>,
    /// f.
    pub activation: Activation,
    /// g, `[E]`.
    pub gain: Vec<f32>,
    /// s, `[E]`.
    pub shift: Option<Vec<f32>>,
    /// ε.
    pub eps: f32,
}
