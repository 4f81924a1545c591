use super::RowScore;
use crate::RowStats;

/// Reveals the position of largest margin first. The score is p₁ − p₂ of the filtered row.
///
/// Exact at one token per forward. Source: Dream's `topk_margin`; Kim et al., arXiv 2502.06768.
#[doc(alias = "topk_margin")]
#[doc(alias = "top-2 margin")]
#[derive(Debug, Clone, Copy, Default)]
pub struct Margin;

impl RowScore for Margin {
    fn of(&self, row: &RowStats) -> f64 {
        row.p1 - row.p2
    }
}
