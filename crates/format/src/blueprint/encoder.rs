//! The structure of encoders of the BERT family.

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::error::FormatError;

/// An encoder with bidirectional attention, LayerNorms, and a small network before the output layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoder {
    pub names: &'static EncoderNames,
    /// E, the width of the embedding table and of the output layer's matrix.
    pub embedding_size: usize,
    /// Rows of the table of token types. All tokens are of the first type.
    pub token_types: Option<usize>,
    pub order: NormOrder,
    pub norm_eps: f32,
    /// Activation of the feed-forward networks.
    pub activation: Activation,
    pub head_activation: Activation,
    /// Whether the feed-forward networks multiply the activation by a second half of the first matrix's output.
    pub gated: bool,
    pub biases: Biases,
    pub stack: Stack,
}

/// Which linear maps and norms have biases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Biases {
    pub attention: bool,
    pub ffn: bool,
    pub norms: bool,
    /// Of the head's dense map.
    pub head: bool,
    pub output: bool,
}

impl Biases {
    pub const ALL: Self =
        Self { attention: true, ffn: true, norms: true, head: true, output: true };
}

/// Whether a layer normalises before or after attention and feed-forward network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormOrder {
    /// x + f(norm(x)). The first layer has no norm before its attention, because the embedding is normalised.
    Before,
    /// norm(x + f(x)).
    After,
}

/// The order of the layers, and the span of their attention.
#[derive(Debug, Clone, PartialEq)]
pub enum Stack {
    /// Each layer once, with global attention.
    Plain,
    /// `groups` groups of `inner` layers. Each layer of the model applies one of the groups.
    Shared { groups: usize, inner: usize },
    /// Each layer once, some with local attention.
    Windowed(Windows),
}

/// Layers with rotary positions that attend to all positions, or to those at most `window` away.
#[derive(Debug, Clone, PartialEq)]
pub struct Windows {
    pub window: usize,
    /// θ of layers with global attention.
    pub global_theta: f32,
    /// θ of layers with local attention.
    pub local_theta: f32,
    pub local: LocalLayers,
}

/// Which layers have local attention.
#[derive(Debug, Clone, PartialEq)]
pub enum LocalLayers {
    /// All but layers 0, n, 2 n, …
    AllButEvery(usize),
    /// Those marked true.
    Marked(Vec<bool>),
}

/// The positions that a layer attends to, and their encoding.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AttentionSpan {
    /// All positions. Their encoding is part of the embedding.
    Everything,
    /// All positions, with rotary embedding of this θ.
    Rotary(f32),
    /// Positions at most `window` away, with rotary embedding.
    Window { window: usize, theta: f32 },
}

impl Encoder {
    /// The attention span of layer `number`.
    pub fn attention_span(&self, number: usize) -> AttentionSpan {
        let Stack::Windowed(Windows { window, global_theta, local_theta, local }) = &self.stack
        else {
            return AttentionSpan::Everything;
        };
        let is_local = match local {
            LocalLayers::AllButEvery(n) => !number.is_multiple_of(*n),
            LocalLayers::Marked(local) => local.get(number).copied().unwrap_or(false),
        };
        match is_local {
            true => AttentionSpan::Window { window: *window, theta: *local_theta },
            false => AttentionSpan::Rotary(*global_theta),
        }
    }
}

/// The projections to queries, keys and values: three matrices, or one.
#[derive(Debug, Clone, PartialEq)]
pub enum Qkv<T> {
    Each([T; 3]),
    Joint(T),
}

/// Names of an encoder's tensors, without `.weight` and `.bias`.
#[derive(Debug, PartialEq)]
pub struct EncoderNames {
    pub embed: &'static str,
    /// The table of learned positions.
    pub positions: Option<&'static str>,
    pub token_types: &'static str,
    pub embed_norm: &'static str,
    /// The map from the embedding's width to the layers' width.
    pub mapping: Option<&'static str>,
    /// Prefix of a layer's number, or of a group's number.
    pub layers: &'static str,
    /// Between a group's number and the layer's number in the group.
    pub inner_layers: &'static str,
    pub qkv: Qkv<&'static str>,
    pub o: &'static str,
    pub attention_norm: &'static str,
    pub ffn_in: &'static str,
    pub ffn_out: &'static str,
    pub ffn_norm: &'static str,
    pub final_norm: Option<&'static str>,
    pub head_dense: &'static str,
    pub head_norm: &'static str,
    pub output: &'static str,
    /// A second name of the output layer's bias.
    pub output_bias: Option<&'static str>,
    /// Prefixes of tensors that masked language modelling does not use: buffers, and heads for other tasks.
    pub unused: &'static [&'static str],
}

/// The activation function between two linear maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Activation {
    /// x Φ(x), with Φ the normal distribution function.
    Gelu,
    /// GELU's approximation ½ x (1 + tanh(√(2/π) (x + 0.044715 x³))).
    GeluTanh,
    /// max(x, 0).
    Relu,
    /// x / (1 + e^−x).
    Silu,
}

impl Activation {
    /// Names in configurations. Several names of one function differ only in rounding.
    const NAMES: [(&str, Self); 9] = [
        ("gelu", Self::Gelu),
        ("gelu_python", Self::Gelu),
        ("gelu_new", Self::GeluTanh),
        ("gelu_fast", Self::GeluTanh),
        ("gelu_pytorch_tanh", Self::GeluTanh),
        ("gelu_python_tanh", Self::GeluTanh),
        ("relu", Self::Relu),
        ("silu", Self::Silu),
        ("swish", Self::Silu),
    ];

    /// Reads an activation under `key`. `absent` is the architecture's default.
    pub(super) fn read(config: &Config, key: &str, absent: Self) -> Result<Self, FormatError> {
        let Some(value) = config.get(key) else { return Ok(absent) };
        let found = Self::NAMES.iter().find(|(name, _)| value.as_str() == Some(name));
        let names = || Self::NAMES.map(|(name, _)| name).join(", ");
        found
            .map(|(_, activation)| *activation)
            .ok_or_else(|| config.error(key, &format!("one of {}", names())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn activations_are_read_by_all_their_names() {
        let read = |value: Value| {
            Activation::read(&Config::of(json!({"act": value})), "act", Activation::Silu)
        };
        assert_eq!(read(json!("gelu")).unwrap(), Activation::Gelu);
        assert_eq!(read(json!("gelu_pytorch_tanh")).unwrap(), Activation::GeluTanh);
        assert_eq!(read(json!(null)).unwrap(), Activation::Silu);
        for other in [json!("quick_gelu"), json!("mish"), json!(3)] {
            let message = read(other.clone()).unwrap_err().to_string();
            assert!(message.contains(&format!("act is {other}")), "{message}");
            assert!(message.contains("gelu_new"), "{message}");
        }
    }
}
