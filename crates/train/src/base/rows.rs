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

/// The corpus's texts as rows: one text per row, padded with end tokens, or several of them
/// ([`BaseOptions::packed`]). Every domain has the same share of the held-out rows, independent of its share of the
/// training rows.
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
        if options.packed {
            return packed_row(corpus, tokenizer, options.length, index);
        }
        let mut row = tokenizer.encode(&corpus.text(index).to_string())?;
        row.resize(options.length.max(row.len()), tokenizer.eos());
        Ok(row)
    })
}

/// Row `index` of packed texts, `[length]` ids: texts of `corpus` with their end tokens, cut at `length`.
///
/// Each row has texts of its own, whatever the number that it uses: row i begins at text i · ⌈length / 2⌉, because a tag
/// and an end token are the least that a text occupies.
fn packed_row(
    corpus: &Corpus,
    tokenizer: &CharTokenizer,
    length: usize,
    index: u64,
) -> Result<Vec<u32>, TrainError> {
    let first = index * length.div_ceil(2) as u64;
    let mut row = Vec::with_capacity(length);
    for text in corpus.texts(first..) {
        if row.len() >= length {
            break;
        }
        row.extend(tokenizer.encode(&text.to_string())?);
        row.push(tokenizer.eos());
    }
    row.truncate(length);
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::tokenizer::EOS;
    use conjoint_corpus::{Text, check};

    fn tokenizer() -> CharTokenizer {
        let tags: Vec<_> = Domain::ALL.iter().map(|domain| domain.tag()).collect();
        CharTokenizer::new(Corpus::alphabet(), &tags).unwrap()
    }

    fn packed(length: usize, seed: u64) -> BaseOptions {
        let mut options = BaseOptions { length, packed: true, ..BaseOptions::default() };
        options.run.seed = seed;
        options
    }

    #[test]
    fn packed_rows_hold_whole_texts_of_the_corpus_and_the_beginning_of_one() {
        let tokenizer = tokenizer();
        let options = packed(256, 3);
        let rows = corpus_rows(&tokenizer, &options).unwrap();
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
        let tokenizer = tokenizer();
        let row = |length, seed, index| {
            let options = packed(length, seed);
            corpus_rows(&tokenizer, &options).unwrap().row(index).unwrap()
        };
        assert_eq!(row(256, 1, 7), row(256, 1, 7));
        assert_ne!(row(256, 1, 7), row(256, 2, 7));
        // Texts of stories are long and random, so that equal ones in two rows are copies.
        let stories = |rows: std::ops::Range<u64>| -> Vec<String> {
            let options = BaseOptions { domains: vec![Domain::Story], ..packed(200, 1) };
            let source = corpus_rows(&tokenizer, &options).unwrap();
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
        let tokenizer = tokenizer();
        let options = packed(9, 1);
        let row = corpus_rows(&tokenizer, &options).unwrap().row(4).unwrap();
        let first = tokenizer.encode(&Corpus::new(1).text(4 * 5).to_string()).unwrap();
        assert_eq!(row, first[..9]);
    }

    #[test]
    fn domains_have_their_shares_in_training_and_equal_shares_in_validation() {
        let tokenizer = tokenizer();
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
