//! The keys of a `config.json`: those that graphs honour, those without effect, and those of unsupported kinds
//! of model.
//!
//! An ignored key can silently turn a model into another one. For example, `block_size` alone distinguishes a
//! block-causal model from one with full attention. So every key must be on one of the lists here; this is
//! checked before any size is read.

use serde_json::Value;

use super::kinds::{BLOCKS, CAUSAL, EXPERTS, QUANTISED, other_kind};
use super::related;
use crate::config::Config;
use crate::error::FormatError;

/// Keys that, if set, mean an unsupported kind of model, with that kind.
const OTHER_KINDS: [(&str, &str); 21] = [
    ("quantization_config", QUANTISED),
    ("quantization", QUANTISED),
    ("compression_config", QUANTISED),
    ("block_size", BLOCKS),
    ("bd_size", BLOCKS),
    ("num_experts", EXPERTS),
    ("num_local_experts", EXPERTS),
    ("n_routed_experts", EXPERTS),
    ("num_experts_per_tok", EXPERTS),
    ("moe_intermediate_size", EXPERTS),
    ("expert_intermediate_size", EXPERTS),
    ("is_causal", CAUSAL),
    ("use_causal_mask", CAUSAL),
    ("add_cross_attention", "a decoder with attention to an encoder"),
    ("is_encoder_decoder", "an encoder and a decoder"),
    ("vision_config", "a model of images and text"),
    ("audio_config", "a model of sound and text"),
    ("mlp_bias", "a model with a bias in its feed-forward networks"),
    ("use_mrope", "a model with rotary positions in several dimensions"),
    ("attn_logit_softcapping", "a model that caps its attention scores"),
    ("final_logit_softcapping", "a model that caps its logits"),
];

/// Keys with one value without effect. Every other value means an unsupported kind of model.
const NEUTRAL: [(&str, f64, &str); 4] = [
    ("embedding_multiplier", 1.0, "a model that scales its embeddings"),
    ("logit_scale", 1.0, "a model that scales its logits"),
    ("logits_scaling", 1.0, "a model that scales its logits"),
    ("residual_multiplier", 1.0, "a model that scales its residuals"),
];

/// Keys that do not change what a graph computes: keys of training, of Transformers and of sampling.
/// `sliding_window` and `max_window_layers` have an effect only with `use_sliding_window`.
const INERT: [&str; 88] = [
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_attn_implementation_internal",
    "_commit_hash",
    "_flash_attn_2_enabled",
    "_name_or_path",
    "attention_dropout",
    "attention_probs_dropout_prob",
    "attn_implementation",
    "auto_map",
    "bad_words_ids",
    "begin_suppress_tokens",
    "chunk_size_feed_forward",
    "classifier_dropout",
    "cls_token_id",
    "cross_attention_hidden_size",
    "debug",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "embd_pdrop",
    "embedding_dropout",
    "ep_size",
    "finetuning_task",
    "flash_attention",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "fuse_cross_entropy",
    "gradient_checkpointing",
    "hidden_dropout",
    "hidden_dropout_prob",
    "id2label",
    "init_cutoff_factor",
    "init_device",
    "init_fn",
    "init_std",
    "initializer_range",
    "is_decoder",
    "label2id",
    "length_penalty",
    "max_length",
    "max_window_layers",
    "micro_forward",
    "min_length",
    "model_max_length",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_labels",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_router_logits",
    "output_scores",
    "precision",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "remove_invalid_values",
    "repetition_penalty",
    "residual_dropout",
    "return_dict",
    "return_dict_in_generate",
    "sep_token_id",
    "skip_checkpoint",
    "sliding_window",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tokenizer_class",
    "tokenizer_padding_side",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers_version",
    "typical_p",
    "unk_token_id",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
    "use_deepep",
    "use_flash_attn",
];

/// Keys that every architecture honours.
pub(super) const COMMON: [&str; 6] = [
    "architectures",
    "bos_token_id",
    "eos_token_id",
    "mask_token_id",
    "model_type",
    "pad_token_id",
];

/// Rejects a configuration of an unsupported kind of model, unless its architecture honours the key.
pub(super) fn reject_other_kinds(config: &Config, honoured: &[&str]) -> Result<(), FormatError> {
    related::reject(config)?;
    let foreign = OTHER_KINDS.iter().filter(|(key, _)| !honoured.contains(key));
    let set = foreign.filter(|(key, _)| config.get(key).is_some_and(is_set));
    let scaled = NEUTRAL.iter().filter(|(key, neutral, _)| {
        config.get(key).is_some_and(|value| value.as_f64() != Some(*neutral))
    });
    let mut found = set.copied().chain(scaled.map(|&(key, _, kind)| (key, kind)));
    found.next().map_or(Ok(()), |(key, kind)| Err(other_kind(config, key, kind)))
}

