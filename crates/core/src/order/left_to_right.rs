use super::Order;
use crate::View;

/// The leftmost masked position first: autoregressive order. Exact at one token per forward.
#[derive(Debug, Clone, Copy, Default)]
pub struct LeftToRight;

impl Order for LeftToRight {
    fn rank(&self, view: &mut View<'_>, ranked: &mut Vec<usize>) {
        ranked.clear();
        ranked.extend(0..view.candidates().len());
    }
}
