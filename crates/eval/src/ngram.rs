//! A small autoregressive model of n-gram counts.

use std::collections::HashMap;
use std::ops::Range;

use conjoint_core::{Autoregressive, DenseRows, Error, TokenId};
use ndarray::Array2;

/// The counts of tokens after one context.
#[derive(Debug, Clone, Default)]
struct Counts {
    total: u64,
    next: HashMap<TokenId, u64>,
}

/// An n-gram model with interpolated Witten–Bell smoothing:
///
/// ```text
/// p(w | h) = (c(h w) + T(h) p(w | h')) / (c(h) + T(h))
/// ```
///
/// Here c are the counts in the texts, T(h) is the number of different tokens after the context h, and h' is the context
/// without its first token. The recursion ends with 1/V, so that no token has probability 0.
///
/// Energy resampling, copula and prefix-acceptance strategies can use the model as their autoregressive scorer if there is
/// no better one.
///
/// Source: Witten and Bell, "The zero-frequency problem", IEEE Transactions on Information Theory 37
/// (1991); interpolated as in Chen and Goodman (1998).
///
/// ```
/// use conjoint_core::Autoregressive;
/// use conjoint_eval::NGram;
/// let model = NGram::fit(2, 3, [vec![0, 1, 0, 1]])?;
/// // 1 follows 0 twice: c = 2, T = 1. As a unigram, 1 has 2 of 4 counts, with 2 of 3 tokens present.
/// let unigram: f64 = (2.0 + 2.0 / 3.0) / (4.0 + 2.0);
/// let expected = ((2.0 + unigram) / 3.0).ln();
/// assert!((model.log_likelihood(&[0, 1], 1..2)? - expected).abs() < 1e-6);
/// # Ok::<(), conjoint_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct NGram {
    order: usize,
    vocabulary: usize,
    /// Counts by context, of at most `order` − 1 tokens.
    contexts: HashMap<Vec<TokenId>, Counts>,
}

impl NGram {
    /// Fits a model of order `order` to token sequences over V = `vocabulary` ids.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `order` or `vocabulary` is 0, or a token is outside the vocabulary.
    pub fn fit(
        order: usize,
        vocabulary: usize,
        texts: impl IntoIterator<Item = Vec<TokenId>>,
    ) -> Result<Self, Error> {
        let invalid = |name, value: usize, expected: &str| Error::Parameter {
            name,
            value: value.to_string(),
            expected: expected.to_owned(),
        };
        if order == 0 {
            return Err(invalid("n-gram order", order, "at least 1"));
        }
        if vocabulary == 0 {
            return Err(invalid("vocabulary size", vocabulary, "at least 1"));
        }
        let mut contexts: HashMap<Vec<TokenId>, Counts> = HashMap::new();
        for text in texts {
            for (i, &token) in text.iter().enumerate() {
                if token as usize >= vocabulary {
                    return Err(invalid("token", token as usize, "an id of the vocabulary"));
                }
                for length in 0..order.min(i + 1) {
                    let counts = contexts.entry(text[i - length..i].to_vec()).or_default();
                    counts.total += 1;
                    *counts.next.entry(token).or_default() += 1;
                }
            }
        }
        Ok(Self { order, vocabulary, contexts })
    }

    /// p(· | `before`), \[V\].
    fn row(&self, before: &[TokenId]) -> Vec<f64> {
        let longest = before.len().min(self.order - 1);
        let mut row = vec![1.0 / self.vocabulary as f64; self.vocabulary];
        for length in 0..=longest {
            let Some(counts) = self.contexts.get(&before[before.len() - length..]) else { break };
            let kinds = counts.next.len() as f64;
            let total = counts.total as f64 + kinds;
            row.iter_mut().for_each(|p| *p *= kinds / total);
            for (&token, &count) in &counts.next {
                row[token as usize] += count as f64 / total;
            }
        }
        row
    }
}

impl Autoregressive for NGram {
    fn rows(&self, tokens: &[TokenId], positions: Range<usize>) -> Result<DenseRows, Error> {
        let shape = (positions.len(), self.vocabulary);
        let rows = positions.flat_map(|i| self.row(&tokens[..i]));
        let logits = Array2::from_shape_vec(shape, rows.map(|p| p.ln() as f32).collect());
        logits.map(DenseRows::from_logits).map_err(Error::model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_unseen_context_falls_back_to_a_shorter_one() {
        let model = NGram::fit(3, 3, [vec![0, 1, 2]]).unwrap();
        assert_eq!(model.row(&[2, 2]), model.row(&[]));
        assert_eq!(model.row(&[2, 0]), model.row(&[0]));
        assert_ne!(model.row(&[0, 1]), model.row(&[1]));
    }

    #[test]
    fn unusable_parameters_are_rejected() {
        assert!(NGram::fit(0, 3, [vec![0]]).is_err());
        assert!(NGram::fit(2, 0, [vec![]]).is_err());
        assert!(NGram::fit(2, 3, [vec![3]]).is_err());
    }

    proptest! {
        #[test]
        fn every_row_is_a_distribution_without_zeros(
            texts in prop::collection::vec(prop::collection::vec(0u32..4, 0..12), 0..6),
            before in prop::collection::vec(0u32..4, 0..5),
            order in 1usize..4,
        ) {
            let row = NGram::fit(order, 4, texts).unwrap().row(&before);
            prop_assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            prop_assert!(row.iter().all(|&p| p > 0.0));
        }

        #[test]
        fn frequent_tokens_are_more_likely(seen in 1usize..20) {
            let text: Vec<u32> = std::iter::repeat_n(1, seen).chain([0]).collect();
            let row = NGram::fit(1, 2, [text]).unwrap().row(&[]);
            prop_assert!(seen == 1 || row[1] > row[0]);
        }
    }
}
