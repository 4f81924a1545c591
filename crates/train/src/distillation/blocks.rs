//! The blocks of positions in which trajectories are decoded.

use std::ops::Range;

use conjoint_trajectory::Trajectory;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::error::{TrainError, check};

/// Blocks of this many positions, revealed from left to right, or `None` for one block. They count from the first revealed
/// position, as those of a generator. The last one may be shorter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blocks(pub Option<usize>);

impl Blocks {
    /// Checks that `trajectory` reveals its blocks one after the other, and that one of them has two positions to reveal.
    pub fn check(self, trajectory: &Trajectory) -> Result<(), TrainError> {
        let Some(length) = self.0 else { return Ok(()) };
        check(!self.of_two(trajectory).is_empty(), "block_length", length, {
            let index = trajectory.index;
            format!("a block in which trajectory {index} reveals two positions")
        })?;
        let early = (1..trajectory.order.len()).find(|&reveals| {
            self.open(trajectory, reveals - 1).start > self.open(trajectory, reveals).start
        });
        let Some(reveals) = early else { return Ok(()) };
        let expected = format!(
            "the block length of the trajectories: trajectory {} reveals position {} after position {}, which is in a later \
             block",
            trajectory.index,
            trajectory.order[reveals],
            trajectory.order[reveals - 1]
        );
        Err(TrainError::Invalid { name: "block_length", got: length.to_string(), expected })
    }

    /// The block that `position` is in.
    fn containing(self, trajectory: &Trajectory, position: usize) -> Range<usize> {
        let (start, end) = (trajectory.prompt_len, trajectory.tokens.len());
        let length = self.0.unwrap_or(end - start);
        let first = start + (position - start) / length * length;
        first..end.min(first + length)
    }

    /// The block that is open after `reveals` reveals of `trajectory`: that of the next one, or of the last one.
    pub fn open(self, trajectory: &Trajectory, reveals: usize) -> Range<usize> {
        let last = trajectory.order.len() - 1;
        self.containing(trajectory, trajectory.order[reveals.min(last)] as usize)
    }

    /// The number of reveals nearest to `reveals`, from below, after which two positions of a block are masked. Depth 1
    /// then has a masked position. If no block before has two, the nearest from above.
    pub fn before_last(self, trajectory: &Trajectory, reveals: usize) -> usize {
        let has_two = |&reveals: &usize| {
            reveals + 1 < trajectory.order.len()
                && self.open(trajectory, reveals) == self.open(trajectory, reveals + 1)
        };
        let below = (0..=reveals).rev().find(has_two);
        below.or_else(|| (reveals..trajectory.order.len()).find(has_two)).unwrap_or(reveals)
    }

    /// A block in which `trajectory` reveals two positions or more, each with the same probability. Draws nothing for one
    /// block.
    pub fn draw(self, rng: &mut ChaCha8Rng, trajectory: &Trajectory) -> Range<usize> {
        let mut blocks = self.of_two(trajectory);
        let drawn = self.0.map_or(0, |_| rng.random_range(0..blocks.len()));
        blocks.swap_remove(drawn)
    }

    /// The blocks in which `trajectory` reveals two positions or more, ascending.
    fn of_two(self, trajectory: &Trajectory) -> Vec<Range<usize>> {
        let block = |position| self.containing(trajectory, position);
        let blocks: Vec<_> = trajectory.free().into_iter().map(block).collect();
        let mut of_two: Vec<_> = blocks
            .windows(2)
            .filter(|pair| pair[0] == pair[1])
            .map(|pair| pair[0].clone())
            .collect();
        of_two.dedup();
        of_two
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::masking::stream;

    fn trajectory(order: Vec<u32>) -> Trajectory {
        Trajectory { index: 7, prompt_len: 1, tokens: vec![1; 7], order }
    }

    fn before_last(length: Option<usize>, trajectory: &Trajectory) -> Vec<usize> {
        let all = 0..trajectory.order.len();
        all.map(|reveals| Blocks(length).before_last(trajectory, reveals)).collect()
    }

    #[test]
    fn a_block_is_open_until_it_is_full() {
        let trajectory = trajectory(vec![2, 1, 4, 3, 5, 6]);
        let blocks = Blocks(Some(2));
        blocks.check(&trajectory).unwrap();
        let open: Vec<_> = (0..6).map(|reveals| blocks.open(&trajectory, reveals)).collect();
        assert_eq!(open, [1..3, 1..3, 3..5, 3..5, 5..7, 5..7]);
        assert_eq!(before_last(Some(2), &trajectory), [0, 0, 2, 2, 4, 4]);
        assert_eq!(Blocks(None).open(&trajectory, 3), 1..7);
        assert_eq!(before_last(None, &trajectory), [0, 1, 2, 3, 4, 4]);
    }

    #[test]
    fn the_last_block_may_be_shorter() {
        let trajectory = trajectory(vec![1, 4, 2, 3, 6, 5]);
        let blocks = Blocks(Some(4));
        blocks.check(&trajectory).unwrap();
        let open: Vec<_> = (0..6).map(|reveals| blocks.open(&trajectory, reveals)).collect();
        assert_eq!(open, [1..5, 1..5, 1..5, 1..5, 5..7, 5..7]);
        // A last block of one position never has two.
        let trajectory = super::tests::trajectory(vec![1, 5, 4, 3, 2, 6]);
        Blocks(Some(5)).check(&trajectory).unwrap();
        assert_eq!(before_last(Some(5), &trajectory), [0, 1, 2, 3, 3, 3]);
    }

    #[test]
    fn given_positions_are_in_blocks_too() {
        // 3, 5 and the end 6 are given; the block 3..5 has one position to reveal.
        let infilled = trajectory(vec![2, 1, 4]);
        let blocks = Blocks(Some(2));
        blocks.check(&infilled).unwrap();
        let open: Vec<_> = (0..4).map(|reveals| blocks.open(&infilled, reveals)).collect();
        assert_eq!(open, [1..3, 1..3, 3..5, 3..5]);
        assert_eq!(before_last(Some(2), &infilled), [0, 0, 0]);
        assert_eq!(before_last(None, &infilled), [0, 1, 1]);
        let longer = Trajectory { tokens: vec![1; 8], ..trajectory(vec![2, 1, 4, 5, 6]) };
        let mut seen = [0_usize; 7];
        for draw in 0..1000 {
            seen[blocks.draw(&mut stream(3, draw), &longer).start] += 1;
        }
        // The block 3..5 has one. Mean 500, standard deviation 16.
        assert!(seen[1].abs_diff(500) < 80 && seen[5].abs_diff(500) < 80, "{seen:?}");
        // In the only block of two, the nearest number of reveals is above.
        assert_eq!(before_last(Some(3), &trajectory(vec![1, 6, 4])), [1, 1, 1]);
    }

    #[test]
    fn trajectories_in_other_blocks_are_an_error() {
        let message =
            Blocks(Some(2)).check(&trajectory(vec![1, 3, 2, 4, 5, 6])).unwrap_err().to_string();
        assert!(message.contains("block_length"), "{message}");
        assert!(message.contains("trajectory 7 reveals position 2 after position 3"), "{message}");
        Blocks(Some(3)).check(&trajectory(vec![1, 3, 2, 4, 5, 6])).unwrap();
        Blocks(None).check(&trajectory(vec![6, 1, 3, 2, 4, 5])).unwrap();
        let message = Blocks(Some(2)).check(&trajectory(vec![1, 4, 6])).unwrap_err().to_string();
        assert!(message.contains("trajectory 7 reveals two positions"), "{message}");
    }
}
