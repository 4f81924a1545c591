//! ModernBERT: rotary positions with two bases, local attention in most layers, and gated feed-forward
//! networks.

use serde_json::{Value, json};

use super::encoder::{
    Activation, Biases, Encoder, EncoderNames, LocalLayers, NormOrder, Qkv, Stack, Windows,
};
use super::heads::{Heads, SAMPLER_EPS, SAMPLER_THETA};
use super::kinds::other_kind;
use super::structure::{Blueprint, Body, Overrides, Part};
use crate::config::Config;
use crate::error::FormatError;
use crate::family::Family;

static NAMES: EncoderNames = EncoderNames {
    embed: "model.embeddings.tok_embeddings",
    positions: None,
    token_types: "",
    embed_norm: "model.embeddings.norm",
    mapping: None,
    layers: "model.layers.",
    inner_layers: "",
    qkv: Qkv::Joint("attn.Wqkv"),
    o: "attn.Wo",
    attention_norm: "attn_norm",
    ffn_in: "mlp.Wi",
    ffn_out: "mlp.Wo",
    ffn_norm: "mlp_norm",
    final_norm: Some("model.final_norm"),
    head_dense: "head.dense",
    head_norm: "head.norm",
    output: "decoder",
    output_bias: None,
    unused: &["model.rotary_emb."],
};

/// Keys of ModernBERT's `config.json` that are read, some only to reject unsupported values; then keys that the
/// architecture's code never reads, or reads only in training or for other tasks.
pub(super) const KEYS: &[&str] = &[
    "attention_bias",
    "classifier_activation",
    "classifier_bias",
    "decoder_bias",
    "global_attn_every_n_layers",
    "global_rope_theta",
    "head_dim",
    "hidden_activation",
    "hidden_size",
    "intermediate_size",
    "is_decoder",
    "layer_types",
    "local_attention",
    "local_rope_theta",
    "max_position_embeddings",
    "mlp_bias",
    "norm_bias",
    "norm_eps",
    "num_attention_heads",
    "num_hidden_layers",
    "rope_parameters",
    "rope_scaling",
    "sliding_window",
    "tie_word_embeddings",
    "vocab_size",
    "classifier_pooling",
    "deterministic_flash_attn",
    "initializer_cutoff_factor",
    "layer_norm_eps",
    "mlp_dropout",
    "position_embedding_type",
    "reference_compile",
    "repad_logits_with_grad",
    "sparse_pred_ignore_index",
    "sparse_prediction",
];

/// Reads ModernBERT's configuration.
pub(super) fn read(config: &Config, overrides: Overrides) -> Result<Blueprint, FormatError> {
    if config.flag("is_decoder")? {
        return Err(other_kind(config, "is_decoder", "a causal model"));
    }
    config.only("rope_scaling", json!(null), json!(null))?;
    let hidden_size = config.size("hidden_size")?;
    let keys = ["num_attention_heads", "num_attention_heads", "head_dim"];
    let Heads { heads, head_dim, .. } = Heads::read(config, hidden_size, keys)?;
    if heads * head_dim != hidden_size {
        return Err(config.error("head_dim", "hidden_size / num_attention_heads"));
    }
    let layers = config.size("num_hidden_layers")?;
    let attention_bias = config.flag("attention_bias")?;
    Ok(Blueprint {
        family: Family::ModernBert,
        vocab_size: config.size("vocab_size")?,
        hidden_size,
        layers,
        heads,
        kv_heads: heads,
        head_dim,
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
            names: &NAMES,
            embedding_size: hidden_size,
            token_types: None,
            order: NormOrder::Before,
            norm_eps: match config.get("norm_eps") {
                None => 1e-5,
                Some(_) => config.positive("norm_eps")? as f32,
            },
            activation: Activation::read(config, "hidden_activation", Activation::Gelu)?,
            head_activation: Activation::read(config, "classifier_activation", Activation::Gelu)?,
            gated: true,
            biases: Biases {
                attention: attention_bias,
                ffn: config.flag("mlp_bias")?,
                norms: config.flag("norm_bias")?,
                head: config.flag("classifier_bias")?,
                output: config.flag_or("decoder_bias", true)?,
            },
            stack: Stack::Windowed(windows(config, layers)?),
        }),
    })
}

