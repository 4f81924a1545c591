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
}

impl<D: Draw + ?Sized> Draw for Arc<D> {
    fn draw(&self, logits: &[f32], stream: &mut dyn Stream) -> usize {
        (**self).draw(logits, stream)
    }
}
