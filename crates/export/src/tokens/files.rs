//! The files of a tokenizer, as far as they give tokens their ids and their roles.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::Config;
use crate::error::ExportError;

/// What the tokenizer's files say. One that cannot be read is left out, and remembered.
pub(super) struct TokenizerFiles {
    /// Those that name tokens by role, the one that counts more first.
    roles: Vec<Config>,
    /// Ids by token.
    ids: BTreeMap<String, u64>,
    unreadable: Vec<String>,
}

/// `tokenizer.json`, as far as it matters here.
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

/// Tokens with their ids, or in the order of their ids with a score.
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
    /// Reads what is there.
    ///
    /// # Errors
    /// The system refuses to read a file.
    pub(super) fn read(folder: &Path) -> Result<Self, ExportError> {
        let mut found = Self { roles: Vec::new(), ids: BTreeMap::new(), unreadable: Vec::new() };
        for name in ["tokenizer_config.json", "special_tokens_map.json"] {
            let file = found.config(folder, name)?;
            found.roles.extend(file);
        }
        // What comes later overrules: added tokens are laid over the vocabulary.
        let words = folder.join("vocab.txt");
        if let Some(text) = read_text(&words)? {
            found.ids.extend(text.lines().map(str::to_owned).zip(0..));
            // What Transformers' tokenizer of these files takes where none names them.
            let usual = [("mask_token", "[MASK]"), ("pad_token", "[PAD]")];
            let usual = usual.map(|(role, token)| (role.to_owned(), Value::from(token)));
            found.roles.push(Config::new(words, usual.into_iter().collect()));
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

    /// The token in a role such as `mask`, and the file that says so.
    pub(super) fn named_in_role(&self, role: &str) -> Option<(&Config, &str)> {
        let key = format!("{role}_token");
        self.roles.iter().find_map(|file| Some((file, content(file.get(&key)?)?)))
    }

    /// The id of a token.
    pub(super) fn id(&self, token: &str) -> Option<u64> {
        self.ids.get(token).copied()
    }

    /// Tokens of several characters that are marked as special ones are, and have a word in them, with their ids.
    pub(super) fn like(&self, word: &str) -> impl Iterator<Item = (&str, u64)> {
        let is_marked = |token: &str| token.starts_with(['<', '[']) && token.ends_with(['>', ']']);
        self.ids
            .iter()
            .filter(move |(token, _)| is_marked(token) && token.to_lowercase().contains(word))
            .map(|(token, id)| (token.as_str(), *id))
            .take(8)
    }

    /// One more than the largest id; none where there is no tokenizer.
    pub(super) fn size(&self) -> Option<usize> {
        usize::try_from(self.ids.values().max()? + 1).ok()
    }

    /// What could not be read, a sentence each.
    pub(super) fn unreadable(&self) -> impl Iterator<Item = String> + '_ {
        self.unreadable.iter().cloned()
    }

    /// A file of keys and values beside the tokenizer's, if it is there and can be read.
    ///
    /// # Errors
    /// The system refuses to read it.
    pub(super) fn config(
        &mut self,
        folder: &Path,
        name: &str,
    ) -> Result<Option<Config>, ExportError> {
        match Config::read_optional(folder.join(name)) {
            Err(ExportError::Json { source, .. }) => {
                self.cannot_read(name, &source);
                Ok(None)
            }
            file => file,
        }
    }

    fn cannot_read(&mut self, name: &str, reason: &serde_json::Error) {
        self.unreadable.push(format!("{name} cannot be read and is left out: {reason}"));
    }

    /// A file that may be absent, or unreadable.
    fn json<T: DeserializeOwned>(
        &mut self,
        folder: &Path,
        name: &str,
    ) -> Result<Option<T>, ExportError> {
        let Some(text) = read_text(&folder.join(name))? else { return Ok(None) };
        match serde_json::from_str(&text) {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                self.cannot_read(name, &error);
                Ok(None)
            }
        }
    }
}

/// The text of a file, if there is one.
fn read_text(path: &Path) -> Result<Option<String>, ExportError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ExportError::io("read", path)(error)),
    }
}

/// A token's text, written plainly or as an object with its properties.
fn content(token: &Value) -> Option<&str> {
    token.as_str().or_else(|| token.get("content")?.as_str())
}
