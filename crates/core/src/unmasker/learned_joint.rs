use std::sync::Arc;

use super::{Next, Unmasker, View};
use crate::schedule::EntropyBound;
use crate::{Error, Order, SamplerLayer};

/// Approximate joint sampling: one full forward, then a sampler pass before each further token.
///
/// Reveals one token from the full forward; then, K − 1 times, runs the sampler layer on the canvas
/// as it now stands and reveals one token from its refined rows. The policy says which K positions: an order and a
/// schedule leave the passes open to all masked positions, a policy with a rule of its own to those that it selected.
///
/// With a [window](Self::window) of w the passes look only at candidates that rank high. Before each token, the step keeps the
/// first w candidates for each token that it has yet to reveal, this one included, and drops the others: the first pass
/// computes w · K − 1 rows, the next one w · (K − 1) − 1. A pass over rows costs these rows, instead of all that are masked.
///
/// **Law.** With K = 1 it is [`ExactSequential`](super::ExactSequential), token for token for the
/// same seed. With K > 1 it is exact if the sampler layer answers the model's true conditionals, and
/// as near to the model's joint as the layer is to them otherwise. Which rows are in the window depends on rows alone, so
/// that all of this holds with a window too; what it changes is the order: a position that has left it cannot be
/// revealed in this step, however sure the layer would have become of it. Source: arXiv 2509.22738, without windows.
///
/// With a [bound](Self::bound) of γ nats, several tokens are drawn from one set of rows where they hardly depend on each
/// other, which saves passes. The law of each such draw is within γ of the rows' joint; see [`EntropyBound`].
#[derive(Clone)]
pub struct LearnedJoint {
    sampler: Arc<dyn SamplerLayer>,
    order: Option<Arc<dyn Order>>,
    window: Option<usize>,
    bound: Option<EntropyBound>,
}

impl LearnedJoint {
    /// With this sampler layer, lowest entropy first.
    pub fn new(sampler: impl SamplerLayer + 'static) -> Self {
        Self { sampler: Arc::new(sampler), order: None, window: None, bound: None }
    }

    /// Looks at `w` candidates for each token that a step has yet to reveal, instead of at all. 3 is a good choice for a
    /// layer that was trained for it; see `docs/choosing.md`.
    ///
    /// # Errors
    /// [`Error::Parameter`] if it is 0.
    pub fn window(self, w: usize) -> Result<Self, Error> {
        match w {
            0 => Err(Error::parameter("window", w, "at least 1")),
            w => Ok(Self { window: Some(w), ..self }),
        }
    }

    /// Draws as many tokens at once from the rows of the forward, and of each pass, as may depend on each other by at most
    /// `gamma` nats. At 0, beside one token, only those that the rows hold for certain.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless it is finite and at least 0.
    pub fn bound(self, gamma: f64) -> Result<Self, Error> {
        Ok(Self { bound: Some(EntropyBound::new(gamma)?), ..self })
    }

    /// Reveals in this order instead.
    pub fn order(self, order: impl Order + 'static) -> Self {
        Self { order: Some(Arc::new(order)), ..self }
    }
}

impl Unmasker for LearnedJoint {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let left = view.quota();
        let entropy = |rank| view.row(view.ranked(rank)).stats.entropy;
        let count = self.bound.map_or(1, |bound| bound.count((0..left).map(entropy)));
        for rank in 0..count {
            let next = view.ranked(rank);
            let drawn = view.draw(next)?;
            view.reveal(next, drawn);
        }
        if left == count {
            return Ok(Next::EndStep);
        }
        if let Some(w) = self.window {
            view.narrow_to_best(w.saturating_mul(left));
        }
        Ok(Next::Refine)
    }

    fn order(&self) -> Option<Arc<dyn Order>> {
        self.order.clone()
    }

    fn sampler_layer(&self) -> Option<&Arc<dyn SamplerLayer>> {
        Some(&self.sampler)
    }
}
