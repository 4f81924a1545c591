use std::sync::Arc;

use super::{Next, Unmasker, View};
use crate::order::Entropy;
use crate::{Error, Order, SamplerLayer};

/// Approximate joint sampling: one full forward, then a sampler pass before each further token.
///
/// Reveals one token from the full forward; then, K − 1 times, runs the sampler layer on the canvas
/// as it now stands and reveals one token from its refined rows.
///
/// **Law.** With K = 1 it is [`ExactSequential`](super::ExactSequential), token for token for the
/// same seed. With K > 1 it is exact if the sampler layer answers the model's true conditionals, and
/// as near to the model's joint as the layer is to them otherwise. Source: arXiv 2509.22738.
#[derive(Clone)]
pub struct LearnedJoint {
    sampler: Arc<dyn SamplerLayer>,
    order: Arc<dyn Order>,
    left: usize,
}

impl LearnedJoint {
    /// With this sampler layer, lowest entropy first.
    pub fn new(sampler: impl SamplerLayer + 'static) -> Self {
        Self { sampler: Arc::new(sampler), order: Arc::new(Entropy), left: 0 }
    }

    /// Reveals in this order instead.
    pub fn order(self, order: impl Order + 'static) -> Self {
        Self { order: Arc::new(order), ..self }
    }
}

impl Unmasker for LearnedJoint {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        view.rank(&self.order);
        if view.round() == 0 {
            self.left = view.quota();
        }
        let best = view.ranked(0);
        let drawn = view.draw(best)?;
        view.reveal(best, drawn);
        self.left -= 1;
        Ok(if self.left == 0 { Next::EndStep } else { Next::Refine })
    }

    fn sampler_layer(&self) -> Option<&Arc<dyn SamplerLayer>> {
        Some(&self.sampler)
    }
}
