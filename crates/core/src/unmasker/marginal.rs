use std::sync::Arc;

use super::{Next, Unmasker, View};
use crate::{Error, Order};

/// Reveals the selected positions together, each drawn independently from the model's marginal.
///
/// **Law.** With one position a step, at temperature 1 without truncation, it is the model's own joint, with
/// any policy. With K > 1 it is the product of the K marginals, which ignores the dependence between them.
/// Source: the parallel mode of every masked diffusion model; "independent draws" in arXiv 2509.22738.
#[doc(alias = "independent draws")]
#[doc(alias = "parallel decoding")]
#[doc(alias = "parallel sampling")]
#[derive(Clone, Default)]
pub struct Marginal {
    order: Option<Arc<dyn Order>>,
}

impl Marginal {
    /// Creates the unmasker with this order.
    pub fn new(order: impl Order + 'static) -> Self {
        Self { order: Some(Arc::new(order)) }
    }
}

impl Unmasker for Marginal {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        for rank in 0..view.quota() {
            let candidate = view.ranked(rank);
            let drawn = view.draw(candidate)?;
            view.reveal(candidate, drawn);
        }
        Ok(Next::EndStep)
    }

    fn order(&self) -> Option<Arc<dyn Order>> {
        self.order.clone()
    }
}
