//! Encoders of the BERT family: what their layers, embeddings and heads are made of.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{bert, modernbert};
use crate::config::Config;
use crate::error::ExportError;

/// An encoder whose layers see both ways, with LayerNorms and a head of its own before the output layer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Encoder {
    pub(crate) names: &'static EncoderNames,
    /// E, the width of the embedding table and of the output layer's matrix.
    pub(crate) embedding_size: usize,
    /// Rows of the table of token types. All tokens are of the first type.
    pub(crate) token_types: Option<usize>,
    pub(crate) order: NormOrder,
    pub(crate) norm_eps: f32,
    /// Of the feed-forward networks.
    pub(crate) activation: Activation,
    pub(crate) head_activation: Activation,
    /// Whether the feed-forward networks multiply the activation by a second half of the first matrix's output.
    pub(crate) gated: bool,
    pub(crate) biases: Biases,
    pub(crate) stack: Stack,
}

/// Which linear maps and norms are affine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Biases {
    pub(crate) attention: bool,
    pub(crate) ffn: bool,
    pub(crate) norms: bool,
    /// The head's dense map.
    pub(crate) head: bool,
    pub(crate) output: bool,
}

impl Biases {
    pub(crate) const ALL: Self =
        Self { attention: true, ffn: true, norms: true, head: true, output: true };
}

/// Where a layer normalises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NormOrder {
    /// x + f(norm(x)). The first layer does not normalise before its attention: the embedding is normalised already.
    Before,
    /// norm(x + f(x)).
    After,
}

/// Which layer comes when, and how far it sees.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Stack {
    /// Each layer once; all see everything.
    Plain,
    /// `groups` groups of `inner` layers; each of the model's layers is one of the groups.
    Shared { groups: usize, inner: usize },
    /// Each layer once; some see a window.
    Windowed(Windows),
}

/// Layers with rotary positions that see everything, or positions at most `window` away.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Windows {
    pub(crate) window: usize,
    /// θ of the layers that see everything, and of those that see a window.
    pub(crate) global_theta: f32,
    pub(crate) local_theta: f32,
    pub(crate) which: Which,
}

/// Which layers see a window.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Which {
    /// All but layers 0, n, 2 n, …
    AllButEvery(usize),
    /// Those marked.
    Local(Vec<bool>),
}

/// What a layer's attention sees, and how positions enter it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum AttentionSpan {
    /// Everything. Positions are part of the embedding.
    Everything,
    /// Everything, by rotary positions with this θ.
    Rotary(f32),
    /// Positions at most `window` away, by rotary positions.
    Window { window: usize, theta: f32 },
}

impl Encoder {
    /// What the attention of layer `number` sees.
    pub(crate) fn attention_span(&self, number: usize) -> AttentionSpan {
        let Stack::Windowed(Windows { window, global_theta, local_theta, which }) = &self.stack
        else {
            return AttentionSpan::Everything;
        };
        let local = match which {
            Which::AllButEvery(n) => !number.is_multiple_of(*n),
            Which::Local(local) => local.get(number).copied().unwrap_or(false),
        };
        match local {
            true => AttentionSpan::Window { window: *window, theta: *local_theta },
            false => AttentionSpan::Rotary(*global_theta),
        }
    }
}

/// Queries, keys and values: a map for each, or one for all of them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Qkv<T> {
    Each([T; 3]),
    Joint(T),
}

/// Names of an encoder's tensors, without `.weight` and `.bias`.
#[derive(Debug, PartialEq)]
pub(crate) struct EncoderNames {
    pub(crate) embed: &'static str,
    /// The tables of learned positions.
    pub(crate) positions: Option<&'static str>,
    pub(crate) token_types: &'static str,
    pub(crate) embed_norm: &'static str,
    /// From the embedding's width to the layers'.
    pub(crate) mapping: Option<&'static str>,
    /// What a layer's number follows; or a group's, in which what the layer's number follows comes next.
    pub(crate) layers: &'static str,
    pub(crate) inner_layers: &'static str,
    pub(crate) qkv: Qkv<&'static str>,
    pub(crate) o: &'static str,
    pub(crate) attention_norm: &'static str,
    pub(crate) ffn_in: &'static str,
    pub(crate) ffn_out: &'static str,
    pub(crate) ffn_norm: &'static str,
    pub(crate) final_norm: Option<&'static str>,
    pub(crate) head_dense: &'static str,
    pub(crate) head_norm: &'static str,
    pub(crate) output: &'static str,
    /// Another name of the output layer's bias.
    pub(crate) output_bias: Option<&'static str>,
    /// What names of tensors begin with that masked language modelling does not use: buffers, and heads for other tasks.
    pub(crate) unused: &'static [&'static str],
}

