//! Text to token ids and back, with a checkpoint's own tokenizer.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use conjoint_core::TokenId;
use tokenizers::decoders::byte_level::ByteLevel as ByteLevelDecoder;
use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior};

/// How Qwen2 (and so Dream) splits text before byte-pair encoding. Source: `Qwen2Tokenizer` of
/// Hugging Face transformers.
const QWEN2_SPLIT: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// A failure to read or use a tokenizer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// The folder holds no tokenizer.
    #[error(
        "{} holds no tokenizer: expected tokenizer.json, or vocab.json with merges.txt",
        folder.display()
    )]
    Absent {
        /// The folder searched.
        folder: PathBuf,
    },
    /// A tokenizer file that cannot be read.
    #[error("{}: {reason}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A text that cannot be encoded, or ids that cannot be decoded.
    #[error("the tokenizer failed: {0}")]
    Failed(String),
    /// A text with characters that the tokenizer has no token for.
    #[error("the tokenizer has no token for {character:?} in {text:?}")]
    UnknownCharacter {
        /// The first such character.
        character: char,
        /// The text.
        text: String,
    },
}

/// The tokenizer of a checkpoint.
#[derive(Debug, Clone)]
pub struct Tokenizer(tokenizers::Tokenizer);

impl Tokenizer {
    /// Reads the tokenizer of a model's folder: `tokenizer.json`, or, as Dream ships it, Qwen2's
    /// `vocab.json` and `merges.txt` with the special tokens of `tokenizer_config.json` or
    /// `added_tokens.json`.
    ///
    /// # Errors
    /// [`TextError::Absent`] or [`TextError::Unreadable`].
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, TextError> {
        let folder = folder.as_ref();
        let fast = folder.join("tokenizer.json");
        let (vocab, merges) = (folder.join("vocab.json"), folder.join("merges.txt"));
        if fast.is_file() {
            tokenizers::Tokenizer::from_file(&fast).map(Self).map_err(|e| unreadable(&fast, e))
        } else if vocab.is_file() && merges.is_file() {
            qwen2(folder, &vocab, &merges).map(Self)
        } else {
            Err(TextError::Absent { folder: folder.to_owned() })
        }
    }

    /// The token ids of a text; special tokens such as `<|im_start|>` are recognised in it.
    ///
    /// # Errors
    /// [`TextError::UnknownCharacter`] if a character would be lost, [`TextError::Failed`].
    pub fn encode(&self, text: &str) -> Result<Vec<TokenId>, TextError> {
        let encoding =
            self.0.encode(text, false).map_err(|error| TextError::Failed(error.to_string()))?;
        // A tokenizer without an unknown token drops what it cannot encode.
        match self.0.get_normalizer().is_none().then(|| self.lost(text)).flatten() {
            Some(character) => {
                Err(TextError::UnknownCharacter { character, text: text.to_owned() })
            }
            None => Ok(encoding.get_ids().to_vec()),
        }
    }

    /// The first character of a text for which there is no token.
    fn lost(&self, text: &str) -> Option<char> {
        let mut checked = std::collections::HashSet::new();
        let special = self.0.get_added_tokens_decoder();
        // Special tokens may be spelt with characters that have no token of their own.
        let rest =
            special.values().fold(text.to_owned(), |rest, token| rest.replace(&token.content, ""));
        rest.chars().filter(|&character| checked.insert(character)).find(|character| {
            let alone = self.0.encode(character.to_string(), false);
            alone.is_ok_and(|encoding| encoding.get_ids().is_empty())
        })
    }

    /// The text of token ids, special tokens included.
    ///
    /// # Errors
    /// [`TextError::Failed`].
    pub fn decode(&self, tokens: &[TokenId]) -> Result<String, TextError> {
        self.0.decode(tokens, false).map_err(|error| TextError::Failed(error.to_string()))
    }

    /// The text of one token as it stands within a text, its leading space included. A token that is
    /// only a part of a character is shown as U+FFFD.
    ///
    /// # Errors
    /// [`TextError::Failed`].
    pub fn piece(&self, token: TokenId) -> Result<String, TextError> {
        let once = self.decode(&[token])?;
        // Some decoders drop the leading space of a text, so what counts is what a token adds to itself.
        let twice = self.decode(&[token, token])?;
        Ok(twice.strip_prefix(&once).map_or(once.clone(), str::to_owned))
    }

    /// The id of one token, written as the tokenizer writes it.
    pub fn id(&self, token: &str) -> Option<TokenId> {
        self.0.token_to_id(token)
    }
}

fn unreadable(file: &Path, reason: impl ToString) -> TextError {
    TextError::Unreadable { file: file.to_owned(), reason: reason.to_string() }
}