fn windows(config: &Config, layers: usize) -> Result<Windows, FormatError> {
    // `local_attention` is the whole width: half of it on either side.
    let window = config.size_or_none("local_attention")?.unwrap_or(128) / 2;
    if config.get("sliding_window").is_some_and(|own| *own != json!(window)) {
        let expected = format!("half of local_attention, {window}");
        return Err(config.error("sliding_window", &expected));
    }
    Ok(Windows {
        window,
        global_theta: theta(config, "full_attention", "global_rope_theta", 160_000.0)?,
        local_theta: theta(config, "sliding_attention", "local_rope_theta", 10_000.0)?,
        local: local_layers(config, layers)?,
    })
}

/// Which layers attend to a window. Transformers 5 gives the type of each layer; earlier versions make every
/// n-th layer global.
fn local_layers(config: &Config, layers: usize) -> Result<LocalLayers, FormatError> {
    let every = config.size_or_none("global_attn_every_n_layers")?.unwrap_or(3);
    let Some(types) = config.get("layer_types") else { return Ok(LocalLayers::AllButEvery(every)) };
    let is_local = |name: &Value| match name.as_str() {
        Some("full_attention") => Some(false),
        Some("sliding_attention") => Some(true),
        _ => None,
    };
    let local =
        types.as_array().and_then(|types| types.iter().map(is_local).collect::<Option<_>>());
    let expected = format!("full_attention or sliding_attention for each of the {layers} layers");
    let is_complete = |local: &Vec<bool>| local.len() == layers;
    local
        .filter(is_complete)
        .map(LocalLayers::Marked)
        .ok_or_else(|| config.error("layer_types", &expected))
}

/// θ of RoPE for one type of layer: in `rope_parameters` since Transformers 5, under `key` in earlier versions.
fn theta(config: &Config, kind: &str, key: &str, absent: f64) -> Result<f32, FormatError> {
    let plain = "plain RoPE (rope_type \"default\" and rope_theta) for full_attention and sliding_attention";
    let invalid = || config.error("rope_parameters", plain);
    let kinds = config.section("rope_parameters")?;
    if let Some(kinds) = &kinds {
        let known = |kind: &str| ["full_attention", "sliding_attention"].contains(&kind);
        if kinds.keys().any(|kind| !known(kind)) {
            return Err(invalid());
        }
    }
    let section =
        kinds.map(|kinds| kinds.section(kind)).transpose().map_err(|_| invalid())?.flatten();
    if let Some(section) = section {
        let is_plain = |part: &str| match part {
            "rope_type" => section.get(part).is_none_or(|kind| kind == "default"),
            "rope_theta" => true,
            _ => section.get(part).is_none(),
        };
        if !section.keys().all(is_plain) {
            return Err(invalid());
        }
        if section.get("rope_theta").is_some() {
            return section.positive("rope_theta").map(|theta| theta as f32).map_err(|_| invalid());
        }
    }
    match config.get(key) {
        // Versions of Transformers treat a null differently.
        None if config.keys().any(|own| own == key) => Err(config.error(key, "a positive number")),
        None => Ok(absent as f32),
        Some(_) => Ok(config.positive(key)? as f32),
    }
}

#[cfg(test)]
mod tests {
    use super::super::encoder::AttentionSpan;
    use super::*;

    fn base() -> Value {
        json!({
            "model_type": "modernbert", "architectures": ["ModernBertForMaskedLM"],
            "vocab_size": 50368, "hidden_size": 768, "intermediate_size": 1152,
            "num_hidden_layers": 22, "num_attention_heads": 12, "max_position_embeddings": 8192,
            "norm_eps": 1e-5, "global_attn_every_n_layers": 3, "global_rope_theta": 160000.0,
            "local_attention": 128, "local_rope_theta": 10000.0, "norm_bias": false,
            "attention_bias": false, "mlp_bias": false, "classifier_bias": false,
            "decoder_bias": true, "classifier_activation": "gelu", "hidden_activation": "gelu",
            "classifier_pooling": "mean", "position_embedding_type": "absolute",
            "layer_norm_eps": 1e-5, "sparse_prediction": false, "tie_word_embeddings": true
        })
    }

