//! LLaDA: a Llama-style decoder with its own tensor names and configuration keys.

use serde_json::json;

use super::blocks;
use super::heads::{Heads, theta_or_default};
use super::structure::{Blueprint, Body, LayerNames, Names, Overrides, Part};
use crate::config::Config;
use crate::error::FormatError;
use crate::family::Family;

pub(super) static NAMES: Names = Names {
    embed: "model.transformer.wte",
    final_norm: "model.transformer.ln_f",
    head: "model.transformer.ff_out",
    layers: "model.transformer.blocks.",
    layer: LayerNames {
        attention_norm: "attn_norm",
        q: "q_proj",
        k: "k_proj",
        v: "v_proj",
        o: "attn_out",
        q_norm: "q_norm",
        k_norm: "k_norm",
        ffn_norm: "ff_norm",
        gate: "ff_proj",
        up: "up_proj",
        down: "ff_out",
    },
};

/// Keys of LLaDA's `config.json` that are read, some only to reject unsupported values.
pub(super) const KEYS: &[&str] = &[
    "activation_type",
    "alibi",
    "attention_layer_norm",
    "bias_for_layer_norm",
    "block_group_size",
    "block_type",
    "d_model",
    "embedding_size",
    "head_dim",
    "include_bias",
    "include_qkv_bias",
    "input_emb_norm",
    "layer_norm_type",
    "layer_norm_with_affine",
    "max_sequence_length",
    "mlp_hidden_size",
    "mlp_ratio",
    "multi_query_attention",
    "n_heads",
    "n_kv_heads",
    "n_layers",
    "rms_norm_eps",
    "rope",
    "rope_full_precision",
    "rope_scaling",
    "rope_theta",
    "scale_logits",
    "vocab_size",
    "weight_tying",
    // Without effect unless ALiBi or the norm of queries and keys is enabled.
    "alibi_bias_max",
    "attention_layer_norm_with_affine",
    // The reference reads `weight_tying` instead.
    "tie_word_embeddings",
];

