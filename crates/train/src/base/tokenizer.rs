//! The tokenizer of a base model: one of characters, or that of a `tokenizer.json`.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use conjoint_format::TokenName;
use serde_json::{Value, json};
use tokenizers::decoders::fuse::Fuse;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::models::{wordlevel, wordpiece};
use tokenizers::{AddedToken, Tokenizer as Inner};

use super::special::{END_ROLE, MASK_ROLE};
use crate::error::TrainError;
use crate::files;

/// The token of a masked position in a tokenizer of characters.
pub const MASK: &str = "<mask>";
/// The token that ends a text in a tokenizer of characters.
pub const EOS: &str = "<eos>";

/// A tokenizer with a mask token and an end token.
#[derive(Debug)]
pub struct TextTokenizer {
    inner: Inner,
    /// The content of its `tokenizer.json`.
    json: String,
    mask: u32,
    eos: u32,
    /// The id that replaces unknown tokens.
    unknown: Option<u32>,
    /// Characters that are known to have a token.
    known: RwLock<HashSet<char>>,
}

impl TextTokenizer {
    /// A lossless tokenizer of the characters of `alphabet`, [`MASK`], [`EOS`], and the special tokens `tags`, such as
    /// `<story>`.
    ///
    /// It is a BPE tokenizer without merges, so that each character of the alphabet is one token. It has no
    /// normalization and no pre-tokenization, so that decoding returns the same text.
    ///
    /// # Errors
    ///
    /// [`TrainError::Tokenizer`] if the tokenizer cannot be built.
    pub fn of_characters(alphabet: &str, tags: &[&str]) -> Result<Self, TrainError> {
        let special = |text: &str| AddedToken::from(text.to_owned(), true);
        let specials: Vec<_> = [MASK, EOS].iter().chain(tags).map(|t| special(t)).collect();
        let mut trainer: TrainerWrapper = BpeTrainerBuilder::new()
            .show_progress(false)
            .special_tokens(specials)
            .initial_alphabet(alphabet.chars().collect::<HashSet<_>>())
            .vocab_size(0) // no merges
            .build()
            .into();
        let mut inner = Inner::new(BPE::default());
        inner.train(&mut trainer, std::iter::empty::<String>()).map_err(failed)?;
        inner.with_decoder(Some(Fuse::new()));
        let json = inner.to_string(true).map_err(failed)?;
        Self::wrap(inner, json, Path::new("tokenizer.json"), None, None)
    }

    /// Reads a `tokenizer.json`. The mask token and the end token are the given ones, or those that a
    /// `tokenizer_config.json` beside the file names, or those with a usual name, such as `[MASK]` and `</s>`.
    ///
    /// A truncation or padding that was saved with the tokenizer is ignored.
    ///
    /// # Errors
    ///
    /// [`TrainError::Io`] or [`TrainError::Malformed`] if the file is not a tokenizer, and
    /// [`TrainError::SpecialToken`] if it has no mask token or no end token.
    pub fn load(
        path: &Path,
        mask: Option<&TokenName>,
        eos: Option<&TokenName>,
    ) -> Result<Self, TrainError> {
        let json = std::fs::read_to_string(path).map_err(TrainError::io("read", path))?;
        let malformed = |error| TrainError::malformed(path, format!("not a tokenizer: {error}"));
        let mut inner: Inner = json.parse().map_err(malformed)?;
        inner.with_truncation(None).map_err(malformed)?;
        inner.with_padding(None);
        Self::wrap(inner, json, path, mask, eos)
    }

