use super::Order;
use crate::View;

/// Largest margin first: the score is p₁ − p₂ of the filtered row.
///
/// Exact at one token per forward. Source: Dream's `topk_margin`; Kim et al., arXiv 2502.06768.
#[derive(Debug, Clone, Copy, Default)]
pub struct Margin;

impl Order for Margin {
    fn score(&self, view: &View<'_>, candidate: usize) -> f64 {
        let stats = &view.candidates()[candidate].stats;
        stats.p1 - stats.p2
    }
}
