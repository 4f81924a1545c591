//! Classifier-free guidance: a denoiser that pulls away from what it would say without the prompt.

use std::sync::Arc;

use ndarray::Array2;

use crate::denoiser::{Answer, Form, Request, SequenceInput, Session};
use crate::top_k_rows::Rows;
use crate::{Canvas, Denoiser, DenseRows, Error, RowId, SamplerLayer, State, Vocabulary};

/// A denoiser whose rows are l_u + (w + 1)(l − l_u), l its logits on the canvas and l_u its logits
/// with everything given masked.
///
/// So p ∝ p(x | given)^(w+1) / p(x)^w. All that was given is hidden in the second pass, text after
/// a hole included: in infilling, that is the condition too. Both passes go in one batch of twice
/// the canvases. A token that the canvas rules out stays so, and where only the pass without the
/// prompt rules it out, it keeps its logit l. At w = 0 it is the plain model, bit for bit, in one
/// pass.
///
/// Source: Nie et al., arXiv 2410.18514; LLaDA's `cfg_scale`, w = 0.
#[derive(Debug, Clone)]
pub struct ClassifierFree<D> {
    model: Arc<D>,
    scale: f32,
}

impl<D: Denoiser> ClassifierFree<D> {
    /// Guides `model` with scale w.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless w is finite and at least 0.
    pub fn new(model: D, scale: f64) -> Result<Self, Error> {
        if (scale as f32).is_finite() && scale >= 0.0 {
            Ok(Self { model: Arc::new(model), scale: scale as f32 })
        } else {
            Err(Error::parameter(
                "guidance scale",
                scale,
                "a number of at least 0, finite in 32 bits",
            ))
        }
    }

    /// A sampler layer of the model, guided as the model is: it refines both passes and combines
    /// them.
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

    fn passes(&self) -> usize {
        if self.scale == 0.0 { self.model.passes() } else { 2 * self.model.passes() }
    }

    /// Rows are dense: the two passes are combined logit by logit.
    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        if self.scale == 0.0 {
            return self.model.forward(request);
        }
        let twice = Twice::of(request);
        let mut answer = twice.ask(request, |request| self.model.forward(request))?;
        let rows = combine(&answer.rows.into_dense()?, request.rows.len(), self.scale)?;
        answer.hidden.truncate(request.batch.len());
        Ok(Answer {
            rows: rows.into(),
            state: State::new(Both(answer.state)),
            hidden: answer.hidden,
        })
    }

    /// The model's own session without guidance. With it, every canvas is shown twice, and nothing is remembered.
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
        let Both(state) = state.downcast_mut()?;
        let twice = Twice::of(request);
        let rows = twice.ask(request, |request| self.layer.pass(state, request))?;
        Ok(combine(&rows.into_dense()?, request.rows.len(), self.scale)?.into())
    }
}

/// The state of a batch that holds every canvas twice, so that no unguided layer takes it for its
/// own.
struct Both(State);

/// The canvases of a request with all that was given masked, and the rows of both halves of the batch.
struct Twice {
    hidden: Vec<Canvas>,
    rows: Vec<RowId>,
}

impl Twice {
    fn of(request: &Request<'_>) -> Self {
        let hide = |shown: &SequenceInput<'_>| {
            let canvas = shown.canvas;
            let given: Vec<usize> = (0..canvas.len()).filter(|&p| canvas.is_given(p)).collect();
            canvas.with_masked(&given)
        };
        let batch = request.batch.len();
        let second = |row: &RowId| RowId { sequence: row.sequence + batch, ..*row };
        let rows = request.rows.iter().copied().chain(request.rows.iter().map(second)).collect();
        Self { hidden: request.batch.iter().map(hide).collect(), rows }
    }

    /// Asks for both halves, as dense rows.
    fn ask<T>(&self, request: &Request<'_>, ask: impl FnOnce(&Request<'_>) -> T) -> T {
        let own = request.batch.iter().map(|shown| SequenceInput::stateless(shown.canvas));
        let batch: Vec<SequenceInput<'_>> =
            own.chain(self.hidden.iter().map(SequenceInput::stateless)).collect();
        ask(&Request { batch: &batch, rows: &self.rows, form: Form::Dense, hidden: request.hidden })
    }
}

/// Combines rows n and N + n of 2N.
fn combine(beliefs: &DenseRows, rows: usize, scale: f32) -> Result<DenseRows, Error> {
    let columns = beliefs.logits(0).len();
    beliefs.expect_shape(2 * rows, columns)?;
    let mut logits = Vec::with_capacity(rows * columns);
    for n in 0..rows {
        let (with, without) = (beliefs.logits(n), beliefs.logits(rows + n));
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
        // What is wrong with either row is not hidden.
        assert!(guided(f32::NAN, OUT, 1.5).is_nan() && guided(0.0, f32::NAN, 1.5).is_nan());
        assert!(!guided(f32::INFINITY, 0.0, 1.5).is_finite());
        assert!(!guided(0.0, f32::INFINITY, 1.5).is_finite());
    }

    #[test]
    fn all_that_was_given_is_hidden_and_what_was_revealed_is_not() {
        let mut canvas = Canvas::infill(vec![1, 9, 9, 2], 9).unwrap();
        canvas.reveal(1, 5).unwrap();
        let rows = [RowId { sequence: 0, position: 2 }];
        let twice = Twice::of(&Request::new(&SequenceInput::stateless_batch(&[&canvas]), &rows));
        assert_eq!(twice.hidden[0].tokens(), [9, 5, 9, 9]);
        assert_eq!(twice.rows, [rows[0], RowId { sequence: 1, position: 2 }]);
    }
}