    /// Writes the tokenizer's files into the folder `dir`: `tokenizer.json`, and `tokenizer_config.json` with the special
    /// tokens.
    ///
    /// # Errors
    ///
    /// A file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<(), TrainError> {
        files::write(&dir.join("tokenizer.json"), self.json.as_bytes())?;
        let token = |id| self.inner.id_to_token(id);
        let config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": false,
            "mask_token": token(self.mask),
            "eos_token": token(self.eos),
            "pad_token": token(self.eos),
        });
        let path = dir.join("tokenizer_config.json");
        files::write(&path, &files::json_bytes(&config, &path)?)
    }

    /// The content of the tokenizer's `tokenizer.json`.
    pub(crate) fn json(&self) -> &str {
        &self.json
    }

    /// Whether the file `path` holds the same tokenizer, except for its layout.
    pub(crate) fn equals(&self, path: &Path) -> Result<bool, TrainError> {
        let same: Value =
            serde_json::from_str(&self.json).map_err(|e| TrainError::malformed(path, e))?;
        Ok(files::read_json::<Value>(path)? == same)
    }

    fn wrap(
        inner: Inner,
        json: String,
        path: &Path,
        mask: Option<&TokenName>,
        eos: Option<&TokenName>,
    ) -> Result<Self, TrainError> {
        let (mask, eos) = (MASK_ROLE.find(&inner, path, mask)?, END_ROLE.find(&inner, path, eos)?);
        if mask == eos {
            let reason = "it is the mask token".to_owned();
            return Err(TrainError::SpecialToken { path: path.into(), role: "end", reason });
        }
        let value: Value =
            serde_json::from_str(&json).map_err(|e| TrainError::malformed(path, e))?;
        let model = &value["model"];
        let unknown = match (model["unk_token"].as_str(), model["unk_id"].as_u64()) {
            (Some(token), _) => inner.token_to_id(token),
            (None, id) => id.and_then(|id| u32::try_from(id).ok()),
        };
        Ok(Self { inner, json, mask, eos, unknown, known: RwLock::default() })
    }

    /// The ids of a text. Special tokens in it are recognised. The tokens that the tokenizer puts around every text are
    /// added, except for an end token.
    ///
    /// # Errors
    ///
    /// [`TrainError::Tokenizer`] if a part of the text has no token, or the text holds the mask token or the end token.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TrainError> {
        let encoding = self.inner.encode_fast(text, true).map_err(|error| {
            // Models of words report a word outside of their vocabulary in this way.
            let lacks = matches!(error.downcast_ref(), Some(wordlevel::Error::MissingUnkToken))
                || matches!(error.downcast_ref(), Some(wordpiece::Error::MissingUnkToken));
            match lacks && self.unknown.is_none() {
                true => TrainError::Tokenizer(format!("a part of {text:?} has no token")),
                false => failed(error),
            }
        })?;
        let mut ids = encoding.get_ids().to_vec();
        ids.pop_if(|id| *id == self.eos);
        let rejected = |reason: String| Err(TrainError::Tokenizer(reason));
        for (id, role) in [(self.mask, "mask"), (self.eos, "end")] {
            if ids.contains(&id) {
                let token = self.inner.id_to_token(id).unwrap_or_default();
                return rejected(format!("{text:?} holds the {role} token {token}"));
            }
        }
        if self.unknown.is_some_and(|unknown| ids.contains(&unknown)) {
            return rejected(format!("a part of {text:?} has no token"));
        }
        match self.dropped(text) {
            Some(character) => rejected(format!("the character {character:?} has no token")),
            None => Ok(ids),
        }
    }

    /// The first character of `text` that the tokenizer drops without an error. Normalizers may drop characters.
    fn dropped(&self, text: &str) -> Option<char> {
        if self.inner.get_normalizer().is_some() {
            return None;
        }
        {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if text.chars().all(|character| known.contains(&character)) {
                return None;
            }
        }
        // Special tokens may contain characters without a token of their own.
        let special = self.inner.get_added_tokens_decoder();
        let rest =
            special.values().fold(text.to_owned(), |rest, token| rest.replace(&token.content, ""));
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let has_token = |character: char| {
            let alone = self.inner.encode_fast(character.to_string(), false);
            !alone.is_ok_and(|encoding| encoding.get_ids().is_empty())
        };
        rest.chars().find(|&character| {
            let is_known = known.contains(&character) || has_token(character);
            if is_known {
                known.insert(character);
            }
            !is_known
        })
    }

    /// Decodes `ids`, including special tokens.
    ///
    /// # Errors
    ///
    /// [`TrainError::Tokenizer`] if decoding fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String, TrainError> {
        self.inner.decode(ids, false).map_err(failed)
    }

    /// The id of the mask token.
    pub fn mask(&self) -> u32 {
        self.mask
    }

    /// The id of the end token.
    pub fn eos(&self) -> u32 {
        self.eos
    }

    /// The number of ids: one more than the largest id.
    pub fn len(&self) -> usize {
        self.inner.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1)
    }

    /// Whether the vocabulary is empty; always false.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The vocabulary size of a model for this tokenizer: [`len`](Self::len), rounded up to a multiple of 8.
    pub fn model_vocab_size(&self) -> usize {
        self.len().next_multiple_of(8)
    }
}

