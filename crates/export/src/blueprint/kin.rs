//! Models that are known by name and cannot be exported, so that each is rejected for what it is.
//!
//! Some share their type or their tensors' names with models that can be.

use super::keys::{self, BLOCKS, EXPERTS};
use crate::config::Config;
use crate::error::ExportError;

/// OptionalTensors of a type or class, in lower case and without signs, with what the model then is. The first that fits counts.
const KIN: [(&str, &str); 16] = [
    ("llada2", "a mixture of experts, which attends block by block"),
    ("sdarmoe", "a mixture of experts, which attends block by block"),
    ("sdar", BLOCKS),
    ("trado", BLOCKS),
    ("fastdllm", BLOCKS),
    ("bd3lm", BLOCKS),
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
const IMAGES: &str = "a model of images and text";

/// Rejects a model that one of the names belongs to.
pub(super) fn reject(config: &Config) -> Result<(), ExportError> {
    for key in ["architectures", "model_type"] {
        let Some(name) = name(config, key) else { continue };
        let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        let plain = plain.to_lowercase();
        if let Some((_, kind)) = KIN.iter().find(|(part, _)| plain.contains(part)) {
            return Err(keys::other_kind(config, key, kind));
        }
    }
    Ok(())
}

/// Rejects a model of the class of a causal one, in whose files no mask is named.
pub(super) fn reject_causal(config: &Config, names_mask: bool) -> Result<(), ExportError> {
    let class = name(config, "architectures").unwrap_or_default();
    let is_causal = class.ends_with("ForCausalLM") && !class.starts_with("A2D");
    match is_causal && !names_mask {
        true => {
            let kind = "a causal model (none of its files names a mask token)";
            Err(keys::other_kind(config, "architectures", kind))
        }
        false => Ok(()),
    }
}

/// The type, or the first class.
fn name<'a>(config: &'a Config, key: &str) -> Option<&'a str> {
    let value = config.get(key)?;
    value.as_str().or_else(|| value.as_array().and_then(|names| names.first()?.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn kin_are_named_for_what_they_are_and_models_pass() {
        for (model_type, class, kind) in [
            ("llada", "LLaDAMoEModelLM", "mixture of experts"),
            ("llada2_moe", "LLaDA2MoeModelLM", "block by block"),
            ("sdar", "SDARForCausalLM", "block by block"),
            ("sdar_moe", "SDARMoeForCausalLM", "mixture of experts"),
            ("Fast_dLLM_Qwen", "Fast_dLLM_QwenForCausalLM", "block by block"),
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
                // Of LLaDA's mixture of experts the class alone tells.
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
    fn a_causal_class_needs_a_mask() {
        let config =
            |class: &str| Config::of(json!({"model_type": "qwen2", "architectures": [class]}));
        let error = reject_causal(&config("Qwen2ForCausalLM"), false).unwrap_err().to_string();
        assert!(error.contains("Qwen2ForCausalLM") && error.contains("causal model"), "{error}");
        assert!(reject_causal(&config("Qwen2ForCausalLM"), true).is_ok());
        assert!(reject_causal(&config("A2DQwen2LMHeadModel"), false).is_ok());
        assert!(reject_causal(&Config::of(json!({})), false).is_ok());
    }
}