    fn with(key: &str, value: Value) -> Value {
        let mut config = base();
        config[key] = value;
        config
    }

    fn encoder(config: Value) -> Encoder {
        let config = Config::of(config);
        Blueprint::check_keys(&config, &[]).unwrap();
        let Body::Encoder(encoder) = Blueprint::read(&config, Overrides::default()).unwrap().body
        else {
            panic!("an encoder")
        };
        encoder
    }

    #[test]
    fn modernbert_base() {
        let encoder = encoder(base());
        let none = Biases { attention: false, ffn: false, norms: false, head: false, output: true };
        assert_eq!(encoder.biases, none);
        let local = AttentionSpan::Window { window: 64, theta: 1e4 };
        let spans: Vec<AttentionSpan> = (0..4).map(|layer| encoder.attention_span(layer)).collect();
        assert_eq!(
            spans,
            [AttentionSpan::Rotary(1.6e5), local, local, AttentionSpan::Rotary(1.6e5)]
        );
    }

    #[test]
    fn every_bias_is_honoured() {
        let mut config = base();
        for key in ["norm_bias", "attention_bias", "mlp_bias", "classifier_bias"] {
            config[key] = json!(true);
        }
        config["decoder_bias"] = json!(false);
        assert_eq!(encoder(config).biases, Biases { output: false, ..Biases::ALL });
    }

    #[test]
    fn the_keys_of_transformers_5_are_read() {
        let mut config = base();
        for key in ["global_attn_every_n_layers", "global_rope_theta", "local_rope_theta"] {
            config.as_object_mut().unwrap().remove(key);
        }
        config["num_hidden_layers"] = json!(2);
        config["layer_types"] = json!(["sliding_attention", "full_attention"]);
        config["rope_parameters"] = json!({
            "full_attention": {"rope_type": "default", "rope_theta": 2e5},
            "sliding_attention": {"rope_type": "default", "rope_theta": 3e4}
        });
        let encoder = encoder(config.clone());
        let spans = [AttentionSpan::Window { window: 64, theta: 3e4 }, AttentionSpan::Rotary(2e5)];
        assert_eq!([encoder.attention_span(0), encoder.attention_span(1)], spans);
        for (key, value) in [
            ("layer_types", json!(["full_attention"])),
            ("layer_types", json!(["full_attention", "chunked_attention"])),
            ("rope_parameters", json!({"rope_type": "default", "rope_theta": 1e4})),
            ("rope_parameters", json!({"full_attention": {"rope_type": "yarn", "factor": 4}})),
            ("rope_parameters", json!({"full_attention": 3})),
            ("rope_parameters", json!({"sliding_attention": {"rope_theta": -1}})),
        ] {
            let mut config = config.clone();
            config[key] = value.clone();
            let message =
                Blueprint::read(&Config::of(config), Overrides::default()).unwrap_err().to_string();
            assert!(message.contains(key), "{value}: {message}");
        }
    }

    #[test]
    fn unsupported_values_are_reported() {
        for (key, value) in [
            ("hidden_activation", json!("gelu_10")),
            ("classifier_activation", json!("tanh")),
            ("local_attention", json!(0)),
            ("sliding_window", json!(128)),
            ("local_rope_theta", json!(null)),
            ("rope_scaling", json!({"type": "linear", "factor": 2})),
            ("head_dim", json!(32)),
            ("num_attention_heads", json!(7)),
            ("decoder_bias", json!("yes")),
            ("is_decoder", json!(true)),
        ] {
            let message = Blueprint::read(&Config::of(with(key, value)), Overrides::default())
                .unwrap_err()
                .to_string();
            assert!(message.contains(key), "{key}: {message}");
        }
    }
}
