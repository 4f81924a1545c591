//! The texts of a base model: a file, or the built-in corpus.

use std::path::PathBuf;

use clap::Args;
use conjoint::export::TokenName;
use conjoint_corpus::Domain;
use conjoint_train::TrainError;
use conjoint_train::base::{TextFile, TextSource, Validation};

use crate::flag::InvalidArgument;
use crate::names;
use crate::numbers::count;

/// A file of texts with its tokenizer, or domains of the corpus.
#[derive(Args)]
pub struct TextArguments {
    /// Train on the texts of this file: one per line, or the "text" of each object of a .jsonl file. Lines are taken as they are:
    /// a backslash is one. Blank lines are skipped [default: the texts of `conjoint corpus`]
    #[arg(long, value_name = "FILE", requires = "tokenizer")]
    texts: Option<PathBuf>,
    /// tokenizer.json of --texts, which becomes that of the model
    #[arg(long, value_name = "FILE", requires = "texts")]
    tokenizer: Option<PathBuf>,
    /// Mask token, as an id or as the tokenizer writes it [default: that of a tokenizer_config.json beside --tokenizer, or a usual one, such as [MASK]]
    #[arg(long, value_name = "ID|TOKEN", requires = "texts")]
    mask_id: Option<TokenName>,
    /// Token that ends a text and pads its row, as an id or as the tokenizer writes it [default: that of a tokenizer_config.json
    /// beside --tokenizer, or a usual one, such as </s>]
    #[arg(long, value_name = "ID|TOKEN", requires = "texts")]
    eos: Option<TokenName>,
    /// Validate on the texts of this file [default: on texts of --texts that training leaves out]
    #[arg(long, value_name = "FILE", requires = "texts", conflicts_with = "held_out")]
    validation: Option<PathBuf>,
    /// Number of texts of --texts that are used for validation only, at most a tenth of them. They are the same for every seed
    #[arg(long, value_name = "N", requires = "texts", default_value_t = 1024, value_parser = count::<1, 100000000>)]
    held_out: usize,
    /// Skip texts that do not fit into --length with an end token [default: they are an error]
    #[arg(long, requires = "texts")]
    skip_long: bool,
    /// Domains of the corpus, separated by commas: story, math, code, list. One given twice is drawn twice as often [default: each
    /// once]
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = names::domain, conflicts_with = "texts")]
    domains: Vec<Domain>,
}

impl TextArguments {
    pub fn source(&self) -> TextSource {
        let Some((path, tokenizer)) = self.texts.clone().zip(self.tokenizer.clone()) else {
            return TextSource::Corpus(match self.domains.as_slice() {
                [] => Domain::ALL.to_vec(),
                named => named.to_vec(),
            });
        };
        TextSource::File(TextFile {
            path,
            tokenizer,
            mask: self.mask_id.clone(),
            eos: self.eos.clone(),
            validation: match &self.validation {
                None => Validation::HeldOut(self.held_out),
                Some(path) => Validation::File(path.clone()),
            },
            skip_long: self.skip_long,
        })
    }

    /// Names the flag of the file that caused an error of the trainer.
    pub fn with_flag(&self, error: TrainError) -> anyhow::Error {
        let (path, reason) = match &error {
            TrainError::Malformed { path, reason } => (path, reason.clone()),
            TrainError::Io { path, source, .. } => (path, source.to_string()),
            _ => return error.into(),
        };
        let flags = [
            ("--texts", &self.texts),
            ("--tokenizer", &self.tokenizer),
            ("--validation", &self.validation),
        ];
        match flags.iter().find(|(_, file)| file.as_ref() == Some(path)) {
            Some((flag, _)) => InvalidArgument::new(flag, path.display(), reason).into(),
            None => error.into(),
        }
    }
}