/// Qwen2's byte-level BPE from its slow tokenizer's files.
fn qwen2(folder: &Path, vocab: &Path, merges: &Path) -> Result<tokenizers::Tokenizer, TextError> {
    let files = [vocab, merges].map(|file| file.to_string_lossy().into_owned());
    let bpe =
        BPE::from_file(&files[0], &files[1]).build().map_err(|error| unreadable(vocab, error))?;
    let mut tokenizer = tokenizers::Tokenizer::new(bpe);
    let split = Split::new(
        SplitPattern::Regex(QWEN2_SPLIT.to_owned()),
        SplitDelimiterBehavior::Isolated,
        false,
    )
    .map_err(|error| TextError::Failed(error.to_string()))?;
    tokenizer.with_pre_tokenizer(Some(Sequence::new(vec![
        PreTokenizerWrapper::Split(split),
        PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, false, false)),
    ])));
    tokenizer.with_decoder(Some(ByteLevelDecoder::default()));
    // Added in the order of their ids, since the tokenizer counts on from the vocabulary's end.
    for (id, token) in added_tokens(folder)? {
        tokenizer
            .add_special_tokens([AddedToken::from(token.clone(), true)])
            .map_err(|error| TextError::Failed(error.to_string()))?;
        let got = tokenizer.token_to_id(&token);
        if got != Some(id) {
            let reason = format!("token {token:?} should have id {id}, but would get {got:?}");
            return Err(unreadable(vocab, reason));
        }
    }
    Ok(tokenizer)
}

/// The special tokens by id, from `tokenizer_config.json` or else `added_tokens.json`.
fn added_tokens(folder: &Path) -> Result<BTreeMap<TokenId, String>, TextError> {
    let read = |name: &str| -> Result<Option<serde_json::Value>, TextError> {
        let file = folder.join(name);
        if !file.is_file() {
            return Ok(None);
        }
        let text = fs::read_to_string(&file).map_err(|error| unreadable(&file, error))?;
        serde_json::from_str(&text).map(Some).map_err(|error| unreadable(&file, error))
    };
    let mut tokens = BTreeMap::new();
    if let Some(config) = read("tokenizer_config.json")?
        && let Some(added) = config["added_tokens_decoder"].as_object()
    {
        for (id, token) in added {
            if let (Ok(id), Some(content)) = (id.parse(), token["content"].as_str()) {
                tokens.insert(id, content.to_owned());
            }
        }
    }
    if tokens.is_empty()
        && let Some(added) = read("added_tokens.json")?
        && let Some(added) = added.as_object()
    {
        for (content, id) in added {
            if let Some(id) = id.as_u64().and_then(|id| TokenId::try_from(id).ok()) {
                tokens.insert(id, content.clone());
            }
        }
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn a_slow_tokenizer_is_read_from_its_files() {
        // Byte-level: Ġ stands for a space.
        let folder = folder(&[
            ("vocab.json", r#"{"a": 0, "b": 1, "Ġ": 2, "ab": 3, "Ġab": 4}"#),
            ("merges.txt", "#version: 0.2\na b\nĠ ab\n"),
            ("added_tokens.json", r#"{"<|mask|>": 6, "<|im_end|>": 5}"#),
        ]);
        let tokenizer = Tokenizer::open(folder.path()).unwrap();
        let ids = [3, 4, 6, 0, 5];
        assert_eq!(tokenizer.encode("ab ab<|mask|>a<|im_end|>").unwrap(), ids);
        assert_eq!(tokenizer.decode(&ids).unwrap(), "ab ab<|mask|>a<|im_end|>");
        assert_eq!(tokenizer.id("<|mask|>"), Some(6));
        let pieces = ids.map(|id| tokenizer.piece(id).unwrap());
        assert_eq!(pieces, ["ab", " ab", "<|mask|>", "a", "<|im_end|>"]);
    }

    #[test]
    fn missing_and_broken_files_are_named() {
        let empty = folder(&[]);
        assert!(matches!(Tokenizer::open(empty.path()), Err(TextError::Absent { .. })));
        let broken = folder(&[("tokenizer.json", "{")]);
        let error = Tokenizer::open(broken.path()).unwrap_err().to_string();
        assert!(error.contains("tokenizer.json"), "{error}");
        let gap = folder(&[
            ("vocab.json", r#"{"a": 0}"#),
            ("merges.txt", "#version: 0.2\n"),
            ("added_tokens.json", r#"{"<|mask|>": 7}"#),
        ]);
        let error = Tokenizer::open(gap.path()).unwrap_err().to_string();
        assert!(error.contains("should have id 7"), "{error}");
    }
}
