//! Dream, and other masked diffusion models on a Qwen2 or Qwen3 decoder: those of dLLM, SDAR and TraDo, Fast-dLLM v2,
//! DreamReasoner.

use serde_json::{Value, json};

use super::blocks;
use super::heads::{Heads, theta_or_default};
use super::structure::{Blueprint, Body, LayerNames, Names, Overrides, Part};
use crate::config::Config;
use crate::error::FormatError;
use crate::family::Family;

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

/// Keys of a Qwen2-style `config.json` that are read, some only to reject unsupported values.
pub(super) const KEYS: &[&str] = &[
    "attention_bias",
    "head_dim",
    "hidden_act",
    "hidden_size",
    "intermediate_size",
    "layer_types",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "partial_rotary_factor",
    "rms_norm_eps",
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "tie_word_embeddings",
    "use_sliding_window",
    "vocab_size",
];

/// The classes of the type `Dream`: Dream, and DreamReasoner.
pub(super) const DREAM_CLASSES: [&str; 2] = ["DreamModel", REASONER_CLASS];
const REASONER_CLASS: &str = "DreamForCausalLM";

/// The decoder, or the project that made it a diffusion model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variant {
    Dream,
    /// Dream's successor on Qwen3: block-causal, without a shift. It has Dream's type and a class of its own.
    DreamReasoner,
    /// Fast-dLLM v2 (arXiv 2509.26328) on Qwen2.5: block-causal, shifted.
    FastDllm,
    /// SDAR (arXiv 2510.06303) and TraDo on Qwen3: block-causal.
    Sdar,
    Qwen2,
    Qwen3,
}

impl Variant {
    /// Recognises a model by its `model_type`, or else by its `architectures`.
    pub(super) fn of(model_type: &str, config: &Config) -> Option<Self> {
        let architectures = config.get("architectures").and_then(Value::as_array);
        let architecture =
            architectures.and_then(|names| names.first()?.as_str()).unwrap_or_default();
        // Related models have names such as `qwen2_moe` or `qwen3_5`, and must not match.
        let has_class = |class: &str| {
            architecture.split_once(class).is_some_and(|(_, rest)| {
                ["ForCausalLM", "LMHeadModel", "Model", ""].contains(&rest)
            })
        };
        let is = |name: &str, class: &str| {
            model_type == name || model_type.ends_with(&format!("-{name}")) || has_class(class)
        };
        if model_type.eq_ignore_ascii_case("dream") {
            let is_reasoner = architecture == REASONER_CLASS;
            Some(if is_reasoner { Self::DreamReasoner } else { Self::Dream })
        } else if model_type == "sdar" || has_class("SDAR") {
            Some(Self::Sdar)
        } else if model_type == "Fast_dLLM_Qwen" || has_class("Fast_dLLM_Qwen") {
            Some(Self::FastDllm)
        } else if is("qwen2", "Qwen2") {
            Some(Self::Qwen2)
        } else if is("qwen3", "Qwen3") {
            Some(Self::Qwen3)
        } else {
            None
        }
    }

    /// Whether the logits are shifted, if the model's type determines it.
    fn shift(self, config: &Config) -> Result<bool, FormatError> {
        match self {
            Self::Dream | Self::FastDllm => Ok(true),
            Self::DreamReasoner | Self::Sdar => Ok(false),
            // Models converted by dLLM are trained without a shift.
            _ if is_converted(config) => Ok(false),
            _ => Err(FormatError::ShiftUnknown {
                path: config.path.clone(),
                model_type: config.describe("model_type"),
            }),
        }
    }
}

/// Whether dLLM converted the model ("AR to diffusion").
fn is_converted(config: &Config) -> bool {
    let model_type = config.get("model_type").and_then(Value::as_str);
    model_type.is_some_and(|name| name.contains("a2d-"))
}

