//! How the frozen model wrote a text: its tokens and the order in which it revealed them.

use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::config::check;

/// One text the frozen model generated one token at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trajectory {
    /// The finished text, `[T]` ids, the prompt first.
    pub tokens: Vec<u32>,
    /// The position revealed at each step; every generated position once.
    pub order: Vec<u16>,
    /// How many tokens at the start were given.
    pub prompt_len: usize,
}

impl Trajectory {
    /// Checks that the order is a permutation of the positions after the prompt, and the length and ids fit.
    ///
    /// # Errors
    ///
    /// [`TrainError::Invalid`] says what does not fit.
    pub fn validate(&self, length: usize, vocab_size: usize) -> Result<(), TrainError> {
        check(self.tokens.len() == length, "tokens of a trajectory", self.tokens.len(), length)?;
        let largest = self.tokens.iter().max().copied().unwrap_or(0) as usize;
        check(largest < vocab_size, "id in a trajectory", largest, format!("below {vocab_size}"))?;
        let mut sorted = self.order.clone();
        sorted.sort_unstable();
        let complete = sorted.iter().map(|&i| usize::from(i)).eq(self.prompt_len..length);
        let expected = format!("each position of {}..{length} once", self.prompt_len);
        check(complete, "order of a trajectory", format!("{:?}", self.order), expected)?;
        check(
            self.order.len() >= 2,
            "order of a trajectory",
            format!("{:?}", self.order),
            "at least 2 positions",
        )
    }

    /// The canvas after `reveals` reveals, `[T]` ids; after the last one it is the text itself.
    pub fn canvas(&self, reveals: usize, mask_id: u32) -> Vec<u32> {
        let mut canvas = self.tokens.clone();
        for i in self.masked(reveals) {
            canvas[i] = mask_id;
        }
        canvas
    }

    /// The positions still masked after `reveals` reveals, the next to be revealed first.
    pub fn masked(&self, reveals: usize) -> impl ExactSizeIterator<Item = usize> + '_ {
        self.order[reveals.min(self.order.len())..].iter().map(|&i| usize::from(i))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trajectory() -> Trajectory {
        Trajectory { tokens: vec![5, 1, 2, 3], order: vec![2, 1, 3], prompt_len: 1 }
    }

    #[test]
    fn a_canvas_fills_up_in_order() {
        let canvases: Vec<_> = (0..5).map(|k| trajectory().canvas(k, 9)).collect();
        assert_eq!(
            canvases,
            [[5, 9, 9, 9], [5, 9, 2, 9], [5, 1, 2, 9], [5, 1, 2, 3], [5, 1, 2, 3]]
        );
        assert_eq!(trajectory().masked(1).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(trajectory().validate(4, 6).is_ok());
        assert!(trajectory().validate(5, 6).is_err());
        assert!(trajectory().validate(4, 5).is_err());
        for order in [vec![], vec![1, 2], vec![1, 1, 2], vec![0, 1, 2], vec![1, 2, 4]] {
            assert!(Trajectory { order, ..trajectory() }.validate(4, 6).is_err());
        }
    }
}
