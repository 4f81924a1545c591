//! A text with the order in which its tokens were revealed.

use conjoint_core::TokenId;

use crate::error::Error;

/// A text, and the order in which its positions were revealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trajectory {
    /// The index of the trajectory and of its random stream.
    pub index: u64,
    /// The number of given tokens before the first revealed position: the prompt.
    pub prompt_len: usize,
    /// The finished text \[T\], including the prompt.
    pub tokens: Vec<TokenId>,
    /// The revealed positions, in order. Each occurs once. The others are given.
    pub order: Vec<u32>,
}

impl Trajectory {
    /// Checks that the order has at least two positions, each once, the lowest of which follows the prompt, and that the ids are
    /// in the vocabulary.
    ///
    /// # Errors
    /// [`Error::Unfit`] names the first violation.
    pub fn validate(&self, vocabulary_size: usize) -> Result<(), Error> {
        let largest = self.tokens.iter().max().copied().unwrap_or(0) as usize;
        let fault = match self.fault() {
            Some(fault) => Some(fault),
            None if largest >= vocabulary_size => {
                Some(format!("id {largest} is outside the vocabulary of {vocabulary_size} ids"))
            }
            None if self.order.len() < 2 => {
                Some("expected at least 2 positions to reveal".to_owned())
            }
            None => None,
        };
        fault.map_or(Ok(()), |reason| Err(Error::Unfit { index: self.index, reason }))
    }

    /// Returns why this is not a valid trajectory, if it is not.
    pub(crate) fn fault(&self) -> Option<String> {
        let (first, end) = (self.prompt_len, self.tokens.len());
        let positions = self.free();
        let inside = positions.first().is_none_or(|&position| position == first);
        let inside = inside && positions.last().is_none_or(|&position| position < end);
        let once = positions.windows(2).all(|pair| pair[0] < pair[1]);
        (!inside || !once || first > end).then(|| {
            let order = &self.order;
            format!(
                "the order {order:?} must have position {first} and others before {end}, each once"
            )
        })
    }

    /// The positions that are revealed, ascending.
    pub fn free(&self) -> Vec<usize> {
        let mut positions: Vec<usize> = self.masked(0).collect();
        positions.sort_unstable();
        positions
    }

    /// The canvas after `reveals` reveals \[T\]. After the last one it is the text itself.
    pub fn canvas(&self, reveals: usize, mask: TokenId) -> Vec<TokenId> {
        let mut canvas = self.tokens.clone();
        for position in self.masked(reveals) {
            canvas[position] = mask;
        }
        canvas
    }

    /// The masked positions after `reveals` reveals, in the order of their reveal.
    pub fn masked(&self, reveals: usize) -> impl ExactSizeIterator<Item = usize> + '_ {
        self.order[reveals.min(self.order.len())..].iter().map(|&position| position as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trajectory() -> Trajectory {
        Trajectory { index: 7, prompt_len: 1, tokens: vec![5, 1, 2, 3], order: vec![2, 1, 3] }
    }

    #[test]
    fn a_canvas_reveals_positions_in_order() {
        let canvases: Vec<_> = (0..5).map(|k| trajectory().canvas(k, 9)).collect();
        assert_eq!(
            canvases,
            [[5, 9, 9, 9], [5, 9, 2, 9], [5, 1, 2, 9], [5, 1, 2, 3], [5, 1, 2, 3]]
        );
        assert_eq!(trajectory().masked(1).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn positions_may_be_given_between_those_that_are_revealed() {
        let infilled = Trajectory { order: vec![3, 1], ..trajectory() };
        assert!(infilled.validate(6).is_ok());
        assert_eq!(infilled.free(), [1, 3]);
        assert_eq!(infilled.canvas(0, 9), [5, 9, 2, 9]);
    }

    #[test]
    fn invalid_trajectories_are_rejected() {
        assert!(trajectory().validate(6).is_ok());
        assert!(trajectory().validate(5).is_err());
        for order in [vec![], vec![1], vec![1, 1, 2], vec![0, 1, 2], vec![1, 2, 4], vec![2, 3]] {
            assert!(Trajectory { order, ..trajectory() }.validate(6).is_err());
        }
        let short = Trajectory { prompt_len: 3, order: vec![3], ..trajectory() };
        assert!(short.validate(6).unwrap_err().to_string().contains("trajectory 7"));
        let beyond = Trajectory { prompt_len: 5, order: vec![], ..trajectory() };
        assert!(beyond.validate(6).is_err());
    }
}
