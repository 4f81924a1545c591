//! The rows that a base model is trained on.

use std::collections::BTreeMap;

use conjoint_trajectory::digest;

use super::options::BaseOptions;
use super::row_form::RowForm;
use super::texts::Texts;
use super::tokenizer::TextTokenizer;
use crate::error::TrainError;

/// The index of the first row that is held out for validation. Training rows have smaller indices.
pub const HELD_OUT: u64 = 1 << 40;

/// A source of training rows.
///
/// Implemented by functions `Fn(u64) -> Result<Vec<u32>, TrainError>`.
pub trait RowSource: Sync {
    /// Returns the ids of row `index`, which begins with the prompt. It has T ids, or with [`RowForm::GivenEnd`] at most T,
    /// the last one being the end token. Equal indices must give equal rows. Rows from [`HELD_OUT`] on are used for
    /// validation only.
    ///
    /// # Errors
    ///
    /// The source cannot make the row.
    fn row(&self, index: u64) -> Result<Vec<u32>, TrainError>;

    /// The mean number of tokens of a training row; `None` if all have T.
    ///
    /// # Errors
    ///
    /// The source cannot make the rows of a sample.
    fn mean_length(&self) -> Result<Option<f64>, TrainError> {
        Ok(None)
    }

    /// Names and values that identify the rows. They must not change when a run resumes.
    fn identity(&self) -> BTreeMap<String, String> {
        // A sample of the rows.
        let sample: Vec<_> = (HELD_OUT..HELD_OUT + 64).flat_map(|row| self.row(row)).collect();
        [("texts".to_owned(), digest(sample.iter().map(Vec::as_slice)))].into()
    }
}

impl<F: Fn(u64) -> Result<Vec<u32>, TrainError> + Sync> RowSource for F {
    fn row(&self, index: u64) -> Result<Vec<u32>, TrainError> {
        self(index)
    }
}

/// Texts as rows.
pub(crate) struct TextRows<'a> {
    texts: Box<dyn Texts + 'a>,
    eos: u32,
    form: RowForm,
    length: usize,
}

impl<'a> TextRows<'a> {
    /// Rows of the texts of `options`.
    pub fn new(tokenizer: &'a TextTokenizer, options: &BaseOptions) -> Result<Self, TrainError> {
        let texts = options.texts.open(tokenizer, options.length, &options.run)?;
        Ok(Self { texts, eos: tokenizer.eos(), form: options.form, length: options.length })
    }

    /// Texts from text `first` on, each with its end token, cut at the row's length.
    fn packed(&self, first: u64) -> Result<Vec<u32>, TrainError> {
        let mut row = Vec::with_capacity(self.length);
        for index in first.. {
            if row.len() >= self.length {
                break;
            }
            row.extend(self.texts.text(index)?);
            row.push(self.eos);
        }
        row.truncate(self.length);
        Ok(row)
    }
}