/// Rejects unknown keys: those that are not null, on none of the lists, and not in `ignored`. Also rejects
/// entries of `ignored` that are not unknown keys.
pub(super) fn reject_unknown(
    config: &Config,
    honoured: &[&str],
    ignored: &[String],
) -> Result<(), FormatError> {
    let known = |key: &str| {
        let lists = [honoured, &COMMON, &INERT];
        lists.iter().any(|list| list.contains(&key))
            || OTHER_KINDS.iter().any(|(other, _)| *other == key)
            || NEUTRAL.iter().any(|(other, ..)| *other == key)
    };
    let is_ignored = |key: &str| ignored.iter().any(|own| own == key);
    let unknown = |key: &&str| !known(key) && config.get(key).is_some();
    if let Some(key) = ignored.iter().find(|key| !unknown(&key.as_str())) {
        return Err(FormatError::IgnoredKey { path: config.path.clone(), key: key.clone() });
    }
    let keys: Vec<&str> = config.keys().filter(unknown).filter(|key| !is_ignored(key)).collect();
    match keys.is_empty() {
        true => Ok(()),
        false => Err(FormatError::UnknownKeys {
            path: config.path.clone(),
            keys: keys.iter().map(|key| format!("{key} = {}", config.describe(key))).collect(),
        }),
    }
}

/// Whether a value sets its key: it is neither null, false, 0 nor empty.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(entries) => !entries.is_empty(),
        Value::Bool(true) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn unsupported_kinds_are_reported_by_name() {
        for (key, value, kind) in [
            ("block_size", json!(32), "block-causal"),
            ("bd_size", json!(4), "block-causal"),
            ("num_experts", json!(64), "experts"),
            ("quantization_config", json!({"quant_method": "gptq"}), "quantised"),
            ("is_causal", json!(true), "causal"),
            ("mlp_bias", json!(true), "bias"),
            ("use_mrope", json!(true), "rotary"),
            ("final_logit_softcapping", json!(30.0), "logits"),
            ("logit_scale", json!(0.0), "scales"),
            ("embedding_multiplier", json!(12), "embeddings"),
        ] {
            let config = Config::of(json!({ key: value.clone() }));
            let message = reject_other_kinds(&config, &[]).unwrap_err().to_string();
            let found = format!("{key} is {value}");
            assert!(message.contains(&found) && message.contains(kind), "{message}");
        }
        for unset in [json!(null), json!(false), json!(0), json!({}), json!([])] {
            let config = Config::of(json!({"block_size": unset, "num_experts": unset}));
            assert!(reject_other_kinds(&config, &[]).is_ok(), "{unset}");
        }
        assert!(reject_other_kinds(&Config::of(json!({"logit_scale": 1})), &[]).is_ok());
        let biased = Config::of(json!({"mlp_bias": true}));
        assert!(reject_other_kinds(&biased, &["mlp_bias"]).is_ok());
    }

    /// `false` counts as a value: it can disable a part that the graphs have.
    #[test]
    fn unknown_keys_are_errors_unless_they_are_ignored_or_null() {
        let config = Config::of(json!({
            "model_type": "x", "hidden_size": 4, "use_cache": true, "block_size": 0, "swing": null,
            "spin": 3, "use_rope": false
        }));
        let check = |ignored: &[&str]| {
            let ignored: Vec<String> = ignored.iter().map(ToString::to_string).collect();
            reject_unknown(&config, &["hidden_size"], &ignored).map_err(|error| error.to_string())
        };
        let message = check(&[]).unwrap_err();
        assert!(message.contains("spin = 3, use_rope = false"), "{message}");
        let message = check(&["spin"]).unwrap_err();
        assert!(!message.contains("spin") && message.contains("use_rope"), "{message}");
        check(&["spin", "use_rope"]).unwrap();
        assert!(reject_unknown(&config, &["hidden_size", "spin", "use_rope"], &[]).is_ok());
        for known in ["hidden_size", "use_cache", "block_size", "swing", "spun"] {
            let message = check(&["spin", "use_rope", known]).unwrap_err();
            assert!(message.contains(known), "{message}");
        }
    }

    #[test]
    fn no_key_is_on_two_lists() {
        let mut keys: Vec<&str> = OTHER_KINDS.map(|(key, _)| key).to_vec();
        keys.extend(NEUTRAL.map(|(key, ..)| key));
        keys.extend(INERT.iter().chain(&COMMON));
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }
}
