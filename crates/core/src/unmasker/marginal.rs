use std::sync::Arc;

use super::{Next, Unmasker, View};
use crate::order::Entropy;
use crate::{Error, Order};

/// Reveals K positions at once, each drawn on its own from the model's marginal.
///
/// **Law.** With K = 1, temperature 1 and no truncation it is the model's own joint, if the order
/// looks only at rows. With K > 1 it is the product of the K marginals: wrong by as much as
/// the K positions depend on each other. Source: the parallel mode of every masked diffusion model;
/// "independent draws" in arXiv 2509.22738.
#[derive(Clone)]
pub struct Marginal {
    order: Arc<dyn Order>,
}

impl Marginal {
    /// Reveals in this order.
    pub fn new(order: impl Order + 'static) -> Self {
        Self { order: Arc::new(order) }
    }
}

impl Default for Marginal {
    /// Lowest entropy first.
    fn default() -> Self {
        Self::new(Entropy)
    }
}

impl Unmasker for Marginal {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        view.rank(&self.order);
        for rank in 0..view.quota() {
            let candidate = view.ranked(rank);
            let drawn = view.draw(candidate)?;
            view.reveal(candidate, drawn);
        }
        Ok(Next::EndStep)
    }
}
