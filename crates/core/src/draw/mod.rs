//! Rules that draw a token from a filtered row, and the random streams behind them.

use std::sync::Arc;

mod argmax;
mod categorical;
mod stream;

pub use argmax::Argmax;
pub use categorical::Categorical;
pub use stream::{SeededStream, Stream};

/// Draws a token from a row of filtered logits.
///
/// A [`Generator`](crate::Generator) uses [`Categorical`] unless another rule is set.
pub trait Draw: Send + Sync {
    /// Returns a token drawn from logits \[V\]. None of them is NaN or +∞, and at least one is finite.
    fn draw(&self, logits: &[f32], stream: &mut dyn Stream) -> usize;

    /// How the rule draws from a [top-K row](crate::top_k_rows). By default it needs the whole row.
    fn top_rule(&self) -> TopRule {
        TopRule::WholeRow
    }
}

/// How a rule draws a token from a top-K row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopRule {
    /// The rule needs the whole row.
    WholeRow,
    /// The rule draws the most probable token, which is in the top.
    MostProbable,
    /// The rule draws by probability. The loop first draws among the tokens of the top and the rest as a
    /// whole. If the rest is drawn, the row is fetched and a token of the rest is drawn.
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