impl RowSource for TextRows<'_> {
    fn row(&self, index: u64) -> Result<Vec<u32>, TrainError> {
        if self.form == RowForm::Packed {
            return self.packed(self.texts.packed_start(index, self.length));
        }
        let mut row = self.texts.text(index)?;
        match self.form {
            RowForm::GivenEnd => row.push(self.eos),
            _ => row.resize(self.length.max(row.len()), self.eos),
        }
        Ok(row)
    }

    fn mean_length(&self) -> Result<Option<f64>, TrainError> {
        match self.form {
            RowForm::GivenEnd => Ok(Some(self.texts.mean_length()? + 1.0)),
            RowForm::Padded | RowForm::Packed => Ok(None),
        }
    }

    fn identity(&self) -> BTreeMap<String, String> {
        self.texts.identity().unwrap_or_else(|| (|index| self.row(index)).identity())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::base::TextSource;
    use crate::base::testing::corpus_tokenizer;
    use crate::base::tokenizer::EOS;
    use conjoint_corpus::{Corpus, Domain, Text, check};

    fn packed(length: usize, seed: u64) -> BaseOptions {
        let mut options = BaseOptions { length, form: RowForm::Packed, ..BaseOptions::default() };
        options.run.seed = seed;
        options
    }

    #[test]
    fn packed_rows_hold_whole_texts_of_the_corpus_and_the_beginning_of_one() {
        let tokenizer = corpus_tokenizer();
        let options = packed(256, 3);
        let rows = TextRows::new(&tokenizer, &options).unwrap();
        let (mut whole, mut cut) = (0, 0);
        for index in (0..40).chain(HELD_OUT..HELD_OUT + 40) {
            let row = rows.row(index).unwrap();
            assert_eq!(row.len(), 256);
            let text = tokenizer.decode(&row).unwrap();
            let (ended, last) = text.rsplit_once(EOS).unwrap();
            for (tagged, place) in ended.split(EOS).zip(0..) {
                let Text { domain, body } = Text::parse(tagged).unwrap();
                check(domain, &body).unwrap();
                assert_eq!(tagged, Corpus::new(3).text(index * 128 + place).to_string());
                whole += 1;
            }
            let next = Corpus::new(3).text(index * 128 + ended.split(EOS).count() as u64);
            assert!(next.to_string().starts_with(last), "{last:?}");
            cut += usize::from(!last.is_empty());
        }
        // A text and its end token take 27 to 48 positions.
        assert!((80 * 5..=80 * 10).contains(&whole) && cut > 60, "{whole} {cut}");
    }

    #[test]
    fn packed_rows_depend_on_the_index_and_the_seed_and_share_no_text() {
        let tokenizer = corpus_tokenizer();
        let row = |length, seed, index| {
            let options = packed(length, seed);
            TextRows::new(&tokenizer, &options).unwrap().row(index).unwrap()
        };
        assert_eq!(row(256, 1, 7), row(256, 1, 7));
        assert_ne!(row(256, 1, 7), row(256, 2, 7));
        // Texts of stories are long and random, so that equal ones in two rows are copies.
        let stories = |rows: std::ops::Range<u64>| -> Vec<String> {
            let options =
                BaseOptions { texts: TextSource::Corpus(vec![Domain::Story]), ..packed(200, 1) };
            let source = TextRows::new(&tokenizer, &options).unwrap();
            let texts = rows.flat_map(|i| {
                let text = tokenizer.decode(&source.row(i).unwrap()).unwrap();
                let (ended, _) = text.rsplit_once(EOS).unwrap();
                ended.split(EOS).map(str::to_owned).collect::<Vec<_>>()
            });
            texts.collect()
        };
        let all = [stories(0..30), stories(HELD_OUT..HELD_OUT + 30)].concat();
        let distinct: BTreeSet<&String> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn a_packed_row_may_be_shorter_than_a_text() {
        let tokenizer = corpus_tokenizer();
        let options = packed(9, 1);
        let row = TextRows::new(&tokenizer, &options).unwrap().row(4).unwrap();
        let first = tokenizer.encode(&Corpus::new(1).text(4 * 5).to_string()).unwrap();
        assert_eq!(row, first[..9]);
    }

    #[test]
    fn domains_have_their_shares_in_training_and_equal_shares_in_validation() {
        let tokenizer = corpus_tokenizer();
        let count = |domains: &[Domain], domain: Domain, first: u64| {
            let options = BaseOptions {
                texts: TextSource::Corpus(domains.to_vec()),
                ..BaseOptions::default()
            };
            let rows = TextRows::new(&tokenizer, &options).unwrap();
            let tag = tokenizer.encode(domain.tag()).unwrap()[0];
            (first..first + 400).filter(|&i| rows.row(i).unwrap()[0] == tag).count()
        };
        let domains = [Domain::List, Domain::Code, Domain::List, Domain::List];
        assert_eq!(count(&domains, Domain::Math, 0) + count(&domains, Domain::Math, HELD_OUT), 0);
        // Means of 300 and 200; standard deviations of 9 and 10.
        assert!(count(&domains, Domain::List, 0).abs_diff(300) < 45);
        assert!(count(&domains, Domain::List, HELD_OUT).abs_diff(200) < 50);
        let none = BaseOptions { texts: TextSource::Corpus(vec![]), ..BaseOptions::default() };
        let rejected = TextRows::new(&tokenizer, &none).map(drop);
        assert!(matches!(rejected, Err(TrainError::Invalid { name: "domains", .. })));
    }

    #[test]
    fn a_row_with_a_given_end_is_a_text_and_one_end_token() {
        let tokenizer = corpus_tokenizer();
        let options = BaseOptions { form: RowForm::GivenEnd, ..BaseOptions::default() };
        let rows = TextRows::new(&tokenizer, &options).unwrap();
        let mut tokens = 0;
        for index in (0..200).chain(HELD_OUT..HELD_OUT + 5) {
            let row = rows.row(index).unwrap();
            let (end, text) = row.split_last().unwrap();
            assert_eq!(*end, tokenizer.eos());
            assert_eq!(tokenizer.decode(text).unwrap(), Corpus::new(0).text(index).to_string());
            tokens += if index < HELD_OUT { row.len() } else { 0 };
        }
        let mean = rows.mean_length().unwrap().unwrap();
        assert!((mean - tokens as f64 / 200.0).abs() < 2.0, "{mean}");
    }
}
