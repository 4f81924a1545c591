//! The search for special tokens in the files of a checkpoint.

use serde_json::Value;

use super::files::TokenizerFiles;
use super::name::TokenName;
use crate::config::Config;
use crate::error::FormatError;

/// The mask token of Fast-dLLM v2. No file names its role: the published code has its id instead.
const FAST_DLLM_MASK: &str = "|<MASK>|";

/// The files of a checkpoint that define special tokens.
pub(super) struct Search<'a> {
    /// The files that define ids, in order of precedence.
    pub(super) files: Vec<&'a Config>,
    pub(super) tokenizer: TokenizerFiles,
    pub(super) vocab_size: usize,
}

impl Search<'_> {
    /// The ids of a role, such as `eos`.
    pub(super) fn ids(&self, role: &str) -> Result<Vec<u32>, FormatError> {
        let key = format!("{role}_token_id");
        let mut ids = Vec::new();
        for file in &self.files {
            let values = match file.get(&key) {
                None => continue,
                Some(Value::Array(values)) => values.iter().collect(),
                // Llama's tokenizers write -1 for "none".
                Some(value) if value.as_i64() == Some(-1) && role != "mask" => continue,
                Some(value) => vec![value],
            };
            for value in values {
                let id = value.as_u64().and_then(|id| self.checked(id));
                let invalid = || file.error(&key, &format!("an id below {}", self.vocab_size));
                let id = id.ok_or_else(invalid)?;
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
            // Only `eos` collects the ids of several files.
            if role != "eos" && !ids.is_empty() {
                break;
            }
        }
        if ids.is_empty()
            && role == "mask"
            && self.tokenizer.token_of_role(role).is_none()
            && let Some(id) = self.tokenizer.id(FAST_DLLM_MASK).and_then(|id| self.checked(id))
        {
            ids.push(id);
        }
        if ids.is_empty()
            && let Some((file, name)) = self.tokenizer.token_of_role(role)
            && let Some(id) = self.tokenizer.id(name)
        {
            let invalid = || {
                let expected = format!("a token with an id below {}, not {id}", self.vocab_size);
                file.error(&format!("{role}_token"), &expected)
            };
            ids.push(self.checked(id).ok_or_else(invalid)?);
        }
        Ok(ids)
    }

    /// The id of a token given by the user.
    pub(super) fn given(&self, role: &'static str, name: &TokenName) -> Result<u32, FormatError> {
        let error =
            |expected: String| FormatError::GivenToken { role, got: name.to_string(), expected };
        let id = match name {
            TokenName::Id(id) => Some(u64::from(*id)),
            TokenName::Text(text) => self.tokenizer.id(text),
        };
        let id = id.ok_or_else(|| error("a token of the checkpoint's tokenizer".into()))?;
        self.checked(id).ok_or_else(|| error(format!("an id below {}", self.vocab_size)))
    }

    fn checked(&self, id: u64) -> Option<u32> {
        u32::try_from(id).ok().filter(|&id| (id as usize) < self.vocab_size)
    }

    /// The error of a checkpoint that defines no mask token.
    pub(super) fn no_mask(&self, config: &Config) -> FormatError {
        let candidates = self.tokenizer.like("mask").map(|(name, id)| format!("{name} ({id})"));
        FormatError::NoMask {
            path: config.folder().into(),
            candidates: candidates.collect(),
            unreadable: self.tokenizer.unreadable().collect(),
        }
    }

    /// The number of ids that have a token, and a note if the tokenizer has more ids than the model.
    pub(super) fn assigned(&self) -> (Option<usize>, Vec<String>) {
        match self.tokenizer.size() {
            Some(size) if size > self.vocab_size => {
                let note = format!(
                    "the tokenizer has ids up to {}, the model only up to {}: texts with the others cannot be used",
                    size - 1,
                    self.vocab_size - 1
                );
                (Some(self.vocab_size), vec![note])
            }
            size => (size, Vec::new()),
        }
    }
}
