use std::sync::Arc;

use super::{Next, Unmasker, View};
use crate::order::Entropy;
use crate::{Error, Order};

/// One token a forward, whatever the schedule asks for: the reference that all else is measured
/// against.
///
/// **Law.** The model's own joint, exactly, at temperature 1 without truncation and with an order
/// that looks only at rows: each token is drawn from its conditional given all tokens so far.
#[derive(Clone)]
pub struct ExactSequential {
    order: Arc<dyn Order>,
}

impl ExactSequential {
    /// Reveals in this order.
    pub fn new(order: impl Order + 'static) -> Self {
        Self { order: Arc::new(order) }
    }
}

impl Default for ExactSequential {
    /// Lowest entropy first.
    fn default() -> Self {
        Self::new(Entropy)
    }
}

impl Unmasker for ExactSequential {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        view.rank(&self.order);
        let best = view.ranked(0);
        let drawn = view.draw(best)?;
        view.reveal(best, drawn);
        Ok(Next::EndStep)
    }
}
