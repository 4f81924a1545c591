//! The rows that a base model is trained on.

use std::collections::BTreeSet;

use conjoint_corpus::{Corpus, Domain};

use super::options::BaseOptions;
use super::tokenizer::CharTokenizer;
use crate::error::TrainError;

/// The index of the first row that is held out for validation. Training rows have smaller indices.
pub const HELD_OUT: u64 = 1 << 40;

/// A source of training rows.
///
/// Implemented by functions `Fn(u64) -> Result<Vec<u32>, TrainError>`.
pub trait RowSource: Sync {
    /// Returns row `index`, `[T]` ids, which begins with the prompt and is padded with the end token. Equal indices must
    /// give equal rows. Rows from [`HELD_OUT`] on are used for validation only.
    ///
    /// # Errors
    ///
    /// The source cannot make the row.
    fn row(&self, index: u64) -> Result<Vec<u32>, TrainError>;
}

impl<F: Fn(u64) -> Result<Vec<u32>, TrainError> + Sync> RowSource for F {
    fn row(&self, index: u64) -> Result<Vec<u32>, TrainError> {
        self(index)
    }
}

/// The corpus's texts as rows, each a tag, the body's characters and end tokens. Every domain has the same share of the
/// held-out rows, independent of its share of the training rows.
pub(crate) fn corpus_rows(
    tokenizer: &CharTokenizer,
    options: &BaseOptions,
) -> Result<impl RowSource, TrainError> {
    let of = |domains: &[Domain]| {
        let corpus = Corpus::new(options.run.seed).with_domains(domains);
        let (got, expected) = ("none".to_owned(), "at least one".to_owned());
        corpus.map_err(|_| TrainError::Invalid { name: "domains", got, expected })
    };
    let each: BTreeSet<Domain> = options.domains.iter().copied().collect();
    let (training, held_out) = (of(&options.domains)?, of(&Vec::from_iter(each))?);
    Ok(move |index| {
        let corpus = if index < HELD_OUT { &training } else { &held_out };
        let mut row = tokenizer.encode(&corpus.text(index).to_string())?;
        row.resize(options.length.max(row.len()), tokenizer.eos());
        Ok(row)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_have_their_shares_in_training_and_equal_shares_in_validation() {
        let tags: Vec<_> = Domain::ALL.iter().map(|domain| domain.tag()).collect();
        let tokenizer = CharTokenizer::new(Corpus::alphabet(), &tags).unwrap();
        let count = |domains: &[Domain], domain: Domain, first: u64| {
            let options = BaseOptions { domains: domains.to_vec(), ..BaseOptions::default() };
            let rows = corpus_rows(&tokenizer, &options).unwrap();
            let tag = tokenizer.encode(domain.tag()).unwrap()[0];
            (first..first + 400).filter(|&i| rows.row(i).unwrap()[0] == tag).count()
        };
        let domains = [Domain::List, Domain::Code, Domain::List, Domain::List];
        assert_eq!(count(&domains, Domain::Math, 0) + count(&domains, Domain::Math, HELD_OUT), 0);
        // Means of 300 and 200; standard deviations of 9 and 10.
        assert!(count(&domains, Domain::List, 0).abs_diff(300) < 45);
        assert!(count(&domains, Domain::List, HELD_OUT).abs_diff(200) < 50);
        let none = BaseOptions { domains: vec![], ..BaseOptions::default() };
        let rejected = corpus_rows(&tokenizer, &none).map(drop);
        assert!(matches!(rejected, Err(TrainError::Invalid { name: "domains", .. })));
    }
}
