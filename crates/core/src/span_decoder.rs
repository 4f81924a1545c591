//! A small autoregressive model that makes a span of text of what a denoiser believes of it.

use std::ops::Range;
use std::sync::Arc;

use ndarray::Array2;

use crate::{Canvas, Error, TokenId};

/// A span to be decoded, and what is believed of it.
#[derive(Debug)]
pub struct Span<'a> {
    /// The sequence as it stands.
    pub canvas: &'a Canvas,
    /// The B positions of the span.
    pub positions: Range<usize>,
    /// π \[B, V\]: the denoiser's distribution of each position, before any filter; all on one token
    /// where that is known already.
    pub marginals: Array2<f32>,
}

/// Decodes spans from left to right, conditioned on the marginals of the whole span.
///
/// p(x_1 … x_B | π) = Π_j p(x_j | π, x_<j). The marginals say *what* may stand in the span, seen from
/// both sides; the decoder, *how* it goes together. The published one turns each row of π into the
/// expected embedding Σ_v π(v) E(v) and reads nothing else, so it needs to be trained for the
/// denoiser; an [`Autoregressive`](crate::Autoregressive) model cannot stand in for it.
pub trait SpanDecoder: Send + Sync {
    /// Logits \[V\] of the span's next position: ln p(x_j = · | π, x_<j) up to a constant, `before`
    /// holding the j tokens of the span to its left.
    ///
    /// A decoder with fewer ids than the denoiser gives the others probability 0; ids beyond those of
    /// the denoiser are ignored.
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
