//! Which keys of a `config.json` a graph honours, which change nothing, and which make it another kind of model.
//!
//! A key that is ignored can silently turn a model into another one: only `block_size` tells a block-causal model from one with
//! full attention. So every key is accounted for here, before any size is read.

use serde_json::Value;

use super::kin;
use crate::config::Config;
use crate::error::ExportError;

/// Keys that make a model of another kind once they are set, with what it then is.
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
const QUANTISED: &str = "a quantised model (give the original one, in 16 or 32 bits)";
pub(super) const BLOCKS: &str = "a block-causal model, which attends block by block";
pub(super) const EXPERTS: &str = "a mixture of experts";
const CAUSAL: &str = "a causal model, which predicts the next token";

/// Keys that have no effect at one value, and make another model at all others.
const NEUTRAL: [(&str, f64, &str); 4] = [
    ("embedding_multiplier", 1.0, "a model that scales its embeddings"),
    ("logit_scale", 1.0, "a model that scales its logits"),
    ("logits_scaling", 1.0, "a model that scales its logits"),
    ("residual_multiplier", 1.0, "a model that scales its residuals"),
];

/// Keys that do not change what a graph computes: of training, of Transformers, and of sampling. `sliding_window` and
/// `max_window_layers` act only with `use_sliding_window`.
const INERT: [&str; 82] = [
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
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "embd_pdrop",
    "embedding_dropout",
    "finetuning_task",
    "flash_attention",
    "forced_bos_token_id",
    "forced_eos_token_id",
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
    "use_flash_attn",
];

/// Keys that every architecture honours.
const COMMON: [&str; 6] = [
    "architectures",
    "bos_token_id",
    "eos_token_id",
    "mask_token_id",
    "model_type",
    "pad_token_id",
];

/// Rejects a configuration that describes a model of another kind, unless its architecture honours the key.
pub(super) fn reject_other_kinds(config: &Config, honoured: &[&str]) -> Result<(), ExportError> {
    kin::reject(config)?;
    let foreign = OTHER_KINDS.iter().filter(|(key, _)| !honoured.contains(key));
    let set = foreign.filter(|(key, _)| config.get(key).is_some_and(is_set));
    let scaled = NEUTRAL.iter().filter(|(key, neutral, _)| {
        config.get(key).is_some_and(|value| value.as_f64() != Some(*neutral))
    });
    let mut found = set.copied().chain(scaled.map(|&(key, _, kind)| (key, kind)));
    found.next().map_or(Ok(()), |(key, kind)| Err(other_kind(config, key, kind)))
}

/// The error of a configuration with a key that makes it a model of this kind.
pub(super) fn other_kind(config: &Config, key: &str, kind: &'static str) -> ExportError {
    let (key, got) = (key.to_owned(), config.describe(key));
    ExportError::OtherKind { path: config.path.clone(), key, got, kind }
}

/// Rejects keys that are not null, and neither honoured by the architecture, nor inert, nor to be ignored; and keys to be
/// ignored that need not be.
pub(super) fn reject_unknown(
    config: &Config,
    honoured: &[&str],
    ignored: &[String],
) -> Result<(), ExportError> {
    let known = |key: &str| {
        let lists = [honoured, &COMMON, &INERT];
        lists.iter().any(|list| list.contains(&key))
            || OTHER_KINDS.iter().any(|(other, _)| *other == key)
            || NEUTRAL.iter().any(|(other, ..)| *other == key)
    };
    let is_ignored = |key: &str| ignored.iter().any(|own| own == key);
    let unknown = |key: &&str| !known(key) && config.get(key).is_some();
    if let Some(key) = ignored.iter().find(|key| !unknown(&key.as_str())) {
        return Err(ExportError::IgnoredKey { path: config.path.clone(), key: key.clone() });
    }
    let keys: Vec<&str> = config.keys().filter(unknown).filter(|key| !is_ignored(key)).collect();
    match keys.is_empty() {
        true => Ok(()),
        false => Err(ExportError::UnknownKeys {
            path: config.path.clone(),
            keys: keys.iter().map(|key| format!("{key} = {}", config.describe(key))).collect(),
        }),
    }
}

