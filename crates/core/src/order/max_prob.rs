use super::{Order, by_score};
use crate::View;

/// Highest confidence first: the score is p₁, the largest probability of the filtered row.
///
/// Looks at the row only, so it is exact at one token per forward, unlike confidence in a *drawn*
/// token ([`Confidence`](crate::unmasker::Confidence)); with argmax draws the two coincide.
/// Source: Dream's `maskgit_plus` at temperature 0.
#[derive(Debug, Clone, Copy, Default)]
pub struct MaxProb;

impl Order for MaxProb {
    fn rank(&self, view: &mut View<'_>, ranked: &mut Vec<usize>) {
        let candidates = view.candidates();
        by_score(candidates.len(), |i| candidates[i].stats.p1, ranked);
    }
}