fn failed(error: Box<dyn std::error::Error + Send + Sync>) -> TrainError {
    TrainError::Tokenizer(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::testing::{corpus_tokenizer, word_tokenizer};
    use conjoint_corpus::{Corpus, Domain};

    #[test]
    fn corpus_texts_round_trip_with_one_token_per_character() {
        let tokenizer = corpus_tokenizer();
        for text in Corpus::new(1).texts(0..2000) {
            let ids = tokenizer.encode(&text.to_string()).unwrap();
            assert_eq!(ids.len(), 1 + text.body.chars().count());
            assert_eq!(tokenizer.decode(&ids).unwrap(), text.to_string());
        }
    }

    #[test]
    fn special_tokens_come_first_and_the_size_is_rounded_up() {
        let tokenizer = corpus_tokenizer();
        assert_eq!((tokenizer.mask(), tokenizer.eos()), (0, 1));
        assert_eq!(tokenizer.encode("<list><math>").unwrap().len(), 2);
        assert_eq!(tokenizer.len(), 2 + Domain::ALL.len() + Corpus::alphabet().chars().count());
        assert_eq!(tokenizer.model_vocab_size() % 8, 0);
        assert!(tokenizer.model_vocab_size() - tokenizer.len() < 8);
    }

    fn rejects(tokenizer: &TextTokenizer, text: &str, part: &str) {
        let error = tokenizer.encode(text).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }

    #[test]
    fn texts_that_a_model_could_not_learn_are_rejected() {
        rejects(&corpus_tokenizer(), "an Owl", "'O' has no token");
        rejects(&corpus_tokenizer(), "an <eos> owl", "the end token <eos>");
        rejects(&corpus_tokenizer(), "an <mask> owl", "the mask token <mask>");
        let folder = tempfile::tempdir().unwrap();
        let words = |unknown| {
            let path = word_tokenizer(folder.path(), &["C", "N", "[MASK]", "</s>"], unknown);
            TextTokenizer::load(&path, None, None).unwrap()
        };
        assert_eq!(words(None).encode("CNC").unwrap(), [0, 1, 0]);
        rejects(&words(None), "COC", "has no token");
        rejects(&words(Some("N")), "COC", "has no token");
        // An end token that the text has already is not doubled.
        assert_eq!(words(None).encode("CN</s>").unwrap(), [0, 1]);
        rejects(&words(None), "C</s>N", "the end token </s>");
    }

    #[test]
    fn a_saved_tokenizer_reads_back_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let tokenizer = corpus_tokenizer();
        tokenizer.save(dir.path()).unwrap();
        let path = dir.path().join("tokenizer.json");
        let back = TextTokenizer::load(&path, None, None).unwrap();
        assert_eq!((back.mask(), back.eos(), back.len()), (0, 1, tokenizer.len()));
        assert!(tokenizer.equals(&path).unwrap());
        let text = "<math>1+2 = 3.\n ";
        assert_eq!(back.encode(text).unwrap(), tokenizer.encode(text).unwrap());
        assert_eq!(back.decode(&back.encode(text).unwrap()).unwrap(), text);
        std::fs::write(&path, "{}").unwrap();
        let malformed = TextTokenizer::load(&path, None, None);
        assert!(matches!(malformed, Err(TrainError::Malformed { .. })));
    }

    #[test]
    fn special_tokens_are_given_or_named_or_usual() {
        let folder = tempfile::tempdir().unwrap();
        let load = |tokens: &[&str], mask: Option<&str>, eos: Option<&str>| {
            let path = word_tokenizer(folder.path(), tokens, None);
            let name = |text: Option<&str>| text.map(|text| text.parse::<TokenName>().unwrap());
            let (mask, eos) = (name(mask), name(eos));
            let loaded = TextTokenizer::load(&path, mask.as_ref(), eos.as_ref());
            loaded.map(|t| (t.mask(), t.eos())).map_err(|error| error.to_string())
        };
        let usual = ["C", "[MASK]", "</s>", "?"];
        assert_eq!(load(&usual, None, None), Ok((1, 2)));
        assert_eq!(load(&usual, Some("?"), Some("1")), Ok((3, 1)));
        let rejects = |result: Result<(u32, u32), String>, parts: &[&str]| {
            let error = result.unwrap_err();
            for part in parts {
                assert!(error.contains(part), "{error}");
            }
        };
        rejects(
            load(&["C", "[MASK]"], None, None),
            &["the end token of", "it has none of", "<eos>"],
        );
        rejects(load(&["C", "<eos>"], None, None), &["the mask token of", "[MASK]"]);
        rejects(load(&["[MASK]", "<eos>", "</s>"], None, None), &["several: <eos>, </s>"]);
        rejects(load(&usual, Some("<m>"), None), &["<m> is not one of its tokens"]);
        rejects(load(&usual, None, Some("9")), &["the id 9"]);
        rejects(load(&usual, None, Some("[MASK]")), &["it is the mask token"]);
        let config = folder.path().join("tokenizer_config.json");
        std::fs::write(&config, r#"{"mask_token": {"content": "?"}, "eos_token": "C"}"#).unwrap();
        assert_eq!(load(&usual, None, None), Ok((3, 0)));
        std::fs::write(&config, r#"{"mask_token": "<m>"}"#).unwrap();
        rejects(load(&usual, None, None), &["tokenizer_config.json names <m>, which it lacks"]);
    }
}
