//! A small autoregressive model that decodes a span of text from the denoiser's marginals.

use std::ops::Range;
use std::sync::Arc;

use ndarray::Array2;

use crate::{Canvas, Error, TokenId};

/// A span to be decoded, and the denoiser's marginals of it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Span<'a> {
    /// The sequence in its current state.
    pub canvas: &'a Canvas,
    /// The B positions of the span.
    pub positions: Range<usize>,
    /// π \[B, V\]: the denoiser's distribution of each position, before any filter. A known token has
    /// probability 1.
    pub marginals: Array2<f32>,
}

impl<'a> Span<'a> {
    /// Creates a span, to call a decoder outside of a run.
    pub fn new(canvas: &'a Canvas, positions: Range<usize>, marginals: Array2<f32>) -> Self {
        Self { canvas, positions, marginals }
    }
}

/// Decodes spans from left to right, conditioned on the marginals of the whole span.
///
/// p(x_1 … x_B | π) = Π_j p(x_j | π, x_<j). The marginals see both sides of the span, and the decoder adds
/// the dependence between its tokens. The published decoder (CoDiLA, arXiv 2603.20216) reads only the
/// expected embedding Σ_v π(v) E(v) of each row of π. It must be trained for the denoiser: an
/// [`Autoregressive`](crate::Autoregressive) model cannot replace it.
pub trait SpanDecoder: Send + Sync {
    /// Returns the logits \[V\] of the span's next position: ln p(x_j = · | π, x_<j) up to a constant.
    /// `before` holds the j tokens of the span to its left.
    ///
    /// Ids that the decoder does not have get probability 0. Ids that the denoiser does not have are ignored.
    ///
    /// # Errors
    /// [`Error::Model`] if the runtime fails.
    fn row(&self, span: &Span<'_>, before: &[TokenId]) -> Result<Vec<f32>, Error>;
}

impl<D: SpanDecoder + ?Sized> SpanDecoder for Arc<D> {
    fn row(&self, span: &Span<'_>, before: &[TokenId]) -> Result<Vec<f32>, Error> {
        (**self).row(span, before)
    }
}
