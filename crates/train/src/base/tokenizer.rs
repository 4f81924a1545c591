//! A character-level tokenizer, in the Hugging Face `tokenizer.json` format.

use std::collections::HashSet;
use std::path::Path;

use tokenizers::decoders::fuse::Fuse;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::{AddedToken, Tokenizer as Inner};

use crate::error::TrainError;
use crate::files;

/// The token of a masked position.
pub const MASK: &str = "<mask>";
/// The token that ends a text and pads the rest of its row.
pub const EOS: &str = "<eos>";

/// A lossless tokenizer of characters and special tokens.
///
/// It is a BPE tokenizer without merges, so that each character of the alphabet is one token. It has no normalization
/// and no pre-tokenization, so that decoding returns the same text.
#[derive(Clone, Debug)]
pub struct CharTokenizer {
    inner: Inner,
    mask: u32,
    eos: u32,
}

impl CharTokenizer {
    /// A tokenizer of the characters of `alphabet`, [`MASK`], [`EOS`], and the special tokens `tags`, such as `<story>`.
    ///
    /// # Errors
    ///
    /// [`TrainError::Tokenizer`] if the tokenizer cannot be built.
    pub fn new(alphabet: &str, tags: &[&str]) -> Result<Self, TrainError> {
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
        Self::wrap(inner)
    }

    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    ///
    /// [`TrainError::Tokenizer`] if the file is not a tokenizer, or lacks [`MASK`] or [`EOS`].
    pub fn load(path: &Path) -> Result<Self, TrainError> {
        Self::wrap(Inner::from_file(path).map_err(failed)?)
    }

    /// Writes a `tokenizer.json`.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), TrainError> {
        files::write(path, self.to_json()?.as_bytes())
    }

    /// The content of the tokenizer's `tokenizer.json`.
    pub(crate) fn to_json(&self) -> Result<String, TrainError> {
        self.inner.to_string(true).map_err(failed)
    }

    fn wrap(inner: Inner) -> Result<Self, TrainError> {
        let id = |token: &str| {
            inner
                .token_to_id(token)
                .ok_or_else(|| TrainError::Tokenizer(format!("the token {token} is missing")))
        };
        let (mask, eos) = (id(MASK)?, id(EOS)?);
        Ok(Self { inner, mask, eos })
    }

    /// Encodes `text`, including special tokens in it.
    ///
    /// # Errors
    ///
    /// [`TrainError::Tokenizer`] if a character is outside the alphabet.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TrainError> {
        let ids = self.inner.encode_fast(text, false).map_err(failed)?.get_ids().to_vec();
        // The tokenizer drops unknown characters silently; here they are an error.
        if self.decode(&ids)? == text {
            return Ok(ids);
        }
        Err(TrainError::Tokenizer(format!("{text:?} holds a character outside the alphabet")))
    }

    /// Decodes `ids`, including special tokens.
    ///
    /// # Errors
    ///
    /// [`TrainError::Tokenizer`] if decoding fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String, TrainError> {
        self.inner.decode(ids, false).map_err(failed)
    }

    /// The id of [`MASK`].
    pub fn mask(&self) -> u32 {
        self.mask
    }

    /// The id of [`EOS`].
    pub fn eos(&self) -> u32 {
        self.eos
    }

    /// The number of tokens in the vocabulary.
    pub fn len(&self) -> usize {
        self.inner.get_vocab_size(true)
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
    use conjoint_corpus::{Corpus, Domain};

    fn tokenizer() -> CharTokenizer {
        let tags: Vec<_> = Domain::ALL.iter().map(|domain| domain.tag()).collect();
        CharTokenizer::new(Corpus::alphabet(), &tags).unwrap()
    }

    #[test]
    fn corpus_texts_round_trip_with_one_token_per_character() {
        let tokenizer = tokenizer();
        for text in Corpus::new(1).texts(0..2000) {
            let ids = tokenizer.encode(&text.to_string()).unwrap();
            assert_eq!(ids.len(), 1 + text.body.chars().count());
            assert_eq!(tokenizer.decode(&ids).unwrap(), text.to_string());
        }
    }

    #[test]
    fn special_tokens_come_first_and_the_size_is_rounded_up() {
        let tokenizer = tokenizer();
        assert_eq!((tokenizer.mask(), tokenizer.eos()), (0, 1));
        assert_eq!(tokenizer.encode("<list><eos><mask>").unwrap().len(), 3);
        assert_eq!(tokenizer.len(), 6 + Corpus::alphabet().chars().count());
        assert_eq!(tokenizer.model_vocab_size() % 8, 0);
        assert!(tokenizer.model_vocab_size() - tokenizer.len() < 8);
    }

    #[test]
    fn unknown_characters_are_an_error() {
        assert!(matches!(tokenizer().encode("an Owl"), Err(TrainError::Tokenizer(_))));
    }

    #[test]
    fn a_saved_tokenizer_reads_back_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokenizer.json");
        tokenizer().save(&path).unwrap();
        let back = CharTokenizer::load(&path).unwrap();
        let text = "<math>1+2 = 3.\n ";
        assert_eq!(back.encode(text).unwrap(), tokenizer().encode(text).unwrap());
        assert_eq!(back.decode(&back.encode(text).unwrap()).unwrap(), text);
        std::fs::write(&path, "{}").unwrap();
        assert!(matches!(CharTokenizer::load(&path), Err(TrainError::Tokenizer(_))));
    }
}
