use super::Order;
use crate::View;

/// Lowest entropy first: the score is −H of the filtered row, in nats.
///
/// Exact at one token per forward. Source: Dream's `entropy`; the order of arXiv 2509.22738.
#[derive(Debug, Clone, Copy, Default)]
pub struct Entropy;

impl Order for Entropy {
    fn score(&self, view: &View<'_>, candidate: usize) -> f64 {
        -view.candidates()[candidate].stats.entropy
    }
}
