//! Dream, and other masked diffusion models on a Qwen2 or Qwen3 decoder.

use serde_json::{Value, json};

use super::{Blueprint, Heads, LayerNames, Names, QkNorm};
use crate::config::Config;
use crate::error::ExportError;
use crate::manifest::Family;

pub(super) static NAMES: Names = Names {
    embed: "model.embed_tokens",
    final_norm: "model.norm",
    head: "lm_head",
    layers: "model.layers.",
    layer: LayerNames {
        attention_norm: "input_layernorm",
        q: "self_attn.q_proj",
        k: "self_attn.k_proj",
        v: "self_attn.v_proj",
        o: "self_attn.o_proj",
        q_norm: "self_attn.q_norm",
        k_norm: "self_attn.k_norm",
        ffn_norm: "post_attention_layernorm",
        gate: "mlp.gate_proj",
        up: "mlp.up_proj",
        down: "mlp.down_proj",
    },
};

/// Which decoder, and who turned it into a diffusion model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variant {
    Dream,
    Qwen2,
    Qwen3,
}

impl Variant {
    /// Recognises a model by its `model_type`, or else by its `architectures`.
    pub(super) fn of(model_type: &str, config: &Config) -> Option<Self> {
        let architectures = config.get("architectures").and_then(Value::as_array);
        let architecture =
            architectures.and_then(|names| names.first()?.as_str()).unwrap_or_default();
        // Other members of these families have their own names, such as `qwen2_moe` or `qwen3_5`.
        let is = |name: &str, class: &str| {
            model_type == name
                || model_type.ends_with(&format!("-{name}"))
                || architecture.split_once(class).is_some_and(|(_, rest)| {
                    ["ForCausalLM", "LMHeadModel", "Model", ""].contains(&rest)
                })
        };
        if model_type.eq_ignore_ascii_case("dream") {
            Some(Self::Dream)
        } else if is("qwen2", "Qwen2") {
            Some(Self::Qwen2)
        } else if is("qwen3", "Qwen3") {
            Some(Self::Qwen3)
        } else {
            None
        }
    }

    /// Whether the logits are shifted, as far as that is settled by what the model calls itself.
    fn shift(self, config: &Config) -> Result<bool, ExportError> {
        let converted = |name: &str| name.contains("a2d-");
        match self {
            Self::Dream => Ok(true),
            // Conversions by dLLM ("AR to diffusion") are trained without a shift.
            _ if config.get("model_type").and_then(Value::as_str).is_some_and(converted) => {
                Ok(false)
            }
            _ => Err(ExportError::ShiftUnknown {
                path: config.path.clone(),
                model_type: config.describe("model_type"),
            }),
        }
    }
}

/// Reads a Qwen2-style configuration.
pub(super) fn read(
    config: &Config,
    variant: Variant,
    shift: Option<bool>,
) -> Result<Blueprint, ExportError> {
    config.only("hidden_act", json!("silu"), json!("silu"))?;
    config.only("use_sliding_window", json!(false), json!(false))?;
    config.only("partial_rotary_factor", json!(1.0), json!(1.0))?;
    if variant == Variant::Qwen3 {
        // It would give the output projection a bias too.
        config.only("attention_bias", json!(false), json!(false))?;
    }
    let layers = config.size("num_hidden_layers")?;
    if let Some(types) = config.get("layer_types").and_then(Value::as_array)
        && types.iter().any(|kind| kind != "full_attention")
    {
        return Err(config.error("layer_types", "\"full_attention\" throughout"));
    }
    let hidden_size = config.size("hidden_size")?;
    let keys = ["num_attention_heads", "num_key_value_heads", "head_dim"];
    let Heads { heads, kv_heads, head_dim } = Heads::read(config, hidden_size, keys)?;
    Ok(Blueprint {
        family: if variant == Variant::Dream { Family::Dream } else { Family::Qwen },
        vocab_size: config.size("vocab_size")?,
        hidden_size,
        layers,
        heads,
        kv_heads,
        head_dim,
        ffn_size: config.size("intermediate_size")?,
        max_positions: config.size("max_position_embeddings")?,
        rope_theta: rope_theta(config)? as f32,
        norm_eps: config.positive("rms_norm_eps")? as f32,
        tied: config.flag("tie_word_embeddings")?,
        qkv_bias: variant != Variant::Qwen3,
        qk_norm: if variant == Variant::Qwen3 { QkNorm::Always } else { QkNorm::IfPresent },
        shift: shift.map_or_else(|| variant.shift(config), Ok)?,
        names: &NAMES,
    })
}

