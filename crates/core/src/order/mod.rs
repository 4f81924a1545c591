//! Where to reveal: orders rank the masked positions of the current block.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::View;

mod entropy;
mod left_to_right;
mod margin;
mod max_prob;
mod random;

pub use entropy::Entropy;
pub use left_to_right::LeftToRight;
pub use margin::Margin;
pub use max_prob::MaxProb;
pub use random::Random;

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
        by_score(view.candidates().len(), |candidate| self.score(view, candidate), ranked);
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
    ranked.clear();
    ranked.extend(0..n);
    let descending =
        |&a: &usize, &b: &usize| -> Ordering { score(b).total_cmp(&score(a)).then(a.cmp(&b)) };
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
