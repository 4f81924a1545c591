//! What a graph is built from: sizes, flags and tensor names, the same for every architecture.
//!
//! An architecture is one file here that reads its own `config.json` keys into a [`Blueprint`].
//! Nothing downstream asks which architecture it was, but for the two kinds of [`Body`].

mod bert;
mod encoder;
mod keys;
mod kin;
mod llada;
mod modernbert;
mod qwen;

pub use encoder::Activation;
pub(crate) use encoder::{AttentionSpan, Encoder, NormOrder, Qkv, Stack};

use serde_json::Value;

use crate::config::Config;
use crate::error::ExportError;
use crate::manifest::Family;

/// A model, and the decoder layers that it is made of or that its sampler layer has.
///
/// A decoder layer has bidirectional attention, RMS norms before attention and feed-forward network, split-half RoPE and a
/// gated FFN with SiLU.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Blueprint {
    pub(crate) family: Family,
    pub(crate) vocab_size: usize,
    pub(crate) hidden_size: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) ffn_size: usize,
    pub(crate) max_positions: usize,
    /// Of decoder layers, as are the parts below.
    pub(crate) rope_theta: f32,
    pub(crate) norm_eps: f32,
    /// The head multiplies by the embedding table.
    pub(crate) tied: bool,
    /// Whether q, k and v are affine.
    pub(crate) qkv_bias: Part,
    /// Whether q and k are normalised head by head before RoPE.
    pub(crate) qk_norm: Part,
    /// Row i of the logits predicts position i + 1.
    pub(crate) shift: bool,
    pub(crate) body: Body,
    /// What was taken where the configuration says nothing, a sentence each.
    pub(crate) notes: Vec<String>,
}

/// What lies between the embedding table and the output layer's matrix.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Body {
    /// Decoder layers and a norm, under these names.
    Decoder(&'static Names),
    /// The layers and the head of a BERT or its kin.
    Encoder(Encoder),
}

/// θ of the rotary positions of an encoder's sampler layer, which has none to take over.
const SAMPLER_THETA: f32 = 10_000.0;
/// ε of the norms of an encoder's sampler layer. BERT's own, 1e-12, is lost beside any square in float32.
const SAMPLER_EPS: f32 = 1e-6;

/// θ of the rotary embedding where the configuration gives none: the default of Transformers and of LLaDA's own code.
const DEFAULT_THETA: f64 = 10_000.0;

/// How a `config.json` is to be read.
enum Architecture {
    Llada,
    Qwen(qwen::Variant),
    Encoder(encoder::Variant),
}

impl Architecture {
    fn of(config: &Config) -> Result<Self, ExportError> {
        let model_type = config.get("model_type").and_then(Value::as_str).unwrap_or_default();
        let class = encoder::class(config);
        let encoder = encoder::Variant::of(model_type, class, config);
        // Models of other kinds have the type of their kin, such as LLaDA's mixture of experts.
        let expected = match (model_type, encoder) {
            ("llada", _) => &["LLaDAModelLM"],
            (kind, _) if kind.eq_ignore_ascii_case("dream") => &["DreamModel"],
            (_, Some(variant)) => variant.classes(),
            _ => class.as_slice(),
        };
        if class.is_some_and(|class| !expected.contains(&class)) {
            let kind = "a model of another class than the one that this type is exported for";
            return Err(keys::other_kind(config, "architectures", kind));
        }
        if model_type == "llada" {
            return Ok(Self::Llada);
        }
        if let Some(variant) = encoder {
            return Ok(Self::Encoder(variant));
        }
        let variant = qwen::Variant::of(model_type, config);
        variant.map(Self::Qwen).ok_or_else(|| ExportError::UnknownArchitecture {
            path: config.path.clone(),
            model_type: config.describe("model_type"),
            architectures: config.describe("architectures"),
        })
    }

    /// Keys of a `config.json` that are honoured.
    fn keys(&self) -> &'static [&'static str] {
        match self {
            Self::Llada => llada::KEYS,
            Self::Qwen(_) => qwen::KEYS,
            Self::Encoder(variant) => variant.keys(),
        }
    }
}

/// Whether an architecture has a part of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Never,
    Always,
    /// In all layers, if the first one has the tensor for it.
    IfPresent,
}

impl Part {
    /// Whether it is there; `present` says whether the first layer has its tensor.
    pub(crate) fn is_there(self, present: impl FnOnce() -> bool) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::IfPresent => present(),
        }
    }
}

/// Names of an architecture's tensors, without `.weight` and `.bias`.
#[derive(Debug, PartialEq)]
pub(crate) struct Names {
    pub(crate) embed: &'static str,
    pub(crate) final_norm: &'static str,
    pub(crate) head: &'static str,
    /// What a layer's number follows.
    pub(crate) layers: &'static str,
    pub(crate) layer: LayerNames,
}

