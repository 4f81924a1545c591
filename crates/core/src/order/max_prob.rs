use super::RowScore;
use crate::RowStats;

/// Reveals the position with the highest top probability first. The score is p₁, the largest probability of
/// the filtered row.
///
/// The score depends on the row only, so the order is exact at one token per forward. Confidence in a *drawn*
/// token ([`Confidence`](crate::unmasker::Confidence)) is not; with argmax draws the two are equal. Source:
/// Dream's `maskgit_plus` at temperature 0.
#[doc(alias = "max probability")]
#[doc(alias = "top-1 probability")]
#[derive(Debug, Clone, Copy, Default)]
pub struct MaxProb;

impl RowScore for MaxProb {
    fn of(&self, row: &RowStats) -> f64 {
        row.p1
    }
}
