use std::sync::Arc;

use super::{Control, Next, Unmasker, View};
use crate::autoregressive::Scores;
use crate::observation::Row;
use crate::order::LeftToRight;
use crate::{Autoregressive, Error, Order, Query, StepRequest, range};

/// Smaller probabilities are raised to this in ratios.
const MIN_PROBABILITY: f64 = 1e-16;

/// Discrete Copula Diffusion (DCD): draws from an autoregressive model, corrected by the denoiser for known
/// tokens on the right.
///
/// Draws the K leftmost masked positions of the block one after the other from
///
/// p(x_i) ∝ p_AR(x_i | x_<i) · (p_bi(x_i) / p_causal(x_i))^α,
///
/// where p_bi is the denoiser's row on the canvas, and p_causal its row with every known token to the right of
/// i masked. Both are taken before any filter and raised to at least 1e-16. Filters only rule out tokens here:
/// a temperature has no effect. The sequence fails with [`Error::EmptyRow`] if the autoregressive model rules
/// out every token that the filters allow.
///
/// A step costs one forward, one more for each hole with known tokens on its right, and K calls of the
/// autoregressive model. A continuation has no such hole.
///
/// **Law.** With an exact autoregressive model, an exact denoiser and α = 1:
/// - without known tokens to the right of those drawn, it is the joint, for every K;
/// - with known tokens on the right, it is exact for the first token of each step, and so at K = 1. For K > 1
///   it is exact only if the correction of a token does not depend on the tokens drawn before it in the step.
///
/// Without known tokens on the right it samples the autoregressive model, for any denoiser. Source: Discrete
/// Copula Diffusion (arXiv 2410.01949), in its autoregressive form; α = 1.
#[doc(alias = "DCD")]
#[doc(alias = "Discrete Copula Diffusion")]
#[derive(Clone)]
pub struct Copula {
    scorer: Arc<dyn Autoregressive>,
    alpha: f64,
    /// The causal row of each candidate.
    causal: Vec<Query>,
}

impl Copula {
    /// Creates the unmasker with α = 1.
    pub fn new(scorer: impl Autoregressive + 'static) -> Self {
        Self { scorer: Arc::new(scorer), alpha: 1.0, causal: Vec::new() }
    }

    /// Sets α; 0 disables the correction.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless α is finite and at least 0.
    pub fn alpha(self, alpha: f64) -> Result<Self, Error> {
        Ok(Self { alpha: range::non_negative("alpha", alpha)?, ..self })
    }

    /// The logits of a candidate, −∞ for tokens that the filters rule out.
    fn logits(&self, view: &mut View<'_>, candidate: Row, ar: &Scores) -> Result<Vec<f32>, Error> {
        let mut logits = view.filtered(candidate)?.to_vec();
        let causal = view.query_row(self.causal[candidate.index()]);
        let log_of = |row: Row| -> Result<_, Error> {
            let log_z = view.raw_stats(row).map_or(0.0, |stats| stats.log_z);
            let row = view.logits(row)?;
            Ok(move |token: usize| (f64::from(row[token]) - log_z).max(MIN_PROBABILITY.ln()))
        };
        let (log_bi, log_causal) = (log_of(candidate)?, log_of(causal)?);
        for (token, logit) in logits.iter_mut().enumerate() {
            if *logit > f32::NEG_INFINITY {
                let correction = self.alpha * (log_bi(token) - log_causal(token));
                let finite = correction.clamp(f32::MIN.into(), f32::MAX.into());
                *logit = (ar.log_probability(0, token) + finite) as f32;
            }
        }
        Ok(logits)
    }
}

impl Unmasker for Copula {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        let canvas = request.canvas();
        self.causal.clear();
        for position in canvas.masked() {
            self.causal.push(request.query_with_masked(position, position..canvas.len()));
        }
        Ok(())
    }

    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let mut tokens = view.canvas().tokens().to_vec();
        for candidate in view.rows().take(view.quota()) {
            let position = view.row(candidate).position;
            let ar = Scores::of(&self.scorer, &tokens, position..position + 1)?;
            let mut logits = self.logits(view, candidate, &ar)?;
            let drawn = view.draw_from(candidate, &mut logits)?;
            tokens[position] = drawn.token;
            view.reveal(candidate, drawn);
        }
        Ok(Next::EndStep)
    }

    fn reveals_selection(&self) -> bool {
        false
    }

    fn control(&self) -> Control {
        Control::Schedule
    }

    fn default_order(&self) -> Arc<dyn Order> {
        Arc::new(LeftToRight)
    }

    fn needs_full_rows(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoregressive::tests::NeverCalled;

    #[test]
    fn alpha_is_finite_and_not_negative() {
        for bad in [-0.1, f64::NAN, f64::INFINITY] {
            let error = Copula::new(NeverCalled).alpha(bad).err().unwrap();
            assert!(error.to_string().contains("at least 0"), "{error}");
        }
        assert_eq!(Copula::new(NeverCalled).alpha(0.0).unwrap().alpha, 0.0);
    }
}
