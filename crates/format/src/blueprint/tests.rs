//! Tests over all architectures.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::keys::COMMON;
use super::structure::{Blueprint, Overrides};
use super::{bert, blocks, llada, modernbert, qwen};
use crate::config::Config;
use crate::error::FormatError;

#[test]
fn an_unknown_architecture_is_reported_with_the_known_ones() {
    for config in [
        json!({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}),
        json!({"model_type": "mdlm", "architectures": ["MDLM"]}),
        json!({}),
    ] {
        let error = Blueprint::read(&Config::of(config.clone()), Overrides::default()).unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, FormatError::UnknownArchitecture { .. }), "{message}");
        assert!(message.contains("Dream") && message.contains("llada"), "{message}");
        if let Some(model_type) = config["model_type"].as_str() {
            assert!(message.contains(model_type), "{message}");
        }
    }
}

/// A key that `read` reads must be listed: otherwise a configuration that sets it is rejected. A key that it no
/// longer reads must be removed: otherwise it is ignored silently.
#[test]
fn the_lists_hold_exactly_the_keys_that_are_read() {
    let sizes = json!({
        "vocab_size": 8, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 4,
        "max_position_embeddings": 8, "rms_norm_eps": 1e-6,
        "d_model": 4, "n_layers": 1, "n_heads": 1, "mlp_ratio": 4, "max_sequence_length": 8, "activation_type": "silu",
        "block_type": "llama", "rope": true, "layer_norm_type": "rms", "bd_size": 4, "block_size": 4
    });
    // Where one key replaces another, each is read in turn.
    let keys_read = |models: &[&str], given: Value| {
        let mut found = BTreeSet::new();
        for model in models {
            for more in [&json!({}), &given] {
                let mut config = sizes.clone();
                config["model_type"] = json!(model);
                for (key, value) in more.as_object().unwrap() {
                    config[key] = value.clone();
                }
                let config = Config::of(config);
                Blueprint::read(&config, Overrides::default()).unwrap();
                found.extend(config.keys_read());
            }
        }
        found
    };
    let unread = |keys: &[&'static str], found: BTreeSet<String>| {
        let listed = |key: &String| keys.contains(&key.as_str()) || COMMON.contains(&key.as_str());
        let unlisted: Vec<_> = found.iter().filter(|key| !listed(key)).collect();
        assert!(unlisted.is_empty(), "read and not listed: {unlisted:?}");
        keys.iter().copied().filter(|&key| !found.contains(key)).collect::<Vec<_>>()
    };
    let given = json!({"rope_theta": 1e4});
    let found = keys_read(&["Dream", "a2d-qwen2", "a2d-qwen3", "sdar", "Fast_dLLM_Qwen"], given);
    assert_eq!(unread(&[qwen::KEYS, &blocks::KEYS].concat(), found), [""; 0]);
    let given =
        json!({"mlp_hidden_size": 4, "embedding_size": 8, "weight_tying": true, "rope_theta": 1e4});
    let inert = ["alibi_bias_max", "attention_layer_norm_with_affine", "tie_word_embeddings"];
    assert_eq!(unread(llada::KEYS, keys_read(&["llada"], given)), inert);
    // Encoders' keys without effect come last in the lists.
    let none = json!({});
    let inert = unread(bert::KEYS, keys_read(&["bert"], none.clone()));
    assert_eq!(inert.first(), Some(&"directionality"));
    assert!(bert::KEYS.ends_with(&inert), "{inert:?}");
    let inert = unread(bert::ALBERT_KEYS, keys_read(&["albert"], none.clone()));
    assert_eq!(inert.first(), Some(&"classifier_dropout_prob"));
    assert!(bert::ALBERT_KEYS.ends_with(&inert), "{inert:?}");
    let inert = unread(modernbert::KEYS, keys_read(&["modernbert"], none));
    assert_eq!(inert.first(), Some(&"classifier_pooling"));
    assert!(modernbert::KEYS.ends_with(&inert), "{inert:?}");
}
