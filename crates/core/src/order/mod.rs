//! Orders: rank the masked positions of the current block.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::observation::Row;
use crate::{Error, Observation, RowStats};

mod certainty_prior;
mod confidence;
mod entropy;
mod left_to_right;
mod margin;
mod max_prob;
mod pc_sampler;
mod plackett_luce;
mod random;
mod raw;

pub use certainty_prior::CertaintyPrior;
pub use confidence::Confidence;
pub use entropy::Entropy;
pub use left_to_right::LeftToRight;
pub use margin::Margin;
pub use max_prob::MaxProb;
pub use pc_sampler::PcSampler;
pub use plackett_luce::PlackettLuce;
pub use random::Random;
pub use raw::Raw;

/// Ranks the candidates of a step.
///
/// An order reads rows, not the tokens drawn from them. So *where* is independent of *what*, and sampling one
/// token per forward stays exact. The one exception is [`Confidence`](struct@Confidence) under an unmasker
/// that drafts.
#[doc(alias = "unmasking order")]
#[doc(alias = "position selection")]
pub trait Order: Send + Sync {
    /// Returns a candidate's score. The highest is revealed first, the leftmost among equals.
    ///
    /// # Errors
    /// Those of the observation, and [`Error::Model`] if the order runs a model of its own and that fails.
    fn score(&self, rows: &Observation<'_>, candidate: Row) -> Result<f64, Error>;

    /// Fills `ranked` with the rows of the candidates, the best first. By default it sorts by
    /// [`score`](Self::score).
    ///
    /// # Errors
    /// Those of [`score`](Self::score).
    fn rank(&self, rows: &mut Observation<'_>, ranked: &mut Vec<Row>) -> Result<(), Error> {
        rows.rank_by(ranked, |rows, candidate| self.score(rows, candidate))
    }
}

/// A score that is a function of one row's statistics.
///
/// As an [`Order`] it scores the filtered row, inside [`Raw`] the row before any filter.
pub trait RowScore: Send + Sync {
    /// Returns the score of a row with these statistics; the highest is revealed first.
    fn of(&self, row: &RowStats) -> f64;
}

impl<S: RowScore> Order for S {
    fn score(&self, rows: &Observation<'_>, candidate: Row) -> Result<f64, Error> {
        Ok(self.of(&rows.row(candidate).stats))
    }
}

impl<O: Order + ?Sized> Order for Arc<O> {
    fn score(&self, rows: &Observation<'_>, candidate: Row) -> Result<f64, Error> {
        (**self).score(rows, candidate)
    }

    fn rank(&self, rows: &mut Observation<'_>, ranked: &mut Vec<Row>) -> Result<(), Error> {
        (**self).rank(rows, ranked)
    }
}

/// Ranks `n` candidates by `score`, the highest first; among equals the leftmost position first. `scores` is
/// a buffer.
pub(crate) fn by_score<E>(
    n: usize,
    score: impl Fn(Row) -> Result<f64, E>,
    scores: &mut Vec<f64>,
    ranked: &mut Vec<Row>,
) -> Result<(), E> {
    scores.clear();
    for candidate in 0..n {
        scores.push(score(Row::candidate(candidate))?);
    }
    ranked.clear();
    ranked.extend((0..n).map(Row::candidate));
    let of = |row: &Row| scores[row.index()];
    let descending = |a: &Row, b: &Row| -> Ordering { of(b).total_cmp(&of(a)).then(a.cmp(b)) };
    ranked.sort_unstable_by(descending);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_leftmost() {
        let scores = [1.0, 3.0, 1.0, 3.0, f64::NEG_INFINITY];
        let mut ranked = vec![Row::candidate(9)];
        let score = |row: Row| Ok::<f64, Error>(scores[row.index()]);
        by_score(5, score, &mut vec![1.0], &mut ranked).unwrap();
        assert_eq!(ranked, [1, 3, 0, 2, 4].map(Row::candidate));
    }
}
