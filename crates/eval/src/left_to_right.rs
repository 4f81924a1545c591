use std::sync::Arc;

use conjoint_core::Autoregressive;

use crate::{Error, Sample, Scorer};

/// Scores samples with any autoregressive model: Σ ln p(x_i | x_<i) over the drawn tokens. Given tokens serve as context
/// only.
///
/// ```
/// use conjoint_core::Canvas;
/// use conjoint_eval::{Bootstrap, LeftToRight, NGram, Sample, nll};
/// # use std::sync::Arc;
/// // 1 follows 0 in two of three texts.
/// let scorer = NGram::fit(2, 3, vec![vec![0, 1], vec![0, 1], vec![0, 2]])?;
/// let sample = Sample::new(Canvas::new(&[0], 1, 3)?, vec![0, 1])?;
/// let nats = nll(&[sample], &LeftToRight::new(Arc::new(scorer)), &Bootstrap::new(1))?;
/// assert!(nats.value > 0.0 && nats.value < 3f64.ln());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct LeftToRight(Arc<dyn Autoregressive>);

impl LeftToRight {
    /// A scorer with this model.
    pub fn new(model: Arc<dyn Autoregressive>) -> Self {
        Self(model)
    }
}

impl Scorer for LeftToRight {
    fn log_likelihoods(&self, samples: &[Sample]) -> Result<Vec<f64>, Error> {
        let one = |sample: &Sample| {
            let drawn: Vec<usize> = sample.canvas().masked().collect();
            // One call per run of adjacent drawn positions.
            let runs = drawn.chunk_by(|a, b| a + 1 == *b);
            runs.map(|run| self.0.log_likelihood(sample.tokens(), run[0]..run[0] + run.len()))
                .sum::<Result<f64, _>>()
        };
        samples.iter().map(|sample| Ok(one(sample)?)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use conjoint_core::{Canvas, DenseRows, TokenId};
    use ndarray::Array2;

    /// A model with ln p(x_i | x_<i) = −(1 + i) at every position i.
    struct Clock;

    impl Autoregressive for Clock {
        fn rows(&self, _: &[TokenId], _: Range<usize>) -> Result<DenseRows, conjoint_core::Error> {
            Ok(DenseRows::from_logits(Array2::zeros((0, 2))))
        }

        fn log_likelihood(
            &self,
            tokens: &[TokenId],
            positions: Range<usize>,
        ) -> Result<f64, conjoint_core::Error> {
            assert!(positions.end <= tokens.len());
            Ok(positions.map(|i| -(1.0 + i as f64)).sum())
        }
    }

    #[test]
    fn only_drawn_tokens_are_scored() {
        let scorer = LeftToRight::new(Arc::new(Clock));
        let canvas = Canvas::infill(vec![0, 9, 9, 1, 9], 9).unwrap();
        let sample = Sample::new(canvas, vec![0, 1, 0, 1, 0]).unwrap();
        assert_eq!(scorer.log_likelihoods(&[sample]).unwrap(), [-2.0 - 3.0 - 5.0]);
    }
}
