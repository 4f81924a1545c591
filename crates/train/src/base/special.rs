//! The search for the special tokens of a tokenizer.

use std::path::Path;

use conjoint_format::TokenName;
use serde_json::Value;
use tokenizers::Tokenizer as Inner;

use crate::error::TrainError;
use crate::files;

/// A special token that a model needs.
#[derive(Clone, Copy)]
pub(super) struct Role {
    name: &'static str,
    /// The key of `tokenizer_config.json` that names the token.
    key: &'static str,
    /// Usual names of the token.
    usual: &'static [&'static str],
}

/// The token of a masked position.
pub(super) const MASK_ROLE: Role = Role {
    name: "mask",
    key: "mask_token",
    usual: &["<mask>", "[MASK]", "<|mask|>", "|<MASK>|", "<|mdm_mask|>"],
};

/// The token that ends a text.
pub(super) const END_ROLE: Role = Role {
    name: "end",
    key: "eos_token",
    usual: &["<eos>", "[EOS]", "</s>", "<|endoftext|>", "[SEP]"],
};

impl Role {
    /// The id of this token in the tokenizer `inner` of the file `path`: `given` by the user, or named in the
    /// `tokenizer_config.json` beside the file, or the only one with a usual name.
    pub fn find(
        self,
        inner: &Inner,
        path: &Path,
        given: Option<&TokenName>,
    ) -> Result<u32, TrainError> {
        let error =
            |reason| TrainError::SpecialToken { path: path.into(), role: self.name, reason };
        match given {
            Some(TokenName::Text(text)) => {
                let absent = || error(format!("{text} is not one of its tokens"));
                return inner.token_to_id(text).ok_or_else(absent);
            }
            Some(TokenName::Id(id)) => {
                let absent = || error(format!("none of its tokens has the id {id}"));
                return inner.id_to_token(*id).map(|_| *id).ok_or_else(absent);
            }
            None => {}
        }
        let config = path.with_file_name("tokenizer_config.json");
        if config.is_file()
            && let json = files::read_json::<Value>(&config)?
            && let Some(token) = content(&json[self.key])
        {
            let absent = || error(format!("{} names {token}, which it lacks", config.display()));
            return inner.token_to_id(token).ok_or_else(absent);
        }
        let usual = self.usual.iter();
        let found: Vec<_> =
            usual.filter_map(|token| Some((*token, inner.token_to_id(token)?))).collect();
        match found.as_slice() {
            [(_, id)] => Ok(*id),
            [] => Err(error(format!("it has none of {}", self.usual.join(", ")))),
            several => {
                let names: Vec<_> = several.iter().map(|(token, _)| *token).collect();
                Err(error(format!("it has several: {}", names.join(", "))))
            }
        }
    }
}

/// The text of a token that is written as a string or as an object with properties.
fn content(token: &Value) -> Option<&str> {
    token.as_str().or_else(|| token.get("content")?.as_str())
}
