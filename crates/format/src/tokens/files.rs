//! The files of a tokenizer: ids of tokens, and tokens of special roles.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::Config;
use crate::error::FormatError;

/// The contents of a tokenizer's files. Unreadable files are skipped and listed.
pub(super) struct TokenizerFiles {
    /// The files that name tokens by role, in order of precedence.
    roles: Vec<Config>,
    /// Ids by token.
    ids: BTreeMap<String, u64>,
    unreadable: Vec<String>,
}

/// The parts of `tokenizer.json` that hold tokens and ids.
#[derive(Deserialize)]
struct Fast {
    #[serde(default)]
    added_tokens: Vec<Added>,
    #[serde(default)]
    model: Model,
}

#[derive(Deserialize)]
struct Added {
    id: u64,
    content: String,
}

#[derive(Deserialize, Default)]
struct Model {
    #[serde(default)]
    vocab: Vocab,
}

/// Tokens with their ids, or with scores in the order of their ids.
#[derive(Deserialize)]
#[serde(untagged)]
enum Vocab {
    Ids(BTreeMap<String, u64>),
    Scores(Vec<(String, f64)>),
}

impl Default for Vocab {
    fn default() -> Self {
        Self::Scores(Vec::new())
    }
}

impl TokenizerFiles {
    /// Reads the files that exist.
    ///
    /// # Errors
    /// [`FormatError::Io`] if the system cannot read a file.
    pub(super) fn read(folder: &Path) -> Result<Self, FormatError> {
        let mut found = Self { roles: Vec::new(), ids: BTreeMap::new(), unreadable: Vec::new() };
        for name in ["tokenizer_config.json", "special_tokens_map.json"] {
            let file = found.config(folder, name)?;
            found.roles.extend(file);
        }
        // Later files override earlier ones: added tokens override the vocabulary.
        let words = folder.join("vocab.txt");
        if let Some(text) = read_text(&words)? {
            found.ids.extend(text.lines().map(str::to_owned).zip(0..));
            // The defaults of Transformers' tokenizer for these files.
            let defaults = [("mask_token", "[MASK]"), ("pad_token", "[PAD]")];
            let defaults = defaults.map(|(role, token)| (role.to_owned(), Value::from(token)));
            found.roles.push(Config::new(words, defaults.into_iter().collect()));
        }
        if let Some(ids) = found.json::<BTreeMap<String, u64>>(folder, "vocab.json")? {
            found.ids.extend(ids);
        }
        if let Some(Fast { added_tokens, model }) = found.json(folder, "tokenizer.json")? {
            match model.vocab {
                Vocab::Ids(ids) => found.ids.extend(ids),
                Vocab::Scores(scores) => {
                    found.ids.extend(scores.into_iter().map(|(token, _)| token).zip(0..));
                }
            }
            found.ids.extend(added_tokens.into_iter().map(|added| (added.content, added.id)));
        }
        if let Some(ids) = found.json::<BTreeMap<String, u64>>(folder, "added_tokens.json")? {
            found.ids.extend(ids);
        }
        let decoders = found.roles.iter().filter_map(|file| file.get("added_tokens_decoder"));
        let added: Vec<_> = decoders
            .filter_map(Value::as_object)
            .flatten()
            .filter_map(|(id, token)| Some((content(token)?.to_owned(), id.parse().ok()?)))
            .collect();
        found.ids.extend(added);
        Ok(found)
    }

    /// The token of a role such as `mask`, and the file that names it.
    pub(super) fn token_of_role(&self, role: &str) -> Option<(&Config, &str)> {
        let key = format!("{role}_token");
        self.roles.iter().find_map(|file| Some((file, content(file.get(&key)?)?)))
    }

    /// The id of a token.
    pub(super) fn id(&self, token: &str) -> Option<u64> {
        self.ids.get(token).copied()
    }

    /// Up to 8 tokens in angle or square brackets that contain `word`, with their ids.
    pub(super) fn like(&self, word: &str) -> impl Iterator<Item = (&str, u64)> {
        let is_marked = |token: &str| {
            let token = token.trim_matches('|'); // `|<MASK>|`
            token.starts_with(['<', '[']) && token.ends_with(['>', ']'])
        };
        self.ids
            .iter()
            .filter(move |(token, _)| is_marked(token) && token.to_lowercase().contains(word))
            .map(|(token, id)| (token.as_str(), *id))
            .take(8)
    }

    /// One more than the largest id; `None` without a tokenizer.
    pub(super) fn size(&self) -> Option<usize> {
        usize::try_from(self.ids.values().max()? + 1).ok()
    }

    /// The unreadable files, a sentence each.
    pub(super) fn unreadable(&self) -> impl Iterator<Item = String> + '_ {
        self.unreadable.iter().cloned()
    }

    /// A JSON object beside the tokenizer's files, if it exists and parses.
    ///
    /// # Errors
    /// [`FormatError::Io`] if the system cannot read it.
    pub(super) fn config(
        &mut self,
        folder: &Path,
        name: &str,
    ) -> Result<Option<Config>, FormatError> {
        match Config::read_optional(folder.join(name)) {
            Err(FormatError::Json { source, .. }) => {
                self.skip_unreadable(name, &source);
                Ok(None)
            }
            file => file,
        }
    }

    fn skip_unreadable(&mut self, name: &str, reason: &serde_json::Error) {
        self.unreadable.push(format!("{name} cannot be read and is left out: {reason}"));
    }

    /// A JSON file, if it exists and parses.
    fn json<T: DeserializeOwned>(
        &mut self,
        folder: &Path,
        name: &str,
    ) -> Result<Option<T>, FormatError> {
        let Some(text) = read_text(&folder.join(name))? else { return Ok(None) };
        match serde_json::from_str(&text) {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                self.skip_unreadable(name, &error);
                Ok(None)
            }
        }
    }
}

/// The text of a file, if it exists.
fn read_text(path: &Path) -> Result<Option<String>, FormatError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FormatError::io("read", path)(error)),
    }
}

/// The text of a token that is written as a string or as an object with properties.
fn content(token: &Value) -> Option<&str> {
    token.as_str().or_else(|| token.get("content")?.as_str())
}
