//! Special ids: from `config.json`, or else by name from the tokenizer's files.

use serde_json::Value;

use crate::config::Config;
use crate::error::ExportError;
use crate::manifest::SpecialTokens;

impl SpecialTokens {
    /// Finds the ids. Only the mask must exist.
    ///
    /// `generation_config.json` is not asked: Dream's has a null mask id there.
    pub(crate) fn find(config: &Config, vocab_size: usize) -> Result<Self, ExportError> {
        let tokenizer = Tokenizer::read(config)?;
        let id = |role: &str| {
            let key = format!("{role}_token_id");
            let id = match config.get(&key) {
                // Several ids may end a text; the first one is the model's own.
                Some(Value::Array(ids)) => ids.first().and_then(Value::as_u64),
                Some(id) => id.as_u64(),
                None => match tokenizer.id(&format!("{role}_token")) {
                    None => return Ok(None),
                    id => id,
                },
            };
            id.filter(|&id| id < vocab_size as u64)
                .and_then(|id| u32::try_from(id).ok())
                .map(Some)
                .ok_or_else(|| config.error(&key, &format!("an id below {vocab_size}")))
        };
        let mask = id("mask")?.ok_or_else(|| {
            config.error("mask_token_id", "the mask's id, here or in the tokenizer's files")
        })?;
        Ok(Self { mask, eos: id("eos")?, pad: id("pad")?, bos: id("bos")? })
    }
}

/// `tokenizer_config.json` and `added_tokens.json`, as far as they are there.
struct Tokenizer {
    config: Option<Config>,
    added: Option<Config>,
}

impl Tokenizer {
    fn read(config: &Config) -> Result<Self, ExportError> {
        let file = |name: &str| Config::read_optional(config.folder().join(name));
        Ok(Self { config: file("tokenizer_config.json")?, added: file("added_tokens.json")? })
    }

    /// The id of the token in a role such as `mask_token`.
    fn id(&self, role: &str) -> Option<u64> {
        let config = self.config.as_ref()?;
        let name = content(config.get(role)?)?;
        let by_id = config.get("added_tokens_decoder").and_then(Value::as_object);
        by_id
            .and_then(|tokens| tokens.iter().find(|(_, token)| content(token) == Some(name)))
            .and_then(|(id, _)| id.parse().ok())
            .or_else(|| self.added.as_ref()?.get(name)?.as_u64())
    }
}

/// A token's text, written plainly or as an object with its properties.
fn content(token: &Value) -> Option<&str> {
    token.as_str().or_else(|| token.get("content")?.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ids_come_from_the_configuration() {
        let config = Config::of(json!({
            "mask_token_id": 9, "eos_token_id": [7, 8], "pad_token_id": null
        }));
        let tokens = SpecialTokens::find(&config, 10).unwrap();
        let expected = SpecialTokens { mask: 9, eos: Some(7), pad: None, bos: None };
        assert_eq!(tokens, expected);
    }

    #[test]
    fn an_id_outside_the_vocabulary_is_an_error() {
        for bad in [json!(10), json!(-1), json!("9"), json!([])] {
            let config = Config::of(json!({"mask_token_id": bad}));
            let message = SpecialTokens::find(&config, 10).unwrap_err().to_string();
            assert!(message.contains("mask_token_id"), "{message}");
        }
    }

    #[test]
    fn a_model_without_a_mask_is_an_error() {
        let message = SpecialTokens::find(&Config::of(json!({})), 10).unwrap_err().to_string();
        assert!(message.contains("mask_token_id is absent"), "{message}");
    }

    #[test]
    fn names_are_looked_up_in_the_tokenizers_files() {
        let tokenizer = Tokenizer {
            config: Some(Config::of(json!({
                "mask_token": {"content": "<|mask|>"},
                "eos_token": "<|end|>",
                "bos_token": "<unknown>",
                "added_tokens_decoder": {"5": {"content": "<|mask|>"}}
            }))),
            added: Some(Config::of(json!({"<|end|>": 6}))),
        };
        assert_eq!(tokenizer.id("mask_token"), Some(5));
        assert_eq!(tokenizer.id("eos_token"), Some(6));
        assert_eq!(tokenizer.id("bos_token"), None);
    }
}