/// A function between two linear maps.
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
    /// Names in configurations. Those of one function differ in rounding alone.
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

    /// Reads a key; `absent` is the architecture's default.
    pub(super) fn read(config: &Config, key: &str, absent: Self) -> Result<Self, ExportError> {
        let Some(value) = config.get(key) else { return Ok(absent) };
        let found = Self::NAMES.iter().find(|(name, _)| value.as_str() == Some(name));
        let names = || Self::NAMES.map(|(name, _)| name).join(", ");
        found
            .map(|(_, activation)| *activation)
            .ok_or_else(|| config.error(key, &format!("one of {}", names())))
    }
}

/// Which encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    Bert,
    Albert,
    ModernBert,
}

impl Variant {
    /// Recognises a model by its `model_type` or else by its class; and a BERT of before there was either, which its tensors'
    /// names then confirm.
    pub(super) fn of(model_type: &str, class: Option<&str>, config: &Config) -> Option<Self> {
        let all = [Self::Bert, Self::Albert, Self::ModernBert];
        let found = match (model_type, class) {
            ("", Some(class)) => all.into_iter().find(|own| own.classes().contains(&class)),
            _ => all.into_iter().find(|own| own.model_type() == model_type),
        };
        let is_bare = model_type.is_empty() && class.is_none();
        let has = |keys: &[&str]| keys.iter().all(|key| config.get(key).is_some());
        let is_bert = || is_bare && has(&["type_vocab_size", "hidden_act", "layer_norm_eps"]);
        let kind = || if has(&["embedding_size"]) { Self::Albert } else { Self::Bert };
        found.or_else(|| is_bert().then(kind))
    }

    fn model_type(self) -> &'static str {
        match self {
            Self::Bert => "bert",
            Self::Albert => "albert",
            Self::ModernBert => "modernbert",
        }
    }

    /// Classes with a head for masked language modelling.
    pub(super) fn classes(self) -> &'static [&'static str] {
        match self {
            Self::Bert => bert::CLASSES,
            Self::Albert => &["AlbertForMaskedLM", "AlbertForPreTraining"],
            Self::ModernBert => &["ModernBertForMaskedLM"],
        }
    }

    pub(super) fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Bert => bert::KEYS,
            Self::Albert => bert::ALBERT_KEYS,
            Self::ModernBert => modernbert::KEYS,
        }
    }
}

/// The class in `architectures`, if it is given.
pub(super) fn class(config: &Config) -> Option<&str> {
    config.get("architectures").and_then(Value::as_array)?.first()?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn activations_are_known_by_all_their_names() {
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

    #[test]
    fn an_encoder_is_recognised_by_type_class_or_by_its_keys() {
        let of = |config: Value| {
            let config = Config::of(config);
            let model_type = config.get("model_type").and_then(Value::as_str).unwrap_or_default();
            Variant::of(model_type, class(&config), &config)
        };
        let bare = json!({"type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12});
        assert_eq!(of(json!({"model_type": "albert"})), Some(Variant::Albert));
        assert_eq!(of(json!({"architectures": ["BertForMaskedLM"]})), Some(Variant::Bert));
        assert_eq!(of(bare.clone()), Some(Variant::Bert));
        for (key, value) in [
            ("model_type", json!("roberta")),
            ("architectures", json!(["RobertaForMaskedLM"])),
            ("hidden_act", json!(null)),
        ] {
            let mut other = bare.clone();
            other[key] = value;
            assert_eq!(of(other.clone()), None, "{other}");
        }
    }
}
