use std::sync::Arc;

use conjoint::prelude::*;

/// Approximate joint sampling (arXiv 2509.22738): runs a sampler pass before every token of a step but the
/// first.
#[derive(Clone)]
pub struct Joint {
    layer: Arc<dyn SamplerLayer>,
    order: Option<Arc<dyn Order>>,
    window: Option<usize>,
}

impl Joint {
    /// Uses this sampler layer.
    pub fn new(layer: impl SamplerLayer + 'static) -> Self {
        Self { layer: Arc::new(layer), order: None, window: None }
    }

    /// Reveals in this order.
    pub fn order(self, order: impl Order + 'static) -> Self {
        Self { order: Some(Arc::new(order)), ..self }
    }

    /// Restricts sampler passes to `w` candidates for each token of a step.
    pub fn window(self, w: usize) -> Self {
        Self { window: Some(w), ..self }
    }
}

impl Unmasker for Joint {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let quota = view.quota();
        if let (0, Some(w)) = (view.round(), self.window) {
            view.narrow_to_best(w * quota);
        }
        let first = view.ranked(0);
        let drawn = view.draw(first)?;
        view.reveal(first, drawn);
        Ok(if quota > 1 { Next::Refine } else { Next::EndStep })
    }

    fn order(&self) -> Option<Arc<dyn Order>> {
        self.order.clone()
    }

    fn sampler_layer(&self) -> Option<&Arc<dyn SamplerLayer>> {
        Some(&self.layer)
    }
}
