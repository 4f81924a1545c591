//! Sampler layers of a tabular joint: the exact one, one that ignores new tokens, and a noisy one.

use conjoint_core::denoiser::Request;
use conjoint_core::top_k_rows::Rows;
use conjoint_core::{Denoiser, Error as CoreError, RowId, SamplerLayer, State};
use rand::RngExt;

use crate::Error;
#[cfg(doc)]
use crate::TabularDenoiser;
use crate::noise::canvas_rng;
use crate::oracle::{TabularState, dense_rows};

/// The exact sampler layer of a [`TabularDenoiser`].
///
/// It returns the true conditionals of the present canvas, so joint sampling is exact for every K.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExactRefiner;

impl SamplerLayer for ExactRefiner {
    fn pass(&self, state: &mut State, request: &Request<'_>) -> Result<Rows, CoreError> {
        let batch = &request.canvases()[..];
        let rows = request.rows;
        let oracle = &state.downcast_mut::<TabularState>()?.oracle;
        Ok(dense_rows(&oracle.rows(batch, rows)?, oracle.vocabulary().size())?.into())
    }
}

/// A sampler layer that ignores the tokens revealed since the forward of the [`TabularDenoiser`].
///
/// It returns the rows of that forward again, so joint sampling is independent sampling.
#[derive(Debug, Clone, Copy, Default)]
pub struct StaleRefiner;

impl SamplerLayer for StaleRefiner {
    fn pass(&self, state: &mut State, request: &Request<'_>) -> Result<Rows, CoreError> {
        let rows = request.rows;
        let state = state.downcast_mut::<TabularState>()?;
        let row = |id: &RowId| state.first.get(id).cloned().unwrap_or_default();
        let logits: Vec<Vec<f32>> = rows.iter().map(row).collect();
        Ok(dense_rows(&logits, state.oracle.vocabulary().size())?.into())
    }
}

/// A sampler layer of a [`TabularDenoiser`] with noise on the true logits.
///
/// The noise is uniform on ±scale, and always the same for the same tokens. At scale 0 the layer is
/// exact.
#[derive(Debug, Clone, Copy)]
pub struct NoisyRefiner {
    scale: f32,
    seed: u64,
}

impl NoisyRefiner {
    /// Noise of this scale, in nats.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless the scale is finite and at least 0.
    pub fn new(scale: f32, seed: u64) -> Result<Self, Error> {
        if scale.is_finite() && scale >= 0.0 {
            return Ok(Self { scale, seed });
        }
        let expected = "a finite number, at least 0";
        Err(Error::Parameter { name: "noise scale", value: scale.into(), expected })
    }
}

impl SamplerLayer for NoisyRefiner {
    fn pass(&self, state: &mut State, request: &Request<'_>) -> Result<Rows, CoreError> {
        let batch = &request.canvases()[..];
        let rows = request.rows;
        let oracle = &state.downcast_mut::<TabularState>()?.oracle;
        let mut logits = oracle.rows(batch, rows)?;
        for (row, id) in logits.iter_mut().zip(rows) {
            let mut rng = canvas_rng(self.seed, batch[id.sequence], id.position);
            row.iter_mut().for_each(|logit| *logit += self.scale * rng.random_range(-1.0..=1.0));
        }
        Ok(dense_rows(&logits, oracle.vocabulary().size())?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TabularDenoiser, TabularJoint};
    use conjoint_core::Canvas;

    #[test]
    fn the_exact_layer_reads_the_present_canvas_and_the_stale_one_does_not() {
        // Two fair coins that always agree; 2 is the mask.
        let joint = TabularJoint::new(2, 2, &[1.0, 0.0, 0.0, 1.0]).unwrap();
        let oracle = TabularDenoiser::new(joint).unwrap().with_mask_weight(1.0).unwrap();
        let id = |position| RowId { sequence: 0, position };
        let mut canvas = Canvas::unconditional(2, 2).unwrap();
        let (_, mut state) = oracle.denoise(&[&canvas], &[id(0), id(1)]).unwrap();
        canvas.reveal(0, 1).unwrap();
        let mut refine = |layer: &dyn SamplerLayer| {
            layer.refine(&mut state, &[&canvas], &[id(1)]).unwrap().logits(0).to_vec()
        };
        let half = 0.5f32.ln();
        assert_eq!(refine(&ExactRefiner), [f32::NEG_INFINITY, 0.0, 0.0]);
        assert_eq!(refine(&StaleRefiner), [half, half, 0.0]);
        let noisy = NoisyRefiner::new(0.5, 3).unwrap();
        let row = refine(&noisy);
        assert_eq!(row, refine(&noisy));
        assert!(row[0] == f32::NEG_INFINITY && row[1].abs() <= 0.5 && row[1] != 0.0, "{row:?}");
    }

    #[test]
    fn invalid_scales_are_rejected() {
        for bad in [-1.0, f32::NAN, f32::INFINITY] {
            assert!(NoisyRefiner::new(bad, 0).is_err());
        }
    }
}