/// Reads a Qwen2-style configuration.
pub(super) fn read(
    config: &Config,
    variant: Variant,
    overrides: Overrides,
) -> Result<Blueprint, FormatError> {
    config.only("hidden_act", json!("silu"), json!("silu"))?;
    config.only("use_sliding_window", json!(false), json!(false))?;
    if config.get("partial_rotary_factor").is_some_and(|factor| factor.as_f64() != Some(1.0)) {
        return Err(config.error("partial_rotary_factor", "1"));
    }
    // It would add a bias to the output projection too.
    config.only("attention_bias", json!(false), json!(false))?;
    let layers = config.size("num_hidden_layers")?;
    if config
        .get("layer_types")
        .is_some_and(|types| *types != json!(vec!["full_attention"; layers]))
    {
        return Err(config.error("layer_types", "\"full_attention\" for each of the layers"));
    }
    let hidden_size = config.size("hidden_size")?;
    let keys = ["num_attention_heads", "num_key_value_heads", "head_dim"];
    let Heads { heads, kv_heads, head_dim } = Heads::read(config, hidden_size, keys)?;
    let (rope_theta, mut notes) = theta_or_default(rope_theta(config)?);
    let attention_block = match variant {
        Variant::Dream => blocks::given(overrides).flatten(),
        Variant::DreamReasoner | Variant::FastDllm | Variant::Sdar => {
            blocks::required(config, overrides)?
        }
        _ if is_converted(config) => blocks::of_either_kind(config, overrides, &mut notes)?,
        Variant::Qwen2 | Variant::Qwen3 => match blocks::given(overrides) {
            Some(given) => given,
            None => blocks::configured(config)?,
        },
    };
    Ok(Blueprint {
        family: match variant {
            Variant::Dream | Variant::DreamReasoner => Family::Dream,
            _ => Family::Qwen,
        },
        vocab_size: config.size("vocab_size")?,
        hidden_size,
        layers,
        heads,
        kv_heads,
        head_dim,
        ffn_size: config.size("intermediate_size")?,
        max_positions: config.size("max_position_embeddings")?,
        rope_theta,
        norm_eps: config.positive("rms_norm_eps")? as f32,
        tied: config.flag("tie_word_embeddings")?,
        qkv_bias: match variant {
            Variant::Dream => Part::IfPresent,
            Variant::Qwen2 | Variant::FastDllm => Part::Always,
            Variant::Qwen3 | Variant::Sdar | Variant::DreamReasoner => Part::Never,
        },
        qk_norm: match variant {
            Variant::Dream | Variant::Qwen2 | Variant::FastDllm => Part::IfPresent,
            Variant::Qwen3 | Variant::Sdar | Variant::DreamReasoner => Part::Always,
        },
        shift: overrides.shift.map_or_else(|| variant.shift(config), Ok)?,
        attention_block,
        body: Body::Decoder(&NAMES),
        notes,
    })
}