/// RoPE's base. Transformers 5 moved it into `rope_parameters`.
fn rope_theta(config: &Config) -> Result<f64, ExportError> {
    for key in ["rope_scaling", "rope_parameters"] {
        if let Some(section) = config.section(key)? {
            for kind in ["rope_type", "type"] {
                let plain = json!("default");
                section
                    .only(kind, plain.clone(), plain)
                    .map_err(|_| config.error(key, "plain RoPE (rope_type \"default\")"))?;
            }
        }
    }
    match config.section("rope_parameters")? {
        Some(section) if section.get("rope_theta").is_some() => section.positive("rope_theta"),
        _ => config.positive("rope_theta"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dream() -> Value {
        json!({
            "model_type": "Dream", "architectures": ["DreamModel"], "hidden_act": "silu",
            "vocab_size": 152064, "hidden_size": 3584, "num_hidden_layers": 28,
            "num_attention_heads": 28, "num_key_value_heads": 4, "intermediate_size": 18944,
            "max_position_embeddings": 131072, "rope_theta": 1e6, "rms_norm_eps": 1e-6,
            "rope_scaling": null, "tie_word_embeddings": false
        })
    }

    fn with(key: &str, value: Value) -> Config {
        let mut config = dream();
        config[key] = value;
        Config::of(config)
    }

    #[test]
    fn dream_7b() {
        let blueprint = Blueprint::read(&Config::of(dream()), None).unwrap();
        assert_eq!(blueprint.head_dim, 128);
        assert!(blueprint.qkv_bias && blueprint.shift && !blueprint.tied);
        assert_eq!(blueprint.family, Family::Dream);
    }

    #[test]
    fn qwen_models_are_recognised_and_their_kin_is_not() {
        let of = |model_type: &str, architecture: &str| {
            let config = json!({"model_type": model_type, "architectures": [architecture]});
            Variant::of(model_type, &Config::of(config))
        };
        assert_eq!(of("qwen2", "Qwen2ForCausalLM"), Some(Variant::Qwen2));
        assert_eq!(of("a2d-qwen3", "A2DQwen3LMHeadModel"), Some(Variant::Qwen3));
        assert_eq!(of("mine", "MyQwen3Model"), Some(Variant::Qwen3));
        for kin in ["qwen2_moe", "qwen3_5", "qwen2_vl"] {
            assert_eq!(of(kin, "Qwen2MoeForCausalLM"), None);
        }
    }

    #[test]
    fn what_the_graph_does_not_implement_is_named() {
        for (key, value) in [
            ("hidden_act", json!("gelu")),
            ("use_sliding_window", json!(true)),
            ("partial_rotary_factor", json!(0.5)),
            ("rope_scaling", json!({"type": "yarn", "factor": 4.0})),
            ("rope_parameters", json!({"rope_type": "linear"})),
            ("layer_types", json!(["full_attention", "sliding_attention"])),
            ("rope_theta", json!(null)),
            ("hidden_size", json!(-1)),
        ] {
            let message = Blueprint::read(&with(key, value), None).unwrap_err().to_string();
            assert!(message.contains(key), "{key}: {message}");
        }
    }

    #[test]
    fn transformers_5_keeps_theta_in_a_section() {
        let mut config = dream();
        config["rope_theta"] = json!(null);
        config["rope_parameters"] = json!({"rope_type": "default", "rope_theta": 5e5});
        assert_eq!(Blueprint::read(&Config::of(config), None).unwrap().rope_theta, 5e5);
    }

    #[test]
    fn the_shift_of_a_plain_qwen_must_be_said() {
        let error = Blueprint::read(&with("model_type", json!("qwen2")), None).unwrap_err();
        assert!(matches!(error, ExportError::ShiftUnknown { .. }), "{error}");
        for shift in [true, false] {
            let config = with("model_type", json!("qwen2"));
            assert_eq!(Blueprint::read(&config, Some(shift)).unwrap().shift, shift);
        }
        let converted = with("model_type", json!("a2d-qwen2"));
        assert!(!Blueprint::read(&converted, None).unwrap().shift);
    }

    #[test]
    fn qwen3_normalises_and_has_no_bias() {
        let blueprint = Blueprint::read(&with("model_type", json!("a2d-qwen3")), None).unwrap();
        assert_eq!(blueprint.qk_norm, QkNorm::Always);
        assert!(!blueprint.qkv_bias);
    }
}
