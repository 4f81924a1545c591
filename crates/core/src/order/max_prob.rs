use super::RowScore;
use crate::RowStats;

/// Highest confidence first: the score is p₁, the largest probability of the filtered row.
///
/// Looks at the row only, so it is exact at one token per forward, unlike confidence in a *drawn*
/// token ([`Confidence`](crate::unmasker::Confidence)); with argmax draws the two coincide.
/// Source: Dream's `maskgit_plus` at temperature 0.
#[derive(Debug, Clone, Copy, Default)]
pub struct MaxProb;

impl RowScore for MaxProb {
    fn of(&self, row: &RowStats) -> f64 {
        row.p1
    }
}
