//! A second, autoregressive model that scores drafts from left to right.

use std::ops::Range;
use std::sync::Arc;

use crate::{DenseRows, Error, RowStats, TokenId};

/// An autoregressive language model over the denoiser's token ids: p(x) = Π p(x_i | x_<i).
///
/// The rows of a denoiser are marginals. An autoregressive model gives the joint probability of tokens drawn
/// from them.
#[doc(alias = "verifier")]
#[doc(alias = "autoregressive model")]
pub trait Autoregressive: Send + Sync {
    /// Returns the logits [N, V] of N `positions`: row i is ln p(x_i = · | x_<i) up to a constant, and
    /// depends on `tokens[..i]` only. The row of position 0 is the distribution of a first token; a model
    /// without one returns equal logits.
    ///
    /// Ids that the model does not have get probability 0. Ids that the denoiser does not have are ignored.
    ///
    /// # Errors
    /// [`Error::Model`] if the runtime fails.
    fn rows(&self, tokens: &[TokenId], positions: Range<usize>) -> Result<DenseRows, Error>;

    /// Returns Σ ln p(x_i | x_<i) over the `positions`, in nats; −∞ for tokens that the model rules out.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `positions` is not a range of the tokens, [`Error::DenseShape`] for a wrong
    /// number of rows, [`Error::Model`] for a row with NaN or +∞, and those of [`rows`](Self::rows).
    fn log_likelihood(&self, tokens: &[TokenId], positions: Range<usize>) -> Result<f64, Error> {
        let scores = Scores::of(self, tokens, positions.clone())?;
        let terms = positions.enumerate();
        Ok(terms.map(|(n, i)| scores.log_probability(n, tokens[i] as usize)).sum())
    }
}

impl<A: Autoregressive + ?Sized> Autoregressive for Arc<A> {
    fn rows(&self, tokens: &[TokenId], positions: Range<usize>) -> Result<DenseRows, Error> {
        (**self).rows(tokens, positions)
    }

    fn log_likelihood(&self, tokens: &[TokenId], positions: Range<usize>) -> Result<f64, Error> {
        (**self).log_likelihood(tokens, positions)
    }
}

/// The rows of a scorer, checked and normalised.
pub(crate) struct Scores {
    dense: DenseRows,
    log_z: Vec<f64>,
}

impl Scores {
    pub fn of<A: Autoregressive + ?Sized>(
        scorer: &A,
        tokens: &[TokenId],
        positions: Range<usize>,
    ) -> Result<Self, Error> {
        if positions.start > positions.end || positions.end > tokens.len() {
            let expected = format!("a range within 0..{}", tokens.len());
            return Err(Error::parameter("positions", format!("{positions:?}"), expected));
        }
        let dense = scorer.rows(tokens, positions.clone())?;
        dense.expect_shape(positions.len(), dense.logits(0).len())?;
        let mut log_z = Vec::with_capacity(positions.len());
        for (n, position) in positions.enumerate() {
            let row = dense.logits(n);
            if row.iter().any(|logit| logit.is_nan() || *logit == f32::INFINITY) {
                let what = "the autoregressive model's row holds NaN or +∞";
                return Err(Error::model(format!("position {position}: {what}")));
            }
            log_z.push(RowStats::of(row).map_or(0.0, |stats| stats.log_z));
        }
        Ok(Self { dense, log_z })
    }

    /// ln p of a token in the n-th row.
    pub fn log_probability(&self, n: usize, token: usize) -> f64 {
        let logit = self.dense.logits(n).get(token).copied().unwrap_or(f32::NEG_INFINITY);
        f64::from(logit) - self.log_z[n]
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use ndarray::Array2;

    /// A scorer that must not be called.
    pub(crate) struct NeverCalled;

    impl Autoregressive for NeverCalled {
        fn rows(&self, _: &[TokenId], _: Range<usize>) -> Result<DenseRows, Error> {
            Err(Error::model("called"))
        }
    }

    /// The same row everywhere.
    struct Unigram(Vec<f32>);

    impl Autoregressive for Unigram {
        fn rows(&self, _: &[TokenId], positions: Range<usize>) -> Result<DenseRows, Error> {
            let shape = (positions.len(), self.0.len());
            let rows = Array2::from_shape_vec(shape, self.0.repeat(positions.len()));
            Ok(DenseRows::from_logits(rows.map_err(Error::model)?))
        }
    }

    #[test]
    fn likelihoods_are_normalised_and_add_up() {
        let scorer: Arc<dyn Autoregressive> = Arc::new(Unigram(vec![1.0, 1.0 + 3f32.ln()]));
        let expected = 0.25f64.ln() + 2.0 * 0.75f64.ln();
        let got = scorer.log_likelihood(&[1, 0, 1, 1], 1..4).unwrap();
        assert!((got - expected).abs() < 1e-6, "{got}");
        assert_eq!(scorer.log_likelihood(&[1], 1..1).unwrap(), 0.0);
        // The scorer has no such id.
        assert_eq!(scorer.log_likelihood(&[2], 0..1).unwrap(), f64::NEG_INFINITY);
    }

    #[test]
    fn errors_name_the_position_and_the_range() {
        let outside = Unigram(vec![0.0]).log_likelihood(&[0], 0..2).unwrap_err();
        assert!(outside.to_string().contains("0..1"), "{outside}");
        let error = Unigram(vec![f32::NAN]).log_likelihood(&[0, 0], 1..2).unwrap_err();
        assert!(error.to_string().contains("position 1"), "{error}");
        let nothing = Unigram(vec![f32::NEG_INFINITY; 2]).log_likelihood(&[0], 0..1).unwrap();
        assert_eq!(nothing, f64::NEG_INFINITY);
    }
}
