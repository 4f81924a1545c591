use std::num::NonZeroU32;
use std::ops::Range;

use super::CacheView;

/// When all positions are computed: in the first forwards of each block, and in every n-th one of a block.
///
/// A block starts when the canvas's [block](crate::Canvas::block) changes at either end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refresh {
    every: Option<NonZeroU32>,
    /// The number of forwards at the start of a block that compute all positions.
    first: u32,
    block: Range<usize>,
    /// The number of forwards of the block before the next one.
    forwards: u32,
}

impl Default for Refresh {
    /// In the first forward of each block.
    fn default() -> Self {
        Self { every: None, first: 1, block: 0..0, forwards: 0 }
    }
}

impl Refresh {
    /// The same with this many forwards at the start of a block.
    pub fn first(self, forwards: u32) -> Self {
        Self { first: forwards, ..self }
    }

    /// The same in every n-th forward of a block as well.
    pub fn every(self, forwards: NonZeroU32) -> Self {
        Self { every: Some(forwards), ..self }
    }

    /// Whether the next forward computes all positions. Counts that forward.
    ///
    /// A forward also computes all of them if some never have been: they would be invisible.
    pub fn is_due(&mut self, sequence: &CacheView<'_>) -> bool {
        let block = sequence.canvas.block();
        if block != self.block {
            (self.block, self.forwards) = (block, 0);
        }
        let forwards = self.forwards;
        self.forwards = forwards.saturating_add(1);
        let is_nth = self.every.is_some_and(|every| forwards.is_multiple_of(every.get()));
        forwards < self.first || is_nth || sequence.ages.contains(&None)
    }

    /// Whether every forward computes all positions.
    pub fn is_always_due(&self) -> bool {
        self.every == Some(NonZeroU32::MIN)
    }
}

/// The method that sets the interval of a policy's field `refresh`.
macro_rules! refresh_every {
    () => {
        /// Also computes all positions in every n-th forward of a block. With 1, nothing is cached.
        #[must_use]
        pub fn refresh_every(mut self, forwards: std::num::NonZeroU32) -> Self {
            self.refresh = self.refresh.every(forwards);
            self
        }
    };
}
pub(super) use refresh_every;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Canvas;
    use crate::denoiser::Changed;

    /// Whether each forward is due, over blocks of a canvas of 6 positions.
    fn due(mut refresh: Refresh, blocks: &[Range<usize>]) -> Vec<bool> {
        let is_due = |block: &Range<usize>| {
            let canvas = Canvas::unconditional(6, 7).unwrap().in_block(block.clone()).unwrap();
            let changed = Changed::Positions(Vec::new());
            let view = CacheView {
                canvas: &canvas,
                changed: &changed,
                ages: &[Some(0); 6],
                required: &[],
            };
            refresh.is_due(&view)
        };
        blocks.iter().map(is_due).collect()
    }

    #[test]
    fn a_block_that_starts_grows_or_moves_back_is_due() {
        let blocks = [0..2, 0..2, 0..4, 0..4, 4..6, 0..4, 0..4];
        let expected = [true, false, true, false, true, true, false];
        assert_eq!(due(Refresh::default(), &blocks), expected);
    }

    #[test]
    fn every_nth_forward_of_a_block_is_due() {
        let every = |n| Refresh::default().every(NonZeroU32::new(n).unwrap());
        let blocks = [0..2, 0..2, 0..2, 0..2, 0..2, 2..4, 2..4, 2..4];
        let expected = [true, false, true, false, true, true, false, true];
        assert_eq!(due(every(2), &blocks), expected);
        assert_eq!(due(every(1), &blocks), [true; 8]);
        assert!(every(1).is_always_due() && !every(2).is_always_due());
        let delayed = Refresh { first: 3, ..every(4) };
        let expected = [true, true, true, false, true, true, true, true];
        assert_eq!(due(delayed, &blocks), expected);
    }

    #[test]
    fn a_position_that_was_never_computed_is_due() {
        let canvas = Canvas::unconditional(2, 7).unwrap();
        let changed = Changed::Positions(Vec::new());
        let mut refresh = Refresh::default();
        for (ages, expected) in
            [([Some(0); 2], true), ([Some(0); 2], false), ([Some(0), None], true)]
        {
            let view = CacheView { canvas: &canvas, changed: &changed, ages: &ages, required: &[] };
            assert_eq!(refresh.is_due(&view), expected, "{ages:?}");
        }
    }
}
