use std::sync::Arc;

use super::{Drawn, Next, Unmasker, View};
use crate::order::{self, PlackettLuce};
use crate::{Error, Order};

/// Which probability of the drawn token is its confidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Score {
    /// That in the row before any filter, as in LLaDA. It does not saturate at low temperature.
    #[default]
    Raw,
    /// That in the filtered row, as in Dream's `maskgit_plus`.
    Filtered,
}

impl Score {
    /// Draws a token for every candidate and [sets](View::set_confidence) its confidence.
    fn draft(self, view: &mut View<'_>, drawn: &mut Vec<Drawn>) -> Result<(), Error> {
        drawn.clear();
        view.draw_all(view.rows(), drawn)?;
        for (candidate, draw) in view.rows().zip(drawn.iter()) {
            let confidence = match self {
                Score::Filtered => draw.probability,
                Score::Raw => view.raw_probability(candidate, draw.token)?,
            };
            view.set_confidence(candidate, confidence);
        }
        Ok(())
    }
}

/// Drafts a token at every masked position and keeps those that the policy selects, by default the most
/// confident ones.
///
/// **Law.** Biased even with one position a step if tokens are sampled and the policy reads confidences:
/// *where* then depends on *what* was drawn, so probable tokens are kept too often (total variation about
/// 0.33 on a random joint of 3 tokens over 3 symbols). With argmax draws and [`Score::Filtered`] it equals
/// [`Marginal`](super::Marginal) with the same policy. Source: MaskGIT (arXiv 2202.04200), LLaDA's
/// low-confidence remasking (arXiv 2502.09992).
#[doc(alias = "MaskGIT")]
#[doc(alias = "low-confidence remasking")]
#[doc(alias = "maskgit_plus")]
#[derive(Clone, Default)]
pub struct Confidence {
    score: Score,
    order: Option<Arc<dyn Order>>,
    drafted: Vec<Drawn>,
}

impl Confidence {
    /// Creates the unmasker with this score.
    pub fn new(score: Score) -> Self {
        Self { score, ..Self::default() }
    }

    /// Draws the kept positions from softmax(confidence / τ) instead of keeping the best ones, as Dream's
    /// `maskgit_plus` with an `alg_temp`; see [`PlackettLuce`].
    ///
    /// # Errors
    /// [`Error::Parameter`] unless τ is finite and above 0.
    pub fn plackett_luce(self, temperature: f64) -> Result<Self, Error> {
        let random = PlackettLuce::new(order::Confidence, temperature)?;
        Ok(Self { order: Some(Arc::new(random)), ..self })
    }
}

impl Unmasker for Confidence {
    fn draft(&mut self, view: &mut View<'_>) -> Result<(), Error> {
        self.score.draft(view, &mut self.drafted)
    }

    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        // A wrapper may not forward the call of `draft`.
        if self.drafted.len() != view.candidates().len() {
            self.draft(view)?;
        }
        for rank in 0..view.quota() {
            let candidate = view.ranked(rank);
            view.reveal(candidate, self.drafted[candidate.index()]);
        }
        Ok(Next::EndStep)
    }

    fn order(&self) -> Option<Arc<dyn Order>> {
        self.order.clone()
    }

    fn default_order(&self) -> Arc<dyn Order> {
        Arc::new(order::Confidence)
    }
}
