//! The blocks of positions in which trajectories are decoded.

use std::ops::Range;

use conjoint_trajectory::Trajectory;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::error::{TrainError, check};

/// Blocks of this many positions after the prompt, revealed from left to right, or `None` for one block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blocks(pub Option<usize>);

impl Blocks {
    /// Checks that `trajectory` reveals its blocks one after the other.
    pub fn check(self, trajectory: &Trajectory) -> Result<(), TrainError> {
        let Some(length) = self.0 else { return Ok(()) };
        let positions = trajectory.tokens.len() - trajectory.prompt_len;
        check(positions == trajectory.order.len(), "block_length", length, {
            let index = trajectory.index;
            format!("none: trajectory {index} has given positions between those that it reveals")
        })?;
        check(positions.is_multiple_of(length), "block_length", length, {
            format!("a divisor of {positions}, the positions after the prompt")
        })?;
        let early = trajectory.order.iter().enumerate().find(|&(reveals, &position)| {
            !self.open(trajectory, reveals).contains(&(position as usize))
        });
        let Some((reveals, &position)) = early else { return Ok(()) };
        let expected = format!(
            "the block length of the trajectories: trajectory {} reveals position {position} in reveal {reveals}, \
             when the block {:?} is open",
            trajectory.index,
            self.open(trajectory, reveals)
        );
        Err(TrainError::Invalid { name: "block_length", got: length.to_string(), expected })
    }

    /// The block that is open after `reveals` reveals of `trajectory`.
    pub fn open(self, trajectory: &Trajectory, reveals: usize) -> Range<usize> {
        let (start, end) = (trajectory.prompt_len, trajectory.tokens.len());
        let length = self.0.unwrap_or(end - start);
        let first = start + reveals / length * length;
        first..first + length
    }

    /// The number of reveals nearest to `reveals`, from below, after which two positions of a block are masked. Depth 1
    /// then has a masked position.
    pub fn before_last(self, trajectory: &Trajectory, reveals: usize) -> usize {
        let block = self.open(trajectory, reveals);
        // Positions after the prompt may be given.
        let all = (block.end - trajectory.prompt_len).min(trajectory.order.len());
        reveals.min(all.saturating_sub(2))
    }

    /// A block of `trajectory`, each with the same probability. Draws nothing for one block.
    pub fn draw(self, rng: &mut ChaCha8Rng, trajectory: &Trajectory) -> Range<usize> {
        let blocks = |length| trajectory.order.len() / length;
        let reveals = self.0.map_or(0, |length| rng.random_range(0..blocks(length)) * length);
        self.open(trajectory, reveals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trajectory(order: Vec<u32>) -> Trajectory {
        Trajectory { index: 7, prompt_len: 1, tokens: vec![1; 7], order }
    }

    #[test]
    fn a_block_is_open_until_it_is_full() {
        let trajectory = trajectory(vec![2, 1, 4, 3, 5, 6]);
        let blocks = Blocks(Some(2));
        blocks.check(&trajectory).unwrap();
        let open: Vec<_> = (0..6).map(|reveals| blocks.open(&trajectory, reveals)).collect();
        assert_eq!(open, [1..3, 1..3, 3..5, 3..5, 5..7, 5..7]);
        let before: Vec<_> = (0..6).map(|k| blocks.before_last(&trajectory, k)).collect();
        assert_eq!(before, [0, 0, 2, 2, 4, 4]);
        assert_eq!(Blocks(None).open(&trajectory, 3), 1..7);
        assert_eq!(Blocks(None).before_last(&trajectory, 5), 4);
    }

    #[test]
    fn trajectories_in_other_blocks_are_an_error() {
        let message =
            Blocks(Some(2)).check(&trajectory(vec![1, 3, 2, 4, 5, 6])).unwrap_err().to_string();
        assert!(message.contains("block_length"), "{message}");
        assert!(message.contains("trajectory 7 reveals position 3 in reveal 1"), "{message}");
        Blocks(Some(3)).check(&trajectory(vec![1, 3, 2, 4, 5, 6])).unwrap();
        Blocks(None).check(&trajectory(vec![6, 1, 3, 2, 4, 5])).unwrap();
        let message =
            Blocks(Some(4)).check(&trajectory(vec![1, 3, 2, 4, 5, 6])).unwrap_err().to_string();
        assert!(message.contains("a divisor of 6"), "{message}");
        let infilled = trajectory(vec![1, 2, 4, 6]);
        let message = Blocks(Some(2)).check(&infilled).unwrap_err().to_string();
        assert!(message.contains("trajectory 7 has given positions"), "{message}");
        Blocks(None).check(&infilled).unwrap();
        assert_eq!(Blocks(None).before_last(&infilled, 4), 2);
    }
}
