//! Related models that cannot be exported, recognised by name.
//!
//! Some share their type or their tensors' names with supported models.

use super::kinds::{EXPERTS, IMAGES, other_kind};
use crate::config::Config;
use crate::error::FormatError;

/// Parts of a type or class, in lower case and without punctuation, with the kind of model. The first match
/// counts.
const RELATED: [(&str, &str); 13] = [
    ("llada2", "a mixture of experts, which attends block by block"),
    ("sdarmoe", "a mixture of experts, which attends block by block"),
    ("bd3lm", "a diffusion transformer (DiT)"),
    ("moe", EXPERTS),
    ("mixtral", EXPERTS),
    ("lladav", IMAGES),
    ("mmada", IMAGES),
    ("qwen2vl", IMAGES),
    ("qwen25vl", IMAGES),
    ("qwen3vl", IMAGES),
    ("lavida", IMAGES),
    ("t5", "an encoder and a decoder"),
    ("forsequenceclassification", "a classifier"),
];

/// Rejects a model whose type or class contains one of the names.
pub(super) fn reject(config: &Config) -> Result<(), FormatError> {
    for key in ["architectures", "model_type"] {
        let Some(name) = name(config, key) else { continue };
        let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        let plain = plain.to_lowercase();
        if let Some((_, kind)) = RELATED.iter().find(|(part, _)| plain.contains(part)) {
            return Err(other_kind(config, key, kind));
        }
    }
    Ok(())
}

/// Rejects a model whose class is a causal one, unless its files define a mask token.
pub(super) fn reject_causal(config: &Config, defines_mask: bool) -> Result<(), FormatError> {
    let class = name(config, "architectures").unwrap_or_default();
    let is_causal = class.ends_with("ForCausalLM") && !class.starts_with("A2D");
    match is_causal && !defines_mask {
        true => {
            let kind = "a causal model (none of its files names a mask token)";
            Err(other_kind(config, "architectures", kind))
        }
        false => Ok(()),
    }
}

/// The type, or the first class, under this key.
fn name<'a>(config: &'a Config, key: &str) -> Option<&'a str> {
    let value = config.get(key)?;
    value.as_str().or_else(|| value.as_array().and_then(|names| names.first()?.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn related_models_are_reported_by_kind_and_supported_ones_are_accepted() {
        for (model_type, class, kind) in [
            ("llada", "LLaDAMoEModelLM", "mixture of experts"),
            ("llada2_moe", "LLaDA2MoeModelLM", "block by block"),
            ("sdar_moe", "SDARMoeForCausalLM", "mixture of experts"),
            ("bd3lm", "BD3LM", "diffusion transformer"),
            ("qwen2_moe", "Qwen2MoeForCausalLM", "mixture of experts"),
            ("qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration", "images"),
            ("t5", "T5ForConditionalGeneration", "an encoder and a decoder"),
        ] {
            for config in [
                json!({"model_type": model_type, "architectures": [class]}),
                json!({"model_type": model_type, "architectures": ["Other"]}),
            ] {
                let by_class = config["architectures"][0] == class;
                let rejected = reject(&Config::of(config)).map_err(|error| error.to_string());
                // LLaDA's mixture of experts is recognised by its class alone.
                if by_class || model_type != "llada" {
                    let message = rejected.unwrap_err();
                    assert!(
                        message.contains(kind) && message.contains(class) == by_class,
                        "{message}"
                    );
                }
            }
        }
        for (model_type, class) in [
            ("Dream", "DreamModel"),
            ("llada", "LLaDAModelLM"),
            ("a2d-qwen3", "A2DQwen3LMHeadModel"),
            ("sdar", "SDARForCausalLM"),
            ("Fast_dLLM_Qwen", "Fast_dLLM_QwenForCausalLM"),
            ("Dream", "DreamForCausalLM"),
            ("qwen2", "Qwen2ForCausalLM"),
            ("bert", "BertForMaskedLM"),
            ("albert", "AlbertForMaskedLM"),
            ("modernbert", "ModernBertForMaskedLM"),
        ] {
            let config = Config::of(json!({"model_type": model_type, "architectures": [class]}));
            assert!(reject(&config).is_ok(), "{class}");
        }
    }

    #[test]
    fn a_causal_class_requires_a_mask() {
        let config =
            |class: &str| Config::of(json!({"model_type": "qwen2", "architectures": [class]}));
        let error = reject_causal(&config("Qwen2ForCausalLM"), false).unwrap_err().to_string();
        assert!(error.contains("Qwen2ForCausalLM") && error.contains("causal model"), "{error}");
        assert!(reject_causal(&config("Qwen2ForCausalLM"), true).is_ok());
        assert!(reject_causal(&config("A2DQwen2LMHeadModel"), false).is_ok());
        assert!(reject_causal(&Config::of(json!({})), false).is_ok());
    }
}