/// Names inside a decoder layer.
#[derive(Debug, PartialEq)]
pub(crate) struct LayerNames {
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

impl Blueprint {
    /// Rejects a `config.json` that describes another kind of model, or holds a key that is not known. Keys in `ignored` pass.
    pub(crate) fn check_keys(config: &Config, ignored: &[String]) -> Result<(), ExportError> {
        let architecture = Architecture::of(config);
        let honoured = architecture.as_ref().map_or(&[][..], Architecture::keys);
        keys::reject_other_kinds(config, honoured)?;
        architecture?;
        keys::reject_unknown(config, honoured, ignored)
    }

    /// Rejects a model of the class of a causal one, in whose files no mask is named.
    pub(crate) fn reject_causal(config: &Config, names_mask: bool) -> Result<(), ExportError> {
        kin::reject_causal(config, names_mask)
    }

    /// Reads the architecture from a `config.json`. `shift`, if given, overrides its own.
    pub(crate) fn read(config: &Config, shift: Option<bool>) -> Result<Self, ExportError> {
        match Architecture::of(config)? {
            Architecture::Llada => llada::read(config, shift),
            Architecture::Qwen(variant) => qwen::read(config, variant, shift),
            Architecture::Encoder(encoder::Variant::Bert) => bert::read_bert(config, shift),
            Architecture::Encoder(encoder::Variant::Albert) => bert::read_albert(config, shift),
            Architecture::Encoder(encoder::Variant::ModernBert) => modernbert::read(config, shift),
        }
    }

    /// Rejects sizes that no sampler layer has. Those of decoders are checked on reading.
    pub(crate) fn check_sampler(&self, config: &Config) -> Result<(), ExportError> {
        if self.head_dim.is_multiple_of(2) {
            return Ok(());
        }
        let expected = "a number that leaves heads of an even width, for a sampler layer";
        Err(config.error("num_attention_heads", expected))
    }

    /// Every naming of a layer that occurs, for sampler checkpoints, which may use another than
    /// their base model. Those of the base model come first, of an encoder those that the trainer writes.
    pub(crate) fn layer_namings(&self) -> [&'static LayerNames; 3] {
        let own = match &self.body {
            Body::Decoder(names) => names,
            Body::Encoder(_) => &qwen::NAMES,
        };
        [&own.layer, &qwen::NAMES.layer, &llada::NAMES.layer]
    }
}

/// θ of the rotary embedding: the configuration's, or the default and a note that says so.
fn theta_or_default(theta: Option<f64>) -> (f32, Vec<String>) {
    let note = || {
        format!(
            "config.json gives no rope_theta: the default of the architecture is taken, {DEFAULT_THETA}"
        )
    };
    let notes = theta.is_none().then(note).into_iter().collect();
    (theta.unwrap_or(DEFAULT_THETA) as f32, notes)
}

/// Checks and fills in the attention sizes that both kinds of configuration share.
struct Heads {
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
}

impl Heads {
    fn read(
        config: &Config,
        hidden_size: usize,
        [heads_key, kv_heads_key, head_dim_key]: [&str; 3],
    ) -> Result<Self, ExportError> {
        let heads = config.size(heads_key)?;
        let kv_heads = config.size_or_none(kv_heads_key)?.unwrap_or(heads);
        if !heads.is_multiple_of(kv_heads) {
            return Err(config.error(kv_heads_key, &format!("a divisor of {heads_key} {heads}")));
        }
        let head_dim = match config.size_or_none(head_dim_key)? {
            Some(head_dim) => head_dim,
            None if hidden_size.is_multiple_of(heads) => hidden_size / heads,
            None => {
                let expected = format!("a divisor of the hidden size {hidden_size}");
                return Err(config.error(heads_key, &expected));
            }
        };
        if !head_dim.is_multiple_of(2) {
            let expected = format!("a number that leaves heads of an even width, not {head_dim}");
            return Err(config.error(heads_key, &expected));
        }
        Ok(Self { heads, kv_heads, head_dim })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_unknown_architecture_is_named_with_those_that_are_known() {
        for config in [
            json!({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}),
            json!({"model_type": "mdlm", "architectures": ["MDLM"]}),
            json!({}),
        ] {
            let error = Blueprint::read(&Config::of(config.clone()), None).unwrap_err();
            let message = error.to_string();
            assert!(matches!(error, ExportError::UnknownArchitecture { .. }), "{message}");
            assert!(message.contains("Dream") && message.contains("llada"), "{message}");
            if let Some(model_type) = config["model_type"].as_str() {
                assert!(message.contains(model_type), "{message}");
            }
        }
    }

    #[test]
    fn heads_must_divide() {
        let read = |heads, kv_heads, head_dim| {
            let config = Config::of(json!({"h": heads, "kv": kv_heads, "d": head_dim}));
            Heads::read(&config, 48, ["h", "kv", "d"]).map(|heads| heads.head_dim)
        };
        assert_eq!(read(4, json!(2), json!(null)).unwrap(), 12);
        assert_eq!(read(4, json!(null), json!(8)).unwrap(), 8);
        assert!(read(4, json!(3), json!(null)).is_err());
        assert!(read(5, json!(5), json!(null)).is_err());
        assert!(read(16, json!(4), json!(null)).is_err(), "three is not even");
    }
}