/// Whether a value switches something on.
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
    fn other_kinds_are_named_for_what_they_are() {
        for (key, value, kind) in [
            ("block_size", json!(32), "block by block"),
            ("bd_size", json!(4), "block by block"),
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

    /// A value of false can switch something off that the graphs have.
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
        for needless in ["hidden_size", "use_cache", "block_size", "swing", "spun"] {
            let message = check(&["spin", "use_rope", needless]).unwrap_err();
            assert!(message.contains(needless), "{message}");
        }
    }

    /// A key that `read` comes to ask for must be listed, or a configuration that sets it is rejected; one that it no longer asks
    /// for must go, or it is ignored silently.
    #[test]
    fn the_lists_hold_exactly_the_keys_that_are_read() {
        use crate::blueprint::{Blueprint, bert, llada, modernbert, qwen};
        use std::collections::BTreeSet;
        let sizes = json!({
            "vocab_size": 8, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 4,
            "max_position_embeddings": 8, "rms_norm_eps": 1e-6,
            "d_model": 4, "n_layers": 1, "n_heads": 1, "mlp_ratio": 4, "max_sequence_length": 8, "activation_type": "silu",
            "block_type": "llama", "rope": true, "layer_norm_type": "rms"
        });
        // Of keys of which one stands in for another, each is read in turn.
        let asked = |models: &[&str], given: Value| {
            let mut asked = BTreeSet::new();
            for model in models {
                for more in [&json!({}), &given] {
                    let mut config = sizes.clone();
                    config["model_type"] = json!(model);
                    for (key, value) in more.as_object().unwrap() {
                        config[key] = value.clone();
                    }
                    let config = Config::of(config);
                    Blueprint::read(&config, None).unwrap();
                    asked.extend(config.asked());
                }
            }
            asked
        };
        let unread = |keys: &[&'static str], asked: BTreeSet<String>| {
            let listed =
                |key: &String| keys.contains(&key.as_str()) || COMMON.contains(&key.as_str());
            let unlisted: Vec<_> = asked.iter().filter(|key| !listed(key)).collect();
            assert!(unlisted.is_empty(), "read and not listed: {unlisted:?}");
            keys.iter().copied().filter(|&key| !asked.contains(key)).collect::<Vec<_>>()
        };
        let given = json!({"rope_theta": 1e4});
        let asked_of_qwen = asked(&["Dream", "a2d-qwen2", "a2d-qwen3"], given);
        assert_eq!(unread(qwen::KEYS, asked_of_qwen), [""; 0]);
        let given = json!({"mlp_hidden_size": 4, "embedding_size": 8, "weight_tying": true, "rope_theta": 1e4});
        let silent = ["alibi_bias_max", "attention_layer_norm_with_affine", "tie_word_embeddings"];
        assert_eq!(unread(llada::KEYS, asked(&["llada"], given)), silent);
        // Of encoders those that act on nothing come last on the lists.
        let none = json!({});
        let silent = unread(bert::KEYS, asked(&["bert"], none.clone()));
        assert_eq!(silent.first(), Some(&"directionality"));
        assert!(bert::KEYS.ends_with(&silent), "{silent:?}");
        let silent = unread(bert::ALBERT_KEYS, asked(&["albert"], none.clone()));
        assert_eq!(silent.first(), Some(&"classifier_dropout_prob"));
        assert!(bert::ALBERT_KEYS.ends_with(&silent), "{silent:?}");
        let silent = unread(modernbert::KEYS, asked(&["modernbert"], none));
        assert_eq!(silent.first(), Some(&"classifier_pooling"));
        assert!(modernbert::KEYS.ends_with(&silent), "{silent:?}");
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
