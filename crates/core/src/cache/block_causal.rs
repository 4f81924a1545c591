use super::{CachePolicy, CacheView, Recompute};
use crate::denoiser::Changed;
use crate::{Error, range};

/// Caches the keys and values of a model with block-causal attention, exactly.
///
/// In such a model, position p attends to the positions of all blocks up to its own: to each q with
/// ⌊q / `block`⌋ ≤ ⌊p / `block`⌋. The blocks are those of the model, counted from position 0 of the sequence. They
/// need not be the blocks of the generator.
///
/// A change at q reaches the keys and values of all positions from the start of q's block on. A forward computes
/// everything from the first block with a change, or with a position that was never computed, up to the end of the
/// last block that a requested row or the current block is in. It also computes the open masked positions. Later
/// blocks are invisible to all of these, so they are not computed.
///
/// **Exactness.** The rows equal those of a forward without a cache. On a model with other attention they do not.
///
/// Source: block diffusion (BD3-LM, arXiv 2503.09573), and the published loops of SDAR and Fast-dLLM v2, which
/// cache finished blocks.
#[doc(alias = "block-causal attention")]
#[doc(alias = "block diffusion cache")]
#[derive(Debug, Clone)]
pub struct BlockCausal {
    block: usize,
    /// The keys and values of the positions before this one are those of a full forward.
    valid: usize,
}

impl BlockCausal {
    /// Creates the cache of a model with attention blocks of `block` positions.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `block` is 0.
    pub fn new(block: usize) -> Result<Self, Error> {
        Ok(Self { block: range::at_least("block", block, 1)?, valid: 0 })
    }

    /// The start of the model's block that a position is in.
    fn start_of(&self, position: usize) -> usize {
        position - position % self.block
    }

    /// The first position whose keys and values may differ from those of a full forward.
    fn first_stale(&self, sequence: &CacheView<'_>) -> usize {
        let changed = match sequence.changed {
            Changed::All => Some(0),
            Changed::Positions(changed) => changed.first().copied(),
        };
        let missing = sequence.ages.iter().position(Option::is_none);
        let first =
            changed.into_iter().chain(missing).map(|position| self.start_of(position)).min();
        first.map_or(self.valid, |first| first.min(self.valid))
    }
}

impl CachePolicy for BlockCausal {
    fn select(&mut self, sequence: &CacheView<'_>) -> Recompute {
        let canvas = sequence.canvas;
        let last_open = sequence.open_positions().next_back();
        let last = last_open.into_iter().chain(sequence.required.last().copied()).max();
        let end = last.map_or(0, |last| (self.start_of(last) + self.block).min(canvas.len()));
        let stale = self.first_stale(sequence);
        self.valid = stale.max(end);
        // With `stale` ≥ `end`, nothing but the masked positions.
        let before = canvas.masked().filter(|&position| position < stale);
        Recompute::Positions(before.chain(stale..end).collect())
    }

    fn is_exact(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::Canvas;
    use crate::cache::Planner;
    use crate::denoiser::{SequenceId, SequenceInput};

    /// A sequence of 3 given tokens and 9 masked positions, in blocks of the model of 4.
    struct Planned {
        planner: Planner,
        canvas: Canvas,
        changed: Changed,
    }

    impl Planned {
        fn new() -> Self {
            let planner = Planner::new(BlockCausal::new(4).unwrap());
            Self { planner, canvas: Canvas::new(&[1; 3], 9, 9).unwrap(), changed: Changed::All }
        }

        fn plan(&mut self, block: Range<usize>, required: &[usize]) -> Vec<usize> {
            self.canvas = self.canvas.clone().in_block(block).unwrap();
            let (canvas, changed) = (&self.canvas, &self.changed);
            let input = SequenceInput { id: Some(SequenceId(0)), canvas, changed };
            let plan = self.planner.plan(&input, required);
            self.changed = Changed::Positions(Vec::new());
            plan.compute
        }

        fn reveal(&mut self, position: usize) {
            self.canvas.reveal(position, 2).unwrap();
            self.changed = Changed::Positions(vec![position]);
        }
    }

    #[test]
    fn finished_blocks_stay_cached_and_later_ones_are_not_computed() {
        let mut planned = Planned::new();
        // The generator's block ends in the model's first block.
        assert_eq!(planned.plan(3..4, &[3]), [0, 1, 2, 3]);
        planned.reveal(3);
        // A change in the first block reaches the second one.
        assert_eq!(planned.plan(4..6, &[4, 5]), [0, 1, 2, 3, 4, 5, 6, 7]);
        planned.reveal(4);
        assert_eq!(planned.plan(4..6, &[5]), [4, 5, 6, 7]);
        // Nothing has changed: only the open masked positions, for their rows.
        assert_eq!(planned.plan(6..8, &[6, 7]), [6, 7]);
        // As with a shift, a row may depend on the block before.
        assert_eq!(planned.plan(8..12, &[7, 8, 9, 10, 11]), [7, 8, 9, 10, 11]);
    }

    #[test]
    fn a_block_that_moves_back_leaves_later_blocks_stale() {
        let mut planned = Planned::new();
        planned.plan(8..12, &[]);
        planned.reveal(8);
        planned.plan(3..4, &[]);
        planned.reveal(3);
        assert_eq!(planned.plan(4..8, &[]), (0..8).collect::<Vec<_>>());
        // The last block has keys and values, but from before position 3 was revealed.
        assert_eq!(planned.plan(8..12, &[]), [8, 9, 10, 11]);
    }

    #[test]
    fn a_required_row_beyond_the_block_is_exact() {
        let mut planned = Planned::new();
        assert_eq!(planned.plan(3..4, &[3, 9]), (0..12).collect::<Vec<_>>());
        assert_eq!(planned.plan(3..4, &[3, 9]), [3, 9]);
        planned.reveal(3);
        assert_eq!(planned.plan(4..8, &[9]), (0..12).collect::<Vec<_>>());
    }

    #[test]
    fn a_block_of_0_is_rejected() {
        assert!(BlockCausal::new(0).is_err());
    }
}
