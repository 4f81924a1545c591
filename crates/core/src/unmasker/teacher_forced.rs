use std::sync::Arc;

use super::{Control, Drawn, Next, Unmasker, View};
use crate::{Error, Order, TokenId};

/// Reveals a sequence that is known already, one token a forward, where and when one-at-a-time
/// sampling would.
///
/// **Law.** A point mass on the given tokens: nothing is drawn. Each reveal tells the probability
/// p(x_πₛ | given tokens, x_π₁ … x_πₛ₋₁) of its token in the filtered row, π being the order in which
/// [`ExactSequential`](super::ExactSequential) reveals this sequence if it happens to draw it; so
/// Σₛ ln p is the log-probability of that, and π is the path along which a text that the model did
/// not write is looked at as if it had.
#[derive(Clone)]
pub struct TeacherForced {
    tokens: Arc<[TokenId]>,
    order: Option<Arc<dyn Order>>,
}

impl TeacherForced {
    /// Reveals these tokens \[T\], given ones included, lowest entropy first.
    pub fn new(tokens: impl Into<Arc<[TokenId]>>) -> Self {
        Self { tokens: tokens.into(), order: None }
    }

    /// In another order.
    pub fn order(mut self, order: impl Order + 'static) -> Self {
        self.order = Some(Arc::new(order));
        self
    }
}

impl Unmasker for TeacherForced {
    /// # Errors
    /// [`Error::IllegalMove`] at a position for which there is no token, and [`Error::UnknownToken`].
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let best = view.ranked(0);
        let position = view.row(best).position;
        let reason = "the sequence to retell ends before it";
        let token = *self.tokens.get(position).ok_or(Error::IllegalMove { position, reason })?;
        let probability = view.probability(best, token)?;
        view.reveal(best, Drawn { token, probability });
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
