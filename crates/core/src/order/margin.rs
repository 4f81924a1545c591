use super::{Order, by_score};
use crate::View;

/// Largest margin first: the score is p₁ − p₂ of the filtered row.
///
/// Exact at one token per forward. Source: Dream's `topk_margin`; Kim et al., arXiv 2502.06768.
#[derive(Debug, Clone, Copy, Default)]
pub struct Margin;

impl Order for Margin {
    fn rank(&self, view: &mut View<'_>, ranked: &mut Vec<usize>) {
        let candidates = view.candidates();
        let margin = |i: usize| candidates[i].stats.p1 - candidates[i].stats.p2;
        by_score(candidates.len(), margin, ranked);
    }
}
