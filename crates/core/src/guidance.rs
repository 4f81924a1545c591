//! Classifier-free guidance: a denoiser that pulls away from what it would say without the prompt.

use ndarray::Array2;

use crate::{Beliefs, Canvas, Denoiser, Error, RowId, SamplerLayer, State, Vocabulary};

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
    model: D,
    scale: f32,
}

impl<D: Denoiser> ClassifierFree<D> {
    /// Guides `model` with scale w.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless w is finite and at least 0.
    pub fn new(model: D, scale: f64) -> Result<Self, Error> {
        if (scale as f32).is_finite() && scale >= 0.0 {
            Ok(Self { model, scale: scale as f32 })
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

    fn denoise(&self, batch: &[&Canvas], rows: &[RowId]) -> Result<(Beliefs, State), Error> {
        if self.scale == 0.0 {
            return self.model.denoise(batch, rows);
        }
        let (hidden, twice) = without_given(batch, rows);
        let both: Vec<&Canvas> = batch.iter().copied().chain(&hidden).collect();
        let (beliefs, state) = self.model.denoise(&both, &twice)?;
        Ok((combine(&beliefs, rows.len(), self.scale)?, State::new(Both(state))))
    }
}

/// A sampler layer under guidance; made by [`ClassifierFree::sampler_layer`].
#[derive(Debug, Clone)]
pub struct GuidedLayer<S> {
    layer: S,
    scale: f32,
}

impl<S: SamplerLayer> SamplerLayer for GuidedLayer<S> {
    fn refine(
        &self,
        state: &mut State,
        batch: &[&Canvas],
        rows: &[RowId],
    ) -> Result<Beliefs, Error> {
        if self.scale == 0.0 {
            return self.layer.refine(state, batch, rows);
        }
        let Both(state) = state.downcast_mut()?;
        let (hidden, twice) = without_given(batch, rows);
        let both: Vec<&Canvas> = batch.iter().copied().chain(&hidden).collect();
        combine(&self.layer.refine(state, &both, &twice)?, rows.len(), self.scale)
    }
}

/// The state of a batch that holds every canvas twice, so that no unguided layer takes it for its
/// own.
struct Both(State);

/// The canvases with all that was given masked, and the rows of both halves of the batch.
fn without_given(batch: &[&Canvas], rows: &[RowId]) -> (Vec<Canvas>, Vec<RowId>) {
    let hide = |canvas: &&Canvas| {
        let given: Vec<usize> = (0..canvas.len()).filter(|&p| canvas.is_given(p)).collect();
        canvas.without(&given)
    };
    let second = |row: &RowId| RowId { sequence: row.sequence + batch.len(), ..*row };
    let twice = rows.iter().copied().chain(rows.iter().map(second)).collect();
    (batch.iter().map(hide).collect(), twice)
}

/// Combines rows n and N + n of 2N.
fn combine(beliefs: &Beliefs, rows: usize, scale: f32) -> Result<Beliefs, Error> {
    let columns = beliefs.logits(0).len();
    beliefs.expect_shape(2 * rows, columns)?;
    let mut logits = Vec::with_capacity(rows * columns);
    for n in 0..rows {
        let (with, without) = (beliefs.logits(n), beliefs.logits(rows + n));
        logits.extend(with.iter().zip(without).map(|(&l, &u)| guided(l, u, scale)));
    }
    let logits = Array2::from_shape_vec((rows, columns), logits).map_err(Error::model)?;
    Ok(Beliefs::from_logits(logits))
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
        let (hidden, twice) = without_given(&[&canvas], &rows);
        assert_eq!(hidden[0].tokens(), [9, 5, 9, 9]);
        assert_eq!(twice, [rows[0], RowId { sequence: 1, position: 2 }]);
    }
}
