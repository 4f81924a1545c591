use std::sync::Arc;

use conjoint::prelude::*;

/// Approximate joint sampling (arXiv 2509.22738): a sampler pass before every further token of a step.
#[derive(Clone)]
pub struct Joint {
    layer: Arc<dyn SamplerLayer>,
    order: Option<Arc<dyn Order>>,
    window: Option<usize>,
}

impl Joint {
    /// With this sampler layer.
    pub fn new(layer: impl SamplerLayer + 'static) -> Self {
        Self { layer: Arc::new(layer), order: None, window: None }
    }

    /// In this order.
    pub fn order(self, order: impl Order + 'static) -> Self {
        Self { order: Some(Arc::new(order)), ..self }
    }

    /// Passes look at `w` candidates for each token of a step.
    pub fn window(self, w: usize) -> Self {
        Self { window: Some(w), ..self }
    }
}

impl Unmasker for Joint {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let wanted = view.quota();
        if let (0, Some(w)) = (view.round(), self.window) {
            view.narrow_to_best(w * wanted);
        }
        let first = view.ranked(0);
        let drawn = view.draw(first)?;
        view.reveal(first, drawn);
        Ok(if wanted > 1 { Next::Refine } else { Next::EndStep })
    }

    fn order(&self) -> Option<Arc<dyn Order>> {
        self.order.clone()
    }

    fn sampler_layer(&self) -> Option<&Arc<dyn SamplerLayer>> {
        Some(&self.layer)
    }
}
