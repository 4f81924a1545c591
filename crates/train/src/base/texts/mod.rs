//! The texts that a base model is trained on.

mod corpus;
mod encode;
mod epochs;
mod file;
mod ids;
mod lines;

use std::collections::BTreeMap;
use std::path::PathBuf;

use conjoint_corpus::{Corpus, Domain};
use conjoint_format::TokenName;

use super::tokenizer::TextTokenizer;
use crate::error::TrainError;
use crate::run::RunOptions;
use corpus::CorpusTexts;
use file::FileTexts;

/// The source of the texts of [`train_base`](super::train_base).
#[derive(Clone, Debug, PartialEq)]
pub enum TextSource {
    /// The texts of [`Corpus`], of these domains. A domain that is listed twice is drawn twice as often in training.
    Corpus(Vec<Domain>),
    /// The texts of a file.
    File(TextFile),
}

/// A file of texts, and the tokenizer that encodes them.
///
/// The file has one text a line, or is a `.jsonl` file with an object a line, whose `text` it is. A text is taken as it
/// is: a backslash has no meaning outside of `.jsonl` files. Lines end with `\n` or `\r\n`. Blank lines are skipped and
/// counted.
///
/// Each epoch trains once on every text, in an order of its own that depends on the seed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TextFile {
    /// The file of texts.
    pub path: PathBuf,
    /// The `tokenizer.json`.
    pub tokenizer: PathBuf,
    /// The mask token; `None` to find it, as [`TextTokenizer::load`] does.
    pub mask: Option<TokenName>,
    /// The end token; `None` to find it.
    pub eos: Option<TokenName>,
    /// The texts for validation.
    pub validation: Validation,
    /// Whether texts that do not fit into a row with an end token are skipped and counted. Otherwise they are an error.
    pub skip_long: bool,
}

/// The texts for validation.
#[derive(Clone, Debug, PartialEq)]
pub enum Validation {
    /// This number of texts of the file, at most a tenth of them, which training leaves out. The choice depends on the
    /// number of texts only, so that runs can be compared, and can start from each other's weights.
    HeldOut(usize),
    /// Those of another file.
    File(PathBuf),
}

impl Default for Validation {
    fn default() -> Self {
        Self::HeldOut(1024)
    }
}

/// A numbered series of encoded texts. Texts from [`HELD_OUT`](super::HELD_OUT) on are used for validation only.
pub(crate) trait Texts: Sync {
    /// The ids of text `index`, without an end token.
    fn text(&self, index: u64) -> Result<Vec<u32>, TrainError>;
    /// The index of the text that begins packed row `row` of `length` tokens.
    fn packed_start(&self, row: u64, length: usize) -> u64;
    /// The mean number of tokens of a training text.
    fn mean_length(&self) -> Result<f64, TrainError>;
    /// The options that must not change when a run resumes, by name; `None` if a sample of the rows identifies the texts.
    fn identity(&self) -> Option<BTreeMap<String, String>> {
        None
    }
}

impl TextSource {
    /// The tokenizer of the texts.
    pub(crate) fn tokenizer(&self) -> Result<TextTokenizer, TrainError> {
        match self {
            Self::Corpus(_) => {
                let tags = Domain::ALL.map(Domain::tag);
                TextTokenizer::of_characters(Corpus::alphabet(), &tags)
            }
            Self::File(file) => {
                TextTokenizer::load(&file.tokenizer, file.mask.as_ref(), file.eos.as_ref())
            }
        }
    }

    /// Makes or reads the texts, for rows of `length` tokens.
    pub(crate) fn open<'a>(
        &self,
        tokenizer: &'a TextTokenizer,
        length: usize,
        run: &RunOptions,
    ) -> Result<Box<dyn Texts + 'a>, TrainError> {
        Ok(match self {
            Self::Corpus(domains) => Box::new(CorpusTexts::new(domains, tokenizer, run.seed)?),
            Self::File(file) => Box::new(FileTexts::read(file, tokenizer, length, run)?),
        })
    }
}
