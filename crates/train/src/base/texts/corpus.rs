//! The texts of the built-in corpus.

use std::collections::BTreeSet;

use conjoint_corpus::{Corpus, Domain};

use super::Texts;
use crate::base::rows::HELD_OUT;
use crate::base::tokenizer::TextTokenizer;
use crate::error::TrainError;

/// The texts of [`Corpus`]. Every domain has the same share of the held-out texts, independent of its share of the
/// training texts.
pub(super) struct CorpusTexts<'a> {
    training: Corpus,
    held_out: Corpus,
    tokenizer: &'a TextTokenizer,
}

impl<'a> CorpusTexts<'a> {
    pub fn new(
        domains: &[Domain],
        tokenizer: &'a TextTokenizer,
        seed: u64,
    ) -> Result<Self, TrainError> {
        let of = |domains: &[Domain]| {
            let corpus = Corpus::new(seed).with_domains(domains);
            let (got, expected) = ("none".to_owned(), "at least one".to_owned());
            corpus.map_err(|_| TrainError::Invalid { name: "domains", got, expected })
        };
        let each: BTreeSet<Domain> = domains.iter().copied().collect();
        Ok(Self { training: of(domains)?, held_out: of(&Vec::from_iter(each))?, tokenizer })
    }
}

impl Texts for CorpusTexts<'_> {
    fn text(&self, index: u64) -> Result<Vec<u32>, TrainError> {
        let corpus = if index < HELD_OUT { &self.training } else { &self.held_out };
        self.tokenizer.encode(&corpus.text(index).to_string())
    }

    /// Each row has texts of its own, whatever the number that it uses: a tag and an end token are the least that a text
    /// occupies.
    fn packed_start(&self, row: u64, length: usize) -> u64 {
        row * length.div_ceil(2) as u64
    }

    fn mean_length(&self) -> Result<f64, TrainError> {
        const SAMPLE: u64 = 1000;
        let lengths = (0..SAMPLE).map(|index| self.text(index).map(|text| text.len()));
        Ok(lengths.sum::<Result<usize, _>>()? as f64 / SAMPLE as f64)
    }
}
