//! Which token: rules that draw from a filtered row, and the streams that hold all randomness.

use std::sync::Arc;

mod argmax;
mod categorical;
mod stream;

pub use argmax::Argmax;
pub use categorical::Categorical;
pub use stream::{SeededStream, Stream};

/// Draws a token from a row of filtered logits.
pub trait Draw: Send + Sync {
    /// The token drawn from logits \[V\]: none is NaN or +∞, and at least one is finite.
    fn draw(&self, logits: &[f32], stream: &mut dyn Stream) -> usize;

    /// What the rule comes to on a [top-K row](crate::condensed), by default that it needs the whole row.
    fn top_rule(&self) -> TopRule {
        TopRule::WholeRow
    }
}

/// How a token is drawn from a row of which only the top is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopRule {
    /// Only the whole row will do.
    WholeRow,
    /// The most probable token, which is in the top.
    MostProbable,
    /// By probability: one choice among the tokens of the top and the rest as a whole, and if that falls on the
    /// rest, another within it, for which the row is fetched.
    Proportional,
}

impl<D: Draw + ?Sized> Draw for Arc<D> {
    fn draw(&self, logits: &[f32], stream: &mut dyn Stream) -> usize {
        (**self).draw(logits, stream)
    }

    fn top_rule(&self) -> TopRule {
        (**self).top_rule()
    }
}
