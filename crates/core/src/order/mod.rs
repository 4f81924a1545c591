//! Where to reveal: orders rank the masked positions of the current block.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::{RowStats, View};

mod certainty_prior;
mod entropy;
mod left_to_right;
mod margin;
mod max_prob;
mod pc_sampler;
mod random;
mod randomised;
mod raw;

pub use certainty_prior::CertaintyPrior;
pub use entropy::Entropy;
pub use left_to_right::LeftToRight;
pub use margin::Margin;
pub use max_prob::MaxProb;
pub use pc_sampler::PcSampler;
pub use random::Random;
pub use randomised::Randomised;
pub use raw::Raw;

/// Ranks candidates.
///
/// An order that looks only at the rows, not at the tokens drawn from them, leaves the law of
/// one-token-per-forward sampling exact: *where* is then independent of *what*.
pub trait Order: Send + Sync {
    /// How much a candidate deserves to be revealed; the highest is first, and the leftmost among
    /// equals.
    fn score(&self, view: &View<'_>, candidate: usize) -> f64;

    /// Fills `ranked` with the indices of [`View::candidates`], the best first. By default by score.
    fn rank(&self, view: &mut View<'_>, ranked: &mut Vec<usize>) {
        view.rank_into(ranked, |view, candidate| self.score(view, candidate));
    }
}

/// A score that is a function of one row alone. As an [`Order`] it looks at the filtered row; inside
/// [`Raw`] at the row as the model gave it.
pub trait RowScore: Send + Sync {
    /// How much the position of a row with these statistics deserves to be revealed.
    fn of(&self, row: &RowStats) -> f64;
}

impl<S: RowScore> Order for S {
    fn score(&self, view: &View<'_>, candidate: usize) -> f64 {
        self.of(&view.candidates()[candidate].stats)
    }
}

impl<O: Order + ?Sized> Order for Arc<O> {
    fn score(&self, view: &View<'_>, candidate: usize) -> f64 {
        (**self).score(view, candidate)
    }

    fn rank(&self, view: &mut View<'_>, ranked: &mut Vec<usize>) {
        (**self).rank(view, ranked);
    }
}

/// Ranks `0..n` by `score`, the highest first; among equals the leftmost position first.
pub fn by_score(n: usize, score: impl Fn(usize) -> f64, ranked: &mut Vec<usize>) {
    by_score_with(n, score, &mut Vec::new(), ranked);
}

/// [`by_score`] with memory for the scores, so that it need not allocate.
pub(crate) fn by_score_with(
    n: usize,
    score: impl Fn(usize) -> f64,
    scores: &mut Vec<f64>,
    ranked: &mut Vec<usize>,
) {
    scores.clear();
    scores.extend((0..n).map(score));
    ranked.clear();
    ranked.extend(0..n);
    let descending =
        |&a: &usize, &b: &usize| -> Ordering { scores[b].total_cmp(&scores[a]).then(a.cmp(&b)) };
    ranked.sort_unstable_by(descending);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_stay_in_reading_order() {
        let scores = [1.0, 3.0, 1.0, 3.0, f64::NEG_INFINITY];
        let mut ranked = vec![9];
        by_score(5, |i| scores[i], &mut ranked);
        assert_eq!(ranked, [1, 3, 0, 2, 4]);
    }
}
