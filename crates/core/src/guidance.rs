//! Classifier-free guidance (CFG): extrapolates from the model's logits without the prompt to those with it.

use std::sync::Arc;

use ndarray::Array2;

use crate::denoiser::{Answer, Form, Request, SequenceInput, Session};
use crate::top_k_rows::Rows;
use crate::{Canvas, Denoiser, DenseRows, Error, RowId, SamplerLayer, State, Vocabulary, range};

/// A denoiser with the logits l_u + (w + 1)(l − l_u). Here l is the model's logit on the canvas, and l_u its
/// logit with every given token masked.
///
/// So p ∝ p(x | given)^(w+1) / p(x)^w. In infilling, given text after a hole is part of the condition too.
/// Both passes run in one batch of twice the canvases.
///
/// A token with l = −∞ is ruled out. A token with a finite l and l_u = −∞ has the logit l. With w = 0 only the
/// first pass runs, and the logits are the model's own, bit for bit.
///
/// Source: Nie et al., arXiv 2410.18514; LLaDA's `cfg_scale`, w = 0.
#[doc(alias = "guidance")]
#[doc(alias = "CFG")]
#[doc(alias = "classifier-free guidance")]
#[doc(alias = "cfg_scale")]
#[derive(Debug, Clone)]
pub struct ClassifierFree<D> {
    model: Arc<D>,
    scale: f32,
}

impl<D: Denoiser> ClassifierFree<D> {
    /// Guides `model` with scale w.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless w is finite in float32 and at least 0.
    pub fn new(model: D, scale: f64) -> Result<Self, Error> {
        let scale = range::within_f32("guidance scale", scale, 0.0..)?;
        Ok(Self { model: Arc::new(model), scale })
    }

    /// Guides a sampler layer of the model with the same scale: it refines both passes and combines them.
    pub fn sampler_layer<S: SamplerLayer>(&self, layer: S) -> GuidedLayer<S> {
        GuidedLayer { layer, scale: self.scale }
    }
}

impl<D: Denoiser> Denoiser for ClassifierFree<D> {
    fn vocabulary(&self) -> &Vocabulary {
        self.model.vocabulary()
    }

    fn max_length(&self) -> Option<usize> {
        self.model.max_length()
    }

    fn attention_block(&self) -> Option<usize> {
        self.model.attention_block()
    }

    fn passes(&self) -> usize {
        if self.scale == 0.0 { self.model.passes() } else { 2 * self.model.passes() }
    }

    /// Returns dense rows, because the passes are combined logit by logit.
    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        if self.scale == 0.0 {
            return self.model.forward(request);
        }
        let doubled = DoubledBatch::of(request);
        let mut answer = doubled.run(request, |request| self.model.forward(request))?;
        let rows = combine(&answer.rows.into_dense()?, request.rows.len(), self.scale)?;
        answer.hidden.truncate(request.batch.len());
        Ok(Answer {
            rows: rows.into(),
            state: State::new(GuidedState(answer.state)),
            hidden: answer.hidden,
        })
    }

    /// Opens the model's own session at w = 0. Otherwise there is none: each request holds every canvas
    /// twice, without ids.
    fn open_session(self: Arc<Self>) -> Result<Option<Box<dyn Session>>, Error> {
        match self.scale {
            0.0 => Arc::clone(&self.model).open_session(),
            _ => Ok(None),
        }
    }
}

/// A sampler layer under guidance; made by [`ClassifierFree::sampler_layer`].
#[derive(Debug, Clone)]
pub struct GuidedLayer<S> {
    layer: S,
    scale: f32,
}

impl<S: SamplerLayer> SamplerLayer for GuidedLayer<S> {
    fn pass(&self, state: &mut State, request: &Request<'_>) -> Result<Rows, Error> {
        if self.scale == 0.0 {
            return self.layer.pass(state, request);
        }
        let GuidedState(state) = state.downcast_mut()?;
        let doubled = DoubledBatch::of(request);
        let rows = doubled.run(request, |request| self.layer.pass(state, request))?;
        Ok(combine(&rows.into_dense()?, request.rows.len(), self.scale)?.into())
    }
}

