//! A text with the order in which its tokens were revealed.

use conjoint_core::TokenId;

use crate::error::Error;

/// A text, and the order in which its positions were revealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trajectory {
    /// The index of the trajectory and of its random stream.
    pub index: u64,
    /// The number of prompt tokens.
    pub prompt_len: usize,
    /// The finished text \[T\], including the prompt.
    pub tokens: Vec<TokenId>,
    /// The revealed positions, in order. Each position after the prompt occurs once.
    pub order: Vec<u32>,
}

impl Trajectory {
    /// Checks that the order is a permutation of at least two positions after the prompt, and that length and ids are as
    /// given.
    ///
    /// # Errors
    /// [`Error::Unfit`] names the first violation.
    pub fn validate(&self, length: usize, vocabulary_size: usize) -> Result<(), Error> {
        let largest = self.tokens.iter().max().copied().unwrap_or(0) as usize;
        let fault = match self.tokens.len() {
            _ if self.fault().is_some() => self.fault(),
            got if got != length => Some(format!("{got} tokens, expected {length}")),
            _ if largest >= vocabulary_size => {
                Some(format!("id {largest} is outside the vocabulary of {vocabulary_size} ids"))
            }
            _ if self.order.len() < 2 => Some("expected at least 2 positions to reveal".to_owned()),
            _ => None,
        };
        fault.map_or(Ok(()), |reason| Err(Error::Unfit { index: self.index, reason }))
    }

    /// Returns why this is not a valid trajectory, if it is not.
    pub(crate) fn fault(&self) -> Option<String> {
        let mut sorted: Vec<usize> = self.order.iter().map(|&position| position as usize).collect();
        sorted.sort_unstable();
        let complete = sorted.into_iter().eq(self.prompt_len..self.tokens.len());
        (!complete || self.prompt_len > self.tokens.len()).then(|| {
            let (first, end) = (self.prompt_len, self.tokens.len());
            format!(
                "the order {:?} is not a permutation of the positions {first}..{end}",
                self.order
            )
        })
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
    fn invalid_trajectories_are_rejected() {
        assert!(trajectory().validate(4, 6).is_ok());
        assert!(trajectory().validate(5, 6).is_err());
        assert!(trajectory().validate(4, 5).is_err());
        for order in [vec![], vec![1, 2], vec![1, 1, 2], vec![0, 1, 2], vec![1, 2, 4]] {
            assert!(Trajectory { order, ..trajectory() }.validate(4, 6).is_err());
        }
        let short = Trajectory { prompt_len: 3, order: vec![3], ..trajectory() };
        assert!(short.validate(4, 6).unwrap_err().to_string().contains("trajectory 7"));
        let beyond = Trajectory { prompt_len: 5, order: vec![], ..trajectory() };
        assert!(beyond.validate(4, 6).is_err());
    }
}
