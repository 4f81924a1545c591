//! Masked training rows, and how much each masked position weighs in the loss.

mod rows;
mod window;

pub(crate) use rows::{MaskedRow, count, levels, positions, stream};
pub use window::Window;
