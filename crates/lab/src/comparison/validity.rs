use std::collections::BTreeMap;
use std::ops::Range;

use conjoint::prelude::*;
use conjoint_eval::{Bootstrap, Measured, Share, Validity};

use crate::Error;

/// The shares of texts that pass the checks of the corpus, with their intervals.
pub(super) struct Shares {
    pub right: Measured,
    pub parses: Measured,
    pub by_domain: BTreeMap<String, Measured>,
}

impl Shares {
    /// The shares of independent texts.
    pub fn of_texts(texts: &[String], seed: u64) -> Self {
        let mut validity = Validity::default();
        texts.iter().for_each(|text| validity.judge(text));
        let share = |share: Share| Measured::share(share, seed);
        let by_domain = validity.by_domain.into_iter();
        Self {
            right: share(validity.right),
            parses: share(validity.parses),
            by_domain: by_domain.map(|(domain, each)| (domain, share(each))).collect(),
        }
    }

    /// The shares of the texts of all rows. Texts of one row depend on each other, so that the intervals resample rows.
    pub fn of_packed(rows: &[Vec<String>], seed: u64) -> Result<Self, Error> {
        let judged = |texts: &Vec<String>| {
            let mut validity = Validity::default();
            texts.iter().for_each(|text| validity.judge(text));
            validity
        };
        let rows: Vec<Validity> = rows.iter().map(judged).collect();
        let share = |of: &dyn Fn(&Validity) -> Share| -> Result<Measured, Error> {
            let shares: Vec<Share> = rows.iter().map(of).collect();
            let mean = |shares: &[Share]| {
                let mut sum = Share::default();
                shares.iter().for_each(|&share| sum += share);
                sum.value()
            };
            Ok(Bootstrap::new(seed).one(&shares, mean)?)
        };
        let mut by_domain = BTreeMap::new();
        for domain in rows.iter().flat_map(|row| row.by_domain.keys()) {
            if !by_domain.contains_key(domain) {
                let own = |row: &Validity| row.by_domain.get(domain).copied().unwrap_or_default();
                by_domain.insert(domain.clone(), share(&own)?);
            }
        }
        Ok(Self { right: share(&|row| row.right)?, parses: share(&|row| row.parses)?, by_domain })
    }
}

/// The texts in `tokens` that end, without their end tokens.
pub(super) fn ended(
    tokens: &[TokenId],
    is_end: impl Fn(TokenId) -> bool,
) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    let ends = (0..tokens.len()).filter(move |&position| is_end(tokens[position]));
    ends.map(move |end| std::mem::replace(&mut start, end + 1)..end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use conjoint_corpus::Corpus;

    #[test]
    fn texts_end_at_their_end_tokens_and_the_rest_is_left_out() {
        let of = |tokens: &[TokenId]| ended(tokens, |token| token == 0).collect::<Vec<_>>();
        assert_eq!(of(&[3, 4, 0, 5, 0, 6]), [0..2, 3..4]);
        assert_eq!(of(&[0, 3, 0, 0]), [0..0, 1..2, 3..3]);
        assert_eq!(of(&[3, 4]), [0..0; 0]);
    }

    #[test]
    fn packed_texts_are_judged_one_by_one_and_rows_are_resampled() {
        let text = |i: u64| Corpus::new(3).text(i).to_string();
        let wrong = |i: u64| text(i).replace(['a', 'e'], "q");
        // Eight rows of ten texts: those of a row are all right or all wrong.
        let made = |r: u64, i: u64| if r < 6 { text(10 * r + i) } else { wrong(10 * r + i) };
        let row = |r: u64| (0..10).map(|i| made(r, i)).collect();
        let rows: Vec<Vec<String>> = (0..8).map(row).collect();
        let shares = Shares::of_packed(&rows, 1).unwrap();
        assert_eq!((shares.right.value, shares.right.n), (0.75, 8));
        let single = Shares::of_texts(&rows.concat(), 1);
        assert_eq!((single.right.value, single.right.n), (0.75, 80));
        let width = |figure: Measured| figure.high - figure.low;
        // As wide as the interval of 8 texts, 0.6, and not as that of 80.
        assert!(width(shares.right) > 2.0 * width(single.right), "{}", width(shares.right));
        for (domain, share) in &shares.by_domain {
            assert!((share.value - single.by_domain[domain].value).abs() < 1e-12, "{domain}");
        }
        assert_eq!(shares.by_domain.len(), 4);
        // Rows without an end have no text.
        let none = Shares::of_packed(&[vec![], vec![]], 1).unwrap();
        assert_eq!((none.right.value, none.by_domain.len()), (0.0, 0));
    }
}
