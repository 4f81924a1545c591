//! A model whose rows are a function of the canvas and the position.

use conjoint_core::denoiser::{Answer, Request};
use conjoint_core::{Canvas, Denoiser, DenseRows, Error, RowId, State, TokenId, Vocabulary};
use ndarray::Array2;

/// `N` symbols with these logits. The mask id is `N`, and its logit is −∞.
pub struct FunctionModel<F, const N: usize> {
    vocabulary: Vocabulary,
    logits: F,
}

impl<F: Fn(&Canvas, usize) -> [f32; N], const N: usize> FunctionModel<F, N> {
    pub fn new(logits: F) -> Self {
        Self { vocabulary: Vocabulary::new(N + 1, N as TokenId).unwrap(), logits }
    }

    /// Makes a symbol the end of a sequence.
    pub fn with_eos(self, symbol: TokenId) -> Self {
        Self { vocabulary: self.vocabulary.with_eos(symbol).unwrap(), ..self }
    }
}

impl<F: Fn(&Canvas, usize) -> [f32; N] + Send + Sync, const N: usize> Denoiser
    for FunctionModel<F, N>
{
    fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let row = |id: &RowId| {
            let logits = (self.logits)(request.batch[id.sequence].canvas, id.position);
            logits.into_iter().chain([f32::NEG_INFINITY])
        };
        let logits: Vec<f32> = request.rows.iter().flat_map(row).collect();
        let logits = Array2::from_shape_vec((request.rows.len(), N + 1), logits);
        Ok(Answer::new(DenseRows::from_logits(logits.map_err(Error::model)?), State::new(())))
    }
}
