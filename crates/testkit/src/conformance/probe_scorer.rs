use std::ops::Range;

use conjoint_core::span_decoder::{Span, SpanDecoder};
use conjoint_core::{Autoregressive, DenseRows, Error as CoreError, TokenId};
use ndarray::Array2;
use rand::RngExt;

use crate::noise::tokens_rng;

/// The second model of the suite, for strategies that score drafts or decode spans with one.
///
/// Its rows are random, but always the same for the same tokens on the left.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProbeScorer;

impl ProbeScorer {
    const SEED: u64 = 2;
    /// The size of the largest vocabulary of the suite.
    const IDS: usize = 7;

    fn row(left: &[TokenId], position: usize) -> impl Iterator<Item = f32> {
        let mut rng = tokens_rng(Self::SEED, left, position);
        (0..Self::IDS).map(move |_| rng.random_range(-3.0f32..3.0))
    }
}

impl Autoregressive for ProbeScorer {
    fn rows(&self, tokens: &[TokenId], positions: Range<usize>) -> Result<DenseRows, CoreError> {
        let mut logits = Vec::with_capacity(positions.len() * Self::IDS);
        for position in positions.clone() {
            logits.extend(Self::row(&tokens[..position], position));
        }
        let logits = Array2::from_shape_vec((positions.len(), Self::IDS), logits);
        logits.map(DenseRows::from_logits).map_err(CoreError::model)
    }
}

impl SpanDecoder for ProbeScorer {
    fn row(&self, span: &Span<'_>, before: &[TokenId]) -> Result<Vec<f32>, CoreError> {
        Ok(Self::row(before, span.positions.start + before.len()).collect())
    }
}