/// Reads a LLaDA configuration. Its keys can describe many other models, which are rejected.
pub(super) fn read(config: &Config, overrides: Overrides) -> Result<Blueprint, FormatError> {
    // Key, the reference's default, and the only supported value.
    for (key, absent, only) in [
        ("activation_type", json!("swiglu"), json!("silu")),
        ("alibi", json!(false), json!(false)),
        ("attention_layer_norm", json!(false), json!(false)),
        ("bias_for_layer_norm", json!(false), json!(false)),
        ("block_group_size", json!(1), json!(1)),
        ("block_type", json!("sequential"), json!("llama")),
        ("include_bias", json!(false), json!(false)),
        ("input_emb_norm", json!(false), json!(false)),
        ("layer_norm_type", json!("default"), json!("rms")),
        ("layer_norm_with_affine", json!(true), json!(true)),
        ("multi_query_attention", json!(false), json!(false)),
        ("rope", json!(false), json!(true)),
        ("rope_full_precision", json!(true), json!(true)),
        ("rope_scaling", json!(null), json!(null)),
        ("scale_logits", json!(false), json!(false)),
    ] {
        config.only(key, absent, only)?;
    }
    let hidden_size = config.size("d_model")?;
    // No published configuration sets `head_dim`; by default it is the quotient of hidden size and heads.
    let keys = ["n_heads", "n_kv_heads", "head_dim"];
    let Heads { heads, kv_heads, head_dim } = Heads::read(config, hidden_size, keys)?;
    let ffn_size = match config.size_or_none("mlp_hidden_size")? {
        Some(size) => size,
        None => config.size("mlp_ratio")?.saturating_mul(hidden_size),
    };
    let vocab_size = match config.size_or_none("embedding_size")? {
        Some(padded) => padded,
        None => config.size("vocab_size")?,
    };
    let theta = config.get("rope_theta").map(|_| config.positive("rope_theta")).transpose()?;
    let (rope_theta, notes) = theta_or_default(theta);
    Ok(Blueprint {
        family: Family::Llada,
        vocab_size,
        hidden_size,
        layers: config.size("n_layers")?,
        heads,
        kv_heads,
        head_dim,
        ffn_size,
        max_positions: config.size("max_sequence_length")?,
        rope_theta,
        norm_eps: config.positive("rms_norm_eps")? as f32,
        // True is the reference's default.
        tied: config.get("weight_tying").is_none() || config.flag("weight_tying")?,
        qkv_bias: if config.flag("include_qkv_bias")? { Part::Always } else { Part::Never },
        qk_norm: Part::Never,
        shift: overrides.shift.unwrap_or(false),
        attention_block: blocks::given(overrides).flatten(),
        body: Body::Decoder(&NAMES),
        notes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn llada() -> Value {
        json!({
            "model_type": "llada", "d_model": 4096, "n_heads": 32, "n_kv_heads": 32,
            "n_layers": 32, "mlp_ratio": 4, "mlp_hidden_size": 12288, "activation_type": "silu",
            "block_type": "llama", "block_group_size": 1, "rope": true, "rope_theta": 500000.0,
            "rms_norm_eps": 1e-5, "layer_norm_type": "rms", "include_bias": false,
            "vocab_size": 126464, "embedding_size": 126464, "weight_tying": false,
            "max_sequence_length": 4096, "multi_query_attention": null
        })
    }

    fn with(key: &str, value: Value) -> Result<Blueprint, FormatError> {
        let mut config = llada();
        config[key] = value;
        Blueprint::read(&Config::of(config), Overrides::default())
    }

    #[test]
    fn a_mixture_of_experts_is_rejected() {
        let mut config = llada();
        Blueprint::check_keys(&Config::of(config.clone()), &[]).unwrap();
        config["num_experts"] = json!(64);
        let message = Blueprint::check_keys(&Config::of(config), &[]).unwrap_err().to_string();
        assert!(message.contains("mixture of experts"), "{message}");
    }

    #[test]
    fn llada_8b() {
        let blueprint = Blueprint::read(&Config::of(llada()), Overrides::default()).unwrap();
        assert_eq!((blueprint.head_dim, blueprint.ffn_size), (128, 12288));
        assert!(!blueprint.shift && !blueprint.tied);
        assert_eq!((blueprint.qkv_bias, blueprint.qk_norm), (Part::Never, Part::Never));
        assert_eq!(blueprint.family, Family::Llada);
    }

    #[test]
    fn a_missing_theta_gets_the_references_default_and_a_note() {
        let blueprint = with("rope_theta", json!(null)).unwrap();
        assert_eq!((blueprint.rope_theta, blueprint.notes.len()), (1e4, 1));
        assert_eq!(with("rope_theta", json!(5e5)).unwrap().notes, [""; 0]);
    }

    #[test]
    fn missing_sizes_get_the_references_defaults() {
        assert_eq!(with("mlp_hidden_size", json!(null)).unwrap().ffn_size, 16384);
        assert_eq!(with("embedding_size", json!(null)).unwrap().vocab_size, 126464);
        assert_eq!(with("n_kv_heads", json!(null)).unwrap().kv_heads, 32);
    }

    #[test]
    fn unsupported_values_are_reported() {
        for (key, value) in [
            ("alibi", json!(true)),
            ("layer_norm_type", json!("default")),
            ("input_emb_norm", json!(true)),
            ("scale_logits", json!(true)),
            ("include_bias", json!(true)),
            ("block_type", json!("sequential")),
            ("block_group_size", json!(4)),
            ("rope", json!(false)),
            ("rope", json!(null)),
            ("rope_scaling", json!({"factor": 2})),
            ("activation_type", json!("gelu")),
            ("attention_layer_norm", json!(true)),
            ("multi_query_attention", json!(true)),
        ] {
            let message = with(key, value.clone()).unwrap_err().to_string();
            let shown = if value.is_null() { "absent".into() } else { value.to_string() };
            assert!(message.contains(&format!("{key} is {shown}")), "{message}");
        }
    }
}
