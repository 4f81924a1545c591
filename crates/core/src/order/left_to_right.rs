use super::Order;
use crate::View;

/// The leftmost masked position first: autoregressive order. Exact at one token per forward.
#[derive(Debug, Clone, Copy, Default)]
pub struct LeftToRight;

impl Order for LeftToRight {
    fn score(&self, _: &View<'_>, candidate: usize) -> f64 {
        -(candidate as f64)
    }
}
