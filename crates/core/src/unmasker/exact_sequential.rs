use std::sync::Arc;

use super::{Control, Next, Unmasker, View};
use crate::{Error, Order};

/// Reveals one token per forward: the exact reference. It takes an order, and no schedule or policy.
///
/// **Law.** The model's own joint, exactly, at temperature 1 without truncation: each token is drawn from its
/// conditional given all tokens so far.
#[doc(alias = "one token at a time")]
#[doc(alias = "sequential sampling")]
#[derive(Clone, Default)]
pub struct ExactSequential {
    order: Option<Arc<dyn Order>>,
}

impl ExactSequential {
    /// Creates the unmasker with this order.
    pub fn new(order: impl Order + 'static) -> Self {
        Self { order: Some(Arc::new(order)) }
    }
}

impl Unmasker for ExactSequential {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let best = view.ranked(0);
        let drawn = view.draw(best)?;
        view.reveal(best, drawn);
        Ok(Next::EndStep)
    }

    fn reveals_selection(&self) -> bool {
        false
    }

    fn control(&self) -> Control {
        Control::Order
    }

    fn order(&self) -> Option<Arc<dyn Order>> {
        self.order.clone()
    }
}
