//! The exact denoiser of a tabular joint.

use std::collections::BTreeMap;
use std::sync::Arc;

use conjoint_core::denoiser::{Answer, Request};
use conjoint_core::{
    Canvas, Denoiser, DenseRows, Error as CoreError, RowId, State, TokenId, Vocabulary,
};
use ndarray::Array2;

use crate::{Error, TabularJoint};

/// The exact denoiser of a [`TabularJoint`].
///
/// A row's logits are ln p(x_i = · | revealed tokens), computed in float64 and rounded to float32.
/// The row of a revealed position is conditioned on all *other* revealed tokens.
///
/// The vocabulary is the joint's symbols 0..V and the mask V, so a row is \[V + 1\]. The mask's
/// logit is −∞ unless the mask has a [weight](Self::with_mask_weight).
///
/// A joint over T positions accepts canvases of exactly T positions. Given tokens (a prompt, or the
/// known tokens of an infilling) condition it like revealed tokens. For batches of several lengths,
/// [add](Self::and) further joints.
///
/// ```
/// use conjoint_core::{Canvas, Generator};
/// use conjoint_testkit::{TabularDenoiser, TabularJoint, exact_law};
/// let joint = TabularJoint::random(3, 3, 1.0, 7)?;
/// let generator = Generator::new(TabularDenoiser::new(joint.clone())?);
/// let law = exact_law(&generator, &Canvas::unconditional(3, joint.mask())?)?;
/// assert!(joint.total_variation(&law) < 1e-6);
/// # Ok::<(), conjoint_testkit::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TabularDenoiser {
    joints: Arc<BTreeMap<usize, TabularJoint>>,
    vocabulary: Vocabulary,
    mask_logit: f32,
}

impl TabularDenoiser {
    /// The denoiser of one joint.
    ///
    /// # Errors
    /// Those of [`Vocabulary::new`].
    pub fn new(joint: TabularJoint) -> Result<Self, Error> {
        let vocabulary = Vocabulary::new(joint.symbols() + 1, joint.mask())?;
        let joints = Arc::new(BTreeMap::from([(joint.length(), joint)]));
        Ok(Self { joints, vocabulary, mask_logit: f32::NEG_INFINITY })
    }

    /// Adds a joint, for canvases of another length.
    ///
    /// # Errors
    /// [`Error::JointMismatch`] if the joint has other symbols, or the length of an earlier one.
    pub fn and(mut self, joint: TabularJoint) -> Result<Self, Error> {
        let (length, symbols) = (joint.length(), joint.symbols());
        let expected = self.vocabulary.size() - 1;
        if symbols != expected || self.joints.contains_key(&length) {
            return Err(Error::JointMismatch { length, symbols, expected });
        }
        Arc::make_mut(&mut self.joints).insert(length, joint);
        Ok(self)
    }

    /// Sets the mask's logit to ln `weight`. The weights of the symbols sum to 1.
    ///
    /// With a large weight the model prefers the mask, which must never be drawn.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless the weight is finite and at least 0.
    pub fn with_mask_weight(mut self, weight: f64) -> Result<Self, Error> {
        if !(weight.is_finite() && weight >= 0.0) {
            let expected = "a finite number, at least 0";
            return Err(Error::Parameter { name: "mask weight", value: weight, expected });
        }
        self.mask_logit = weight.ln() as f32;
        Ok(self)
    }

    /// Makes a symbol the end of a sequence.
    ///
    /// # Errors
    /// Those of [`Vocabulary::with_eos`].
    pub fn with_eos(mut self, symbol: TokenId) -> Result<Self, Error> {
        self.vocabulary = self.vocabulary.with_eos(symbol)?;
        Ok(self)
    }

    /// Makes a symbol the padding.
    ///
    /// # Errors
    /// Those of [`Vocabulary::with_pad`].
    pub fn with_pad(mut self, symbol: TokenId) -> Result<Self, Error> {
        self.vocabulary = self.vocabulary.with_pad(symbol)?;
        Ok(self)
    }

    /// The logits of one row \[V + 1\].
    fn row(&self, batch: &[&Canvas], id: RowId) -> Result<Vec<f32>, Error> {
        let RowId { sequence, position } = id;
        let canvas = batch.get(sequence).ok_or(Error::Sequence { sequence, batch: batch.len() })?;
        Ok(self.logits(&self.conditional(canvas.tokens(), position)?))
    }

