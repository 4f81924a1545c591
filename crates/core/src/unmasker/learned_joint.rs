use std::sync::Arc;

use super::{Next, Unmasker, View};
use crate::schedule::EntropyBound;
use crate::{Error, Order, SamplerLayer, range};

/// Approximate joint sampling (ADJUST): one full forward, then a sampler pass before each further token.
///
/// Reveals one token from the full forward. Then, K − 1 times, it runs the sampler layer on the current
/// canvas and reveals one token from the refined rows. With an order and a schedule the passes can reveal any
/// masked position. With a policy that has its own rule they reveal the positions that it selected.
///
/// With a [window](Self::window) of w the passes compute only candidates that rank high. Before each token,
/// the step keeps the first w candidates for each token that it has yet to reveal, this one included, and
/// drops the others. The first pass then computes w · K − 1 rows, the next one w · (K − 1) − 1, instead of
/// all masked rows.
///
/// **Law.** With K = 1 it is [`ExactSequential`](super::ExactSequential), token for token for the same seed.
/// With K > 1 it is exact if the sampler layer returns the model's true conditionals; otherwise it is as
/// close to the model's joint as the layer is to them. The window depends on rows only, so this holds with a
/// window too. A window changes the order: a position outside of it cannot be revealed in this step. Source:
/// arXiv 2509.22738, without windows.
///
/// With a [bound](Self::bound) of γ nats, tokens that hardly depend on each other are drawn from one set of
/// rows, which saves passes. The law of each such draw is within γ nats of the rows' joint; see
/// [`EntropyBound`].
#[doc(alias = "ADJUST")]
#[doc(alias = "approximate joint sampling")]
#[derive(Clone)]
pub struct LearnedJoint {
    sampler: Arc<dyn SamplerLayer>,
    order: Option<Arc<dyn Order>>,
    window: Option<usize>,
    bound: Option<EntropyBound>,
}

impl LearnedJoint {
    /// Creates the unmasker with this sampler layer, lowest entropy first.
    pub fn new(sampler: impl SamplerLayer + 'static) -> Self {
        Self { sampler: Arc::new(sampler), order: None, window: None, bound: None }
    }

    /// Computes `w` candidates for each token that a step has yet to reveal, instead of all. The
    /// [presets](crate::presets) use 3; `docs/choosing.md` has the measurements.
    ///
    /// # Errors
    /// [`Error::Parameter`] if it is 0.
    pub fn window(self, w: usize) -> Result<Self, Error> {
        Ok(Self { window: Some(range::at_least("window", w, 1)?), ..self })
    }

    /// Draws several tokens at once from the rows of the forward and of each pass: as many as can depend on
    /// each other by at most `gamma` nats. With 0 these are one token and the certain ones.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless it is finite and at least 0.
    pub fn bound(self, gamma: f64) -> Result<Self, Error> {
        Ok(Self { bound: Some(EntropyBound::new(gamma)?), ..self })
    }

    /// Sets the order.
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
