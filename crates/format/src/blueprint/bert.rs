//! BERT and ALBERT: learned positions, token types, and norms after attention and feed-forward networks.

use serde_json::json;

use super::encoder::{Activation, Biases, Encoder, EncoderNames, NormOrder, Qkv, Stack};
use super::heads::{SAMPLER_EPS, SAMPLER_THETA};
use super::kinds::other_kind;
use super::structure::{Blueprint, Body, Overrides, Part};
use crate::config::Config;
use crate::error::FormatError;
use crate::family::Family;

static BERT: EncoderNames = EncoderNames {
    embed: "bert.embeddings.word_embeddings",
    positions: Some("bert.embeddings.position_embeddings"),
    token_types: "bert.embeddings.token_type_embeddings",
    embed_norm: "bert.embeddings.LayerNorm",
    mapping: None,
    layers: "bert.encoder.layer.",
    inner_layers: "",
    qkv: Qkv::Each(["attention.self.query", "attention.self.key", "attention.self.value"]),
    o: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    ffn_in: "intermediate.dense",
    ffn_out: "output.dense",
    ffn_norm: "output.LayerNorm",
    final_norm: None,
    head_dense: "cls.predictions.transform.dense",
    head_norm: "cls.predictions.transform.LayerNorm",
    output: "cls.predictions.decoder",
    output_bias: Some("cls.predictions.bias"),
    unused: &[
        "bert.embeddings.position_ids",
        "bert.embeddings.token_type_ids",
        "bert.pooler.",
        "cls.seq_relationship.",
        // Heads of AntiBERTy.
        "cls.species.",
        "cls.chain.",
        "cls.graft.",
    ],
};

static ALBERT: EncoderNames = EncoderNames {
    embed: "albert.embeddings.word_embeddings",
    positions: Some("albert.embeddings.position_embeddings"),
    token_types: "albert.embeddings.token_type_embeddings",
    embed_norm: "albert.embeddings.LayerNorm",
    mapping: Some("albert.encoder.embedding_hidden_mapping_in"),
    layers: "albert.encoder.albert_layer_groups.",
    inner_layers: ".albert_layers.",
    qkv: Qkv::Each(["attention.query", "attention.key", "attention.value"]),
    o: "attention.dense",
    attention_norm: "attention.LayerNorm",
    ffn_in: "ffn",
    ffn_out: "ffn_output",
    ffn_norm: "full_layer_layer_norm",
    final_norm: None,
    head_dense: "predictions.dense",
    head_norm: "predictions.LayerNorm",
    output: "predictions.decoder",
    output_bias: Some("predictions.bias"),
    unused: &[
        "albert.embeddings.position_ids",
        "albert.embeddings.token_type_ids",
        "albert.pooler.",
        "sop_classifier.",
    ],
};

/// Classes of BERT with a head for masked language modelling.
pub(super) const CLASSES: &[&str] = &["BertForMaskedLM", "BertForPreTraining", "AntiBERTy"];

/// Keys of BERT's `config.json` that are read, some only to reject unsupported values; then keys that the
/// architecture's code never reads.
pub(super) const KEYS: &[&str] = &[
    "hidden_act",
    "hidden_size",
    "intermediate_size",
    "is_decoder",
    "layer_norm_eps",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "position_embedding_type",
    "pruned_heads",
    "tie_word_embeddings",
    "type_vocab_size",
    "vocab_size",
    "directionality",
    "eos_token_ids",
    "output_past",
    "pooler_fc_size",
    "pooler_num_attention_heads",
    "pooler_num_fc_layers",
    "pooler_size_per_head",
    "pooler_type",
];

/// The keys of ALBERT, in the same order.
pub(super) const ALBERT_KEYS: &[&str] = &[
    "embedding_size",
    "hidden_act",
    "hidden_size",
    "inner_group_num",
    "intermediate_size",
    "is_decoder",
    "layer_norm_eps",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_groups",
    "num_hidden_layers",
    "position_embedding_type",
    "pruned_heads",
    "tie_word_embeddings",
    "type_vocab_size",
    "vocab_size",
    "classifier_dropout_prob",
    "down_scale_factor",
    "eos_token_ids",
    "gap_size",
    "layers_to_keep",
    "net_structure_type",
    "num_memory_blocks",
    "output_past",
];