/// The state of a batch that holds every canvas twice. Its own type, so that an unguided layer rejects it.
struct GuidedState(State);

/// The canvases of a request with every given token masked, and the rows of both halves of the batch.
struct DoubledBatch {
    unconditional: Vec<Canvas>,
    rows: Vec<RowId>,
}

impl DoubledBatch {
    fn of(request: &Request<'_>) -> Self {
        let without_given = |input: &SequenceInput<'_>| {
            let canvas = input.canvas;
            let given: Vec<usize> = (0..canvas.len()).filter(|&p| canvas.is_given(p)).collect();
            canvas.with_masked(&given)
        };
        let batch = request.batch.len();
        let second = |row: &RowId| RowId { sequence: row.sequence + batch, ..*row };
        let rows = request.rows.iter().copied().chain(request.rows.iter().map(second)).collect();
        Self { unconditional: request.batch.iter().map(without_given).collect(), rows }
    }

    /// Calls the model or the layer on both halves, for dense rows.
    fn run<T>(&self, request: &Request<'_>, call: impl FnOnce(&Request<'_>) -> T) -> T {
        let own = request.batch.iter().map(|input| SequenceInput::stateless(input.canvas));
        let batch: Vec<SequenceInput<'_>> =
            own.chain(self.unconditional.iter().map(SequenceInput::stateless)).collect();
        call(&Request {
            batch: &batch,
            rows: &self.rows,
            form: Form::Dense,
            hidden: request.hidden,
        })
    }
}

/// Combines rows n and N + n of 2N.
fn combine(both: &DenseRows, rows: usize, scale: f32) -> Result<DenseRows, Error> {
    let columns = both.logits(0).len();
    both.expect_shape(2 * rows, columns)?;
    let mut logits = Vec::with_capacity(rows * columns);
    for n in 0..rows {
        let (with, without) = (both.logits(n), both.logits(rows + n));
        logits.extend(with.iter().zip(without).map(|(&l, &u)| guided(l, u, scale)));
    }
    let logits = Array2::from_shape_vec((rows, columns), logits).map_err(Error::model)?;
    Ok(DenseRows::from_logits(logits))
}

fn guided(with: f32, without: f32, scale: f32) -> f32 {
    if with == f32::NEG_INFINITY || without == f32::NEG_INFINITY {
        return with;
    }
    without + (scale + 1.0) * (with - without)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUT: f32 = f32::NEG_INFINITY;

    #[test]
    fn impossible_tokens_make_no_nan() {
        assert_eq!(guided(2.0, 1.0, 1.5), 3.5);
        assert_eq!(guided(OUT, 1.0, 1.5), OUT);
        assert_eq!(guided(OUT, OUT, 1.5), OUT);
        assert_eq!(guided(2.0, OUT, 1.5), 2.0);
        // NaN and +∞ in either row are kept, so that the loop reports them.
        assert!(guided(f32::NAN, OUT, 1.5).is_nan() && guided(0.0, f32::NAN, 1.5).is_nan());
        assert!(!guided(f32::INFINITY, 0.0, 1.5).is_finite());
        assert!(!guided(0.0, f32::INFINITY, 1.5).is_finite());
    }

    #[test]
    fn the_second_pass_masks_given_tokens_only() {
        let mut canvas = Canvas::infill(vec![1, 9, 9, 2], 9).unwrap();
        canvas.reveal(1, 5).unwrap();
        let rows = [RowId { sequence: 0, position: 2 }];
        let doubled =
            DoubledBatch::of(&Request::new(&SequenceInput::stateless_batch(&[&canvas]), &rows));
        assert_eq!(doubled.unconditional[0].tokens(), [9, 5, 9, 9]);
        assert_eq!(doubled.rows, [rows[0], RowId { sequence: 1, position: 2 }]);
    }
}
