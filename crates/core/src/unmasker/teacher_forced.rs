use std::sync::Arc;

use super::{Control, Drawn, Next, Unmasker, View};
use crate::{Error, Order, TokenId};

/// Reveals a known sequence, one token per forward, in the order in which sampling would reveal it.
///
/// Use it for the likelihood (or perplexity) of a given text and for its order of revealing.
///
/// **Law.** A point mass on the given tokens. Each reveal reports the probability p(x_πₛ | given tokens, x_π₁
/// … x_πₛ₋₁) of its token in the filtered row. π is the order in which
/// [`ExactSequential`](super::ExactSequential) would reveal this sequence if it drew these tokens, and Σₛ ln
/// p is the log-probability that it draws them in that order.
#[doc(alias = "teacher forcing")]
#[doc(alias = "perplexity")]
#[doc(alias = "log-likelihood")]
#[derive(Clone)]
pub struct TeacherForced {
    tokens: Arc<[TokenId]>,
    order: Option<Arc<dyn Order>>,
}

impl TeacherForced {
    /// Creates the unmasker with the tokens \[T\] of the whole sequence, given ones included, lowest entropy
    /// first.
    pub fn new(tokens: impl Into<Arc<[TokenId]>>) -> Self {
        Self { tokens: tokens.into(), order: None }
    }

    /// Sets the order.
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
        let reason = "the teacher-forced sequence is shorter";
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