/// θ of RoPE, if the configuration has it. Transformers 5 moved it into `rope_parameters`, and also reads it in
/// `rope_scaling`.
fn rope_theta(config: &Config) -> Result<Option<f64>, FormatError> {
    let mut theta = None;
    for key in ["rope_scaling", "rope_parameters"] {
        let Some(section) = config.section(key)? else { continue };
        let is_plain = |part: &str| match part {
            "rope_type" | "type" => section.get(part).is_none_or(|kind| kind == "default"),
            "partial_rotary_factor" => {
                section.get(part).is_none_or(|factor| factor.as_f64() == Some(1.0))
            }
            "rope_theta" => true,
            // Scaling, or a nested section for each type of layer.
            _ => section.get(part).is_none(),
        };
        if !section.keys().all(is_plain) {
            return Err(config.error(key, "plain RoPE (rope_type \"default\" and rope_theta)"));
        }
        if theta.is_none() && section.get("rope_theta").is_some() {
            theta = Some(section.positive("rope_theta")?);
        }
    }
    if theta.is_none() && config.get("rope_theta").is_some() {
        theta = Some(config.positive("rope_theta")?);
    }
    Ok(theta)
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
        let blueprint = Blueprint::read(&Config::of(dream()), Overrides::default()).unwrap();
        assert_eq!(blueprint.head_dim, 128);
        assert!(blueprint.shift && !blueprint.tied);
        assert_eq!((blueprint.qkv_bias, blueprint.qk_norm), (Part::IfPresent, Part::IfPresent));
        assert_eq!(blueprint.family, Family::Dream);
    }

    #[test]
    fn qwen_models_are_recognised_and_related_models_are_not() {
        let of = |model_type: &str, architecture: &str| {
            let config = json!({"model_type": model_type, "architectures": [architecture]});
            Variant::of(model_type, &Config::of(config))
        };
        assert_eq!(of("qwen2", "Qwen2ForCausalLM"), Some(Variant::Qwen2));
        assert_eq!(of("a2d-qwen3", "A2DQwen3LMHeadModel"), Some(Variant::Qwen3));
        assert_eq!(of("mine", "MyQwen3Model"), Some(Variant::Qwen3));
        for related in ["qwen2_moe", "qwen3_5", "qwen2_vl"] {
            assert_eq!(of(related, "Qwen2MoeForCausalLM"), None);
        }
    }

    #[test]
    fn unsupported_values_are_reported() {
        for (key, value) in [
            ("hidden_act", json!("gelu")),
            ("use_sliding_window", json!(true)),
            ("partial_rotary_factor", json!(0.5)),
            ("rope_scaling", json!({"type": "yarn", "factor": 4.0})),
            ("rope_scaling", json!({"factor": 4.0})),
            ("rope_parameters", json!({"rope_type": "linear"})),
            (
                "rope_parameters",
                json!({"full_attention": {"rope_type": "yarn", "rope_theta": 1e6}}),
            ),
            ("rope_parameters", json!({"rope_type": "default", "mrope_section": [1, 2]})),
            ("layer_types", json!(["full_attention", "sliding_attention"])),
            ("layer_types", json!(["full_attention"])),
            ("layer_types", json!("full_attention")),
            ("rope_theta", json!(-1.0)),
            ("attention_bias", json!(true)),
            ("hidden_size", json!(-1)),
        ] {
            let message =
                Blueprint::read(&with(key, value), Overrides::default()).unwrap_err().to_string();
            assert!(message.contains(key), "{key}: {message}");
        }
    }

    #[test]
    fn a_missing_theta_gets_the_default_of_transformers_and_a_note() {
        let blueprint =
            Blueprint::read(&with("rope_theta", json!(null)), Overrides::default()).unwrap();
        assert_eq!(blueprint.rope_theta, 1e4);
        let [note] = &blueprint.notes[..] else { panic!("{:?}", blueprint.notes) };
        assert!(note.contains("rope_theta") && note.contains("10000"), "{note}");
        assert_eq!(
            Blueprint::read(&Config::of(dream()), Overrides::default()).unwrap().notes,
            [""; 0]
        );
    }

    /// The LLaDA family contains models of the same type and another class.
    #[test]
    fn another_class_of_the_same_type_is_rejected() {
        for (model_type, class) in [("Dream", "DreamForMaskedLM"), ("llada", "LLaDAMoEModelLM")] {
            let mut config = dream();
            config["model_type"] = json!(model_type);
            config["architectures"] = json!([class]);
            let error = Blueprint::check_keys(&Config::of(config), &[]).unwrap_err();
            assert!(matches!(error, FormatError::OtherKind { .. }), "{error}");
            assert!(error.to_string().contains(class), "{error}");
        }
        Blueprint::check_keys(&with("architectures", json!(null)), &[]).unwrap();
    }

    #[test]
    fn published_keys_are_known_and_those_of_other_kinds_are_rejected() {
        let mut published = dream();
        for (key, value) in [
            ("attention_dropout", json!(0.0)),
            ("auto_map", json!({"AutoModel": "modeling_dream.DreamModel"})),
            ("initializer_range", json!(0.02)),
            ("mask_token_id", json!(151666)),
            ("max_window_layers", json!(28)),
            ("sliding_window", json!(4096)),
            ("torch_dtype", json!("bfloat16")),
            ("transformers_version", json!("4.46.2")),
            ("use_cache", json!(true)),
            ("use_mrope", json!(false)),
            ("full_attn_hub_size", json!(null)),
        ] {
            published[key] = value;
        }
        Blueprint::check_keys(&Config::of(published.clone()), &[]).unwrap();
        published["block_size"] = json!(32); // of DreamModel, no published one has blocks
        // Keys are checked before any size is read.
        published["hidden_size"] = json!(-1);
        let error = Blueprint::check_keys(&Config::of(published), &[]).unwrap_err();
        assert!(matches!(error, FormatError::OtherKind { .. }), "{error}");
        let ignored = ["gravity".to_owned()];
        let unknown = with("gravity", json!(9.81));
        let error = Blueprint::check_keys(&unknown, &[]).unwrap_err();
        assert!(matches!(error, FormatError::UnknownKeys { .. }), "{error}");
        Blueprint::check_keys(&unknown, &ignored).unwrap();
    }

    #[test]
    fn theta_is_read_from_the_sections_of_transformers_5() {
        let mut config = dream();
        config["rope_theta"] = json!(null);
        config["rope_parameters"] = json!({"rope_type": "default", "rope_theta": 5e5});
        assert_eq!(
            Blueprint::read(&Config::of(config.clone()), Overrides::default()).unwrap().rope_theta,
            5e5
        );
        config["rope_scaling"] = json!({"rope_type": "default", "rope_theta": 3e5});
        assert_eq!(
            Blueprint::read(&Config::of(config), Overrides::default()).unwrap().rope_theta,
            3e5
        );
    }

    #[test]
    fn a_plain_qwen_requires_a_shift() {
        let error =
            Blueprint::read(&with("model_type", json!("qwen2")), Overrides::default()).unwrap_err();
        assert!(matches!(error, FormatError::ShiftUnknown { .. }), "{error}");
        for shift in [true, false] {
            let config = with("model_type", json!("qwen2"));
            let shifted = Overrides { shift: Some(shift), ..Overrides::default() };
            assert_eq!(Blueprint::read(&config, shifted).unwrap().shift, shift);
        }
        let converted = with("model_type", json!("a2d-qwen2"));
        assert!(!Blueprint::read(&converted, Overrides::default()).unwrap().shift);
    }

    /// `SDAR-4B-Chat` (JetAstra/SDAR), `Fast_dLLM_v2_7B` (NVlabs/Fast-dLLM), `DreamReasoner-8B`, and dLLM's bd3lm.
    #[test]
    fn block_causal_models_have_blocks_shift_norms_and_biases_of_their_own() {
        for (model_type, class, key, block, shift, (bias, norm)) in [
            ("sdar", "SDARForCausalLM", "block_size", 4, false, (Part::Never, Part::Always)),
            (
                "Fast_dLLM_Qwen",
                "Fast_dLLM_QwenForCausalLM",
                "bd_size",
                32,
                true,
                (Part::Always, Part::IfPresent),
            ),
            ("Dream", "DreamForCausalLM", "block_size", 32, false, (Part::Never, Part::Always)),
            (
                "a2d-qwen3",
                "A2DQwen3LMHeadModel",
                "block_size",
                32,
                false,
                (Part::Never, Part::Always),
            ),
            (
                "a2d-qwen2",
                "A2DQwen2LMHeadModel",
                "block_size",
                32,
                false,
                (Part::Always, Part::IfPresent),
            ),
        ] {
            let mut config = dream();
            config["model_type"] = json!(model_type);
            config["architectures"] = json!([class]);
            config[key] = json!(block);
            let config = Config::of(config);
            Blueprint::check_keys(&config, &[]).unwrap();
            let blueprint = Blueprint::read(&config, Overrides::default()).unwrap();
            assert_eq!(
                (blueprint.attention_block, blueprint.shift),
                (Some(block), shift),
                "{class}"
            );
            assert_eq!((blueprint.qkv_bias, blueprint.qk_norm), (bias, norm), "{class}");
            let full = Overrides { attention_block: Some(0), ..Overrides::default() };
            assert_eq!(Blueprint::read(&config, full).unwrap().attention_block, None);
        }
    }

    /// Only a converted model can be of either kind.
    #[test]
    fn a_block_causal_model_requires_the_length_of_its_blocks() {
        for (model_type, class) in [
            ("sdar", "SDARForCausalLM"),
            ("Fast_dLLM_Qwen", "Fast_dLLM_QwenForCausalLM"),
            ("Dream", "DreamForCausalLM"),
        ] {
            let mut config = dream();
            config["model_type"] = json!(model_type);
            config["architectures"] = json!([class]);
            let config = Config::of(config);
            let error = Blueprint::read(&config, Overrides::default()).unwrap_err();
            assert!(matches!(error, FormatError::AttentionBlockUnknown { .. }), "{error}");
            let given = Overrides { attention_block: Some(8), ..Overrides::default() };
            assert_eq!(Blueprint::read(&config, given).unwrap().attention_block, Some(8));
        }
        let converted = with("model_type", json!("a2d-qwen3"));
        let blueprint = Blueprint::read(&converted, Overrides::default()).unwrap();
        assert_eq!(blueprint.attention_block, None);
        let [note] = &blueprint.notes[..] else { panic!("{:?}", blueprint.notes) };
        assert!(note.contains("block_size") && note.contains("bd3lm"), "{note}");
    }

    #[test]
    fn qwen3_normalises_queries_and_keys_and_has_no_bias() {
        let blueprint =
            Blueprint::read(&with("model_type", json!("a2d-qwen3")), Overrides::default()).unwrap();
        assert_eq!((blueprint.qkv_bias, blueprint.qk_norm), (Part::Never, Part::Always));
    }
}