    /// The V probabilities of the symbols at a position, given all other revealed tokens.
    pub(crate) fn conditional(
        &self,
        tokens: &[TokenId],
        position: usize,
    ) -> Result<Vec<f64>, Error> {
        let lengths = || self.joints.keys().copied().collect();
        let joint = self
            .joints
            .get(&tokens.len())
            .ok_or_else(|| Error::Length { got: tokens.len(), expected: lengths() })?;
        let mut tokens = tokens.to_vec();
        if let Some(token) = tokens.get_mut(position) {
            *token = joint.mask();
        }
        joint.conditional(&tokens, position)
    }

    /// The logits \[V + 1\] of the symbols' probabilities, and of the mask.
    pub(crate) fn logits(&self, probabilities: &[f64]) -> Vec<f32> {
        probabilities.iter().map(|p| p.ln() as f32).chain([self.mask_logit]).collect()
    }

    /// The logits of the requested rows, in their order.
    pub(crate) fn rows(
        &self,
        batch: &[&Canvas],
        rows: &[RowId],
    ) -> Result<Vec<Vec<f32>>, CoreError> {
        let rows = rows.iter().map(|&id| self.row(batch, id));
        rows.collect::<Result<_, _>>().map_err(CoreError::model)
    }
}

impl Denoiser for TabularDenoiser {
    fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, CoreError> {
        let batch = &request.canvases()[..];
        let rows = request.rows;
        let logits = self.rows(batch, rows)?;
        let answer = dense_rows(&logits, self.vocabulary.size())?;
        let first = rows.iter().copied().zip(logits).collect();
        Ok(Answer::new(answer, State::new(TabularState { oracle: self.clone(), first })))
    }
}

/// The state that the sampler layers of [`refiner`](crate::refiner) continue: the denoiser, and the
/// rows of its forward.
pub(crate) struct TabularState {
    pub oracle: TabularDenoiser,
    pub first: BTreeMap<RowId, Vec<f32>>,
}

/// Collects rows of logits into one array \[N, V + 1\].
pub(crate) fn dense_rows(rows: &[Vec<f32>], columns: usize) -> Result<DenseRows, CoreError> {
    let logits = Array2::from_shape_vec((rows.len(), columns), rows.concat());
    logits.map(DenseRows::from_logits).map_err(CoreError::model)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two fair coins that always agree; 2 is the mask.
    fn coins() -> TabularDenoiser {
        let joint = TabularJoint::new(2, 2, &[1.0, 0.0, 0.0, 1.0]).unwrap();
        TabularDenoiser::new(joint).unwrap()
    }

    fn id(sequence: usize, position: usize) -> RowId {
        RowId { sequence, position }
    }

    #[test]
    fn rows_are_log_conditionals_for_every_length_of_a_batch() {
        let single = TabularJoint::new(1, 2, &[1.0, 3.0]).unwrap();
        let oracle = coins().and(single).unwrap();
        let long = Canvas::infill(vec![1, 2], 2).unwrap();
        let short = Canvas::unconditional(1, 2).unwrap();
        let (answer, _) = oracle.denoise(&[&short, &long], &[id(0, 0), id(1, 1)]).unwrap();
        assert_eq!(answer.logits(0), [0.25f32.ln(), 0.75f32.ln(), f32::NEG_INFINITY]);
        assert_eq!(answer.logits(1), [f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY]);
    }

    #[test]
    fn joints_that_do_not_fit_are_rejected() {
        let joint = |length, symbols| TabularJoint::random(length, symbols, 1.0, 0).unwrap();
        assert!(matches!(coins().and(joint(2, 2)), Err(Error::JointMismatch { .. })));
        assert!(matches!(coins().and(joint(3, 3)), Err(Error::JointMismatch { .. })));
        let canvas = Canvas::unconditional(3, 2).unwrap();
        let error = coins().denoise(&[&canvas], &[id(0, 0)]).err().unwrap();
        assert!(error.to_string().contains("length 3"), "{error}");
        assert!(coins().with_mask_weight(f64::NAN).is_err());
    }
}