/// The most layers of a graph whose layers share tensors. There the number of tensors sets no limit.
const MAX_LAYERS: usize = 1024;

/// Reads BERT's configuration.
pub(super) fn read_bert(config: &Config, overrides: Overrides) -> Result<Blueprint, FormatError> {
    let width = config.size("hidden_size")?;
    let activation = Activation::read(config, "hidden_act", Activation::Gelu)?;
    read(config, overrides, Family::Bert, &BERT, (width, activation, Stack::Plain))
}

/// Reads ALBERT's configuration.
pub(super) fn read_albert(config: &Config, overrides: Overrides) -> Result<Blueprint, FormatError> {
    let or = |key: &str, absent| Ok(config.size_or_none(key)?.unwrap_or(absent));
    let width = or("embedding_size", 128)?;
    let (groups, inner) = (or("num_hidden_groups", 1)?, or("inner_group_num", 1)?);
    let layers = config.size("num_hidden_layers")?;
    if layers.saturating_mul(inner) > MAX_LAYERS {
        let expected =
            format!("at most {MAX_LAYERS} layers, counting those of inner_group_num = {inner}");
        return Err(config.error("num_hidden_layers", &expected));
    }
    if groups > layers {
        return Err(config.error("num_hidden_groups", "at most num_hidden_layers"));
    }
    let activation = Activation::read(config, "hidden_act", Activation::GeluTanh)?;
    let stack = Stack::Shared { groups, inner };
    read(config, overrides, Family::Albert, &ALBERT, (width, activation, stack))
}

