use super::{Order, by_score};
use crate::View;

/// Lowest entropy first: the score is −H of the filtered row, in nats.
///
/// Exact at one token per forward. Source: Dream's `entropy`; the order of arXiv 2509.22738.
#[derive(Debug, Clone, Copy, Default)]
pub struct Entropy;

impl Order for Entropy {
    fn rank(&self, view: &mut View<'_>, ranked: &mut Vec<usize>) {
        let candidates = view.candidates();
        by_score(candidates.len(), |i| -candidates[i].stats.entropy, ranked);
    }
}
