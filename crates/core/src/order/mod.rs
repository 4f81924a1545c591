//! Where to reveal: orders rank the masked positions of the current block.

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

/// Ranks candidates.
///
/// An order sees rows, not the tokens drawn from them. So it leaves the law of
/// one-token-per-forward sampling exact: *where* is then independent of *what*. The one exception is
/// [`Confidence`](struct@Confidence) under an unmasker that drafts.
pub trait Order: Send + Sync {
    /// How much a candidate deserves to be revealed; the highest is first, and the leftmost among
    /// equals.
    ///
    /// # Errors
    /// Those of the observation, and [`Error::Model`] if a model of the order's own fails.
    fn score(&self, rows: &Observation<'_>, candidate: Row) -> Result<f64, Error>;

    /// Fills `ranked` with the rows of the candidates, the best first. By default by score.
    ///
    /// # Errors
    /// Those of [`score`](Self::score).
    fn rank(&self, rows: &mut Observation<'_>, ranked: &mut Vec<Row>) -> Result<(), Error> {
        rows.rank_by(ranked, |rows, candidate| self.score(rows, candidate))
    }
}

/// A score that is a function of one row alone. As an [`Order`] it looks at the filtered row; inside
/// [`Raw`] at the row as the model gave it.
pub trait RowScore: Send + Sync {
    /// How much the position of a row with these statistics deserves to be revealed.
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

/// Ranks `n` candidates by `score`, the highest first; among equals the leftmost position first. `scores` is memory.
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
    fn equals_stay_in_reading_order() {
        let scores = [1.0, 3.0, 1.0, 3.0, f64::NEG_INFINITY];
        let mut ranked = vec![Row::candidate(9)];
        let score = |row: Row| Ok::<f64, Error>(scores[row.index()]);
        by_score(5, score, &mut vec![1.0], &mut ranked).unwrap();
        assert_eq!(ranked, [1, 3, 0, 2, 4].map(Row::candidate));
    }
}