fn read(
    config: &Config,
    overrides: Overrides,
    family: Family,
    names: &'static EncoderNames,
    (embedding_size, activation, stack): (usize, Activation, Stack),
) -> Result<Blueprint, FormatError> {
    config.only("position_embedding_type", json!("absolute"), json!("absolute"))?;
    if config.flag("is_decoder")? {
        return Err(other_kind(config, "is_decoder", "a causal model"));
    }
    if config.get("pruned_heads").is_some_and(|heads| *heads != json!({})) {
        return Err(config.error("pruned_heads", "no heads removed, {}"));
    }
    let (hidden_size, heads) = (config.size("hidden_size")?, config.size("num_attention_heads")?);
    if !hidden_size.is_multiple_of(heads) {
        let expected = format!("a divisor of the hidden size {hidden_size}");
        return Err(config.error("num_attention_heads", &expected));
    }
    Ok(Blueprint {
        family,
        vocab_size: config.size("vocab_size")?,
        hidden_size,
        layers: config.size("num_hidden_layers")?,
        heads,
        kv_heads: heads,
        head_dim: hidden_size / heads,
        ffn_size: config.size("intermediate_size")?,
        max_positions: config.size("max_position_embeddings")?,
        rope_theta: SAMPLER_THETA,
        norm_eps: SAMPLER_EPS,
        tied: config.flag_or("tie_word_embeddings", true)?,
        qkv_bias: Part::IfPresent,
        qk_norm: Part::IfPresent,
        shift: overrides.shift.unwrap_or(false),
        attention_block: None,
        notes: Vec::new(),
        body: Body::Encoder(Encoder {
            names,
            embedding_size,
            token_types: Some(config.size_or_none("type_vocab_size")?.unwrap_or(2)),
            order: NormOrder::After,
            norm_eps: match config.get("layer_norm_eps") {
                None => 1e-12,
                Some(_) => config.positive("layer_norm_eps")? as f32,
            },
            activation,
            head_activation: activation,
            gated: false,
            biases: Biases::ALL,
            stack,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn bert() -> Value {
        json!({
            "model_type": "bert", "architectures": ["BertForMaskedLM"], "hidden_act": "gelu",
            "vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12,
            "num_attention_heads": 12, "intermediate_size": 3072, "max_position_embeddings": 512,
            "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0
        })
    }

    fn albert() -> Value {
        let mut config = bert();
        config["model_type"] = json!("albert");
        config["architectures"] = json!(["AlbertForMaskedLM"]);
        config["embedding_size"] = json!(128);
        config["hidden_act"] = json!("gelu_new");
        config
    }

    fn encoder(config: &Value) -> (Blueprint, Encoder) {
        let blueprint = Blueprint::read(&Config::of(config.clone()), Overrides::default()).unwrap();
        let Body::Encoder(encoder) = blueprint.body.clone() else { panic!("{blueprint:?}") };
        (blueprint, encoder)
    }

    #[test]
    fn bert_base() {
        let (blueprint, encoder) = encoder(&bert());
        assert_eq!((blueprint.head_dim, blueprint.kv_heads, blueprint.tied), (64, 12, true));
        assert_eq!((blueprint.family, blueprint.shift), (Family::Bert, false));
        assert_eq!((encoder.embedding_size, encoder.token_types), (768, Some(2)));
        assert_eq!((encoder.activation, encoder.stack), (Activation::Gelu, Stack::Plain));
    }

    #[test]
    fn albert_base() {
        let (blueprint, encoder) = encoder(&albert());
        assert_eq!((blueprint.hidden_size, encoder.embedding_size), (768, 128));
        assert_eq!(encoder.activation, Activation::GeluTanh);
        assert_eq!(encoder.stack, Stack::Shared { groups: 1, inner: 1 });
    }

    #[test]
    fn unsupported_values_are_reported() {
        for (config, key, value) in [
            (bert(), "position_embedding_type", json!("relative_key_query")),
            (bert(), "is_decoder", json!(true)),
            (bert(), "is_decoder", json!("yes")),
            (bert(), "hidden_act", json!("quick_gelu")),
            (bert(), "pruned_heads", json!({"0": [1]})),
            (bert(), "num_attention_heads", json!(7)),
            (bert(), "layer_norm_eps", json!(0)),
            (bert(), "type_vocab_size", json!(0)),
            (albert(), "num_hidden_groups", json!(13)),
            (albert(), "num_hidden_layers", json!(2000)),
            (albert(), "inner_group_num", json!(4_000_000_000u32)),
        ] {
            let mut config = config;
            config[key] = value;
            let message =
                Blueprint::read(&Config::of(config), Overrides::default()).unwrap_err().to_string();
            assert!(message.contains(key), "{key}: {message}");
        }
        let mut crossed = bert();
        crossed["add_cross_attention"] = json!(true);
        let message = Blueprint::check_keys(&Config::of(crossed), &[]).unwrap_err().to_string();
        assert!(message.contains("add_cross_attention"), "{message}");
    }

    /// Configurations from before `model_type`, and with keys of other tools.
    #[test]
    fn published_keys_are_known() {
        let mut old = bert();
        for (key, value) in [
            ("model_type", json!(null)),
            ("architectures", json!(null)),
            ("output_past", json!(true)),
            ("pruned_heads", json!({})),
            ("use_bfloat16", json!(false)),
            ("torchscript", json!(false)),
            ("directionality", json!("bidi")),
        ] {
            old[key] = value;
        }
        Blueprint::check_keys(&Config::of(old.clone()), &[]).unwrap();
        assert_eq!(encoder(&old).0.family, Family::Bert);
        let mut antiberty = bert();
        antiberty["architectures"] = json!(["AntiBERTy"]);
        antiberty["position_embedding_type"] = json!("absolute");
        Blueprint::check_keys(&Config::of(antiberty), &[]).unwrap();
        let mut published = albert();
        for key in ["gap_size", "net_structure_type", "num_memory_blocks", "eos_token_ids"] {
            published[key] = json!(0);
        }
        Blueprint::check_keys(&Config::of(published), &[]).unwrap();
    }

    #[test]
    fn a_class_without_a_masked_language_modelling_head_is_rejected() {
        let mut config = bert();
        config["architectures"] = json!(["BertForSequenceClassification"]);
        let message = Blueprint::check_keys(&Config::of(config), &[]).unwrap_err().to_string();
        assert!(message.contains("BertForSequenceClassification"), "{message}");
    }
}
