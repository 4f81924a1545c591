//! The division of the positions to generate into blocks.

use std::ops::Range;

/// The blocks of a sequence: ranges of `length` positions, from left to right.
///
/// Blocks count from `origin`. The first and the last one are cut to the positions to generate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blocks {
    start: usize,
    end: usize,
    length: usize,
    origin: usize,
}

impl Blocks {
    /// Blocks that count from the first position to generate. `span` holds the positions to generate, at least one.
    pub fn from_start(span: &Range<usize>, length: usize) -> Self {
        Self { start: span.start, end: span.end, length, origin: span.start }
    }

    /// Blocks that count from position 0, as the attention blocks of a model do.
    pub fn from_zero(span: &Range<usize>, length: usize) -> Self {
        Self { origin: 0, ..Self::from_start(span, length) }
    }

    /// The length of a block that is not cut.
    pub fn length(self) -> usize {
        self.length
    }

    /// The block that a position to generate is in.
    pub fn containing(self, position: usize) -> Range<usize> {
        let start = self.origin + (position - self.origin) / self.length * self.length;
        start.max(self.start)..start.saturating_add(self.length).min(self.end)
    }

    /// The first block.
    pub fn first(self) -> Range<usize> {
        self.containing(self.start)
    }

    /// The block behind a block, unless it is the last one.
    pub fn after(self, block: &Range<usize>) -> Option<Range<usize>> {
        (block.end < self.end).then(|| self.containing(block.end))
    }

    /// The block in front of a block, unless it is the first one.
    pub fn before(self, block: &Range<usize>) -> Option<Range<usize>> {
        (block.start > self.start).then(|| self.containing(block.start - 1))
    }

    /// The blocks of a range that consists of whole blocks.
    pub fn within(self, open: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let next = move |block: &Range<usize>| self.after(block);
        std::iter::successors(Some(self.containing(open.start)), next)
            .take_while(move |block| block.start < open.end)
    }

    /// The number of blocks up to the one that ends at `end`.
    fn count_to(self, end: usize) -> usize {
        let number = |position: usize| (position - self.origin) / self.length;
        number(end - 1) - number(self.start) + 1
    }

    /// The number of blocks.
    pub fn count(self) -> usize {
        self.count_to(self.end)
    }

    /// The steps of a block, of `total` steps for all: in proportion to its length, and at least one.
    ///
    /// Needs at least one step for each block.
    pub fn steps(self, total: usize, block: &Range<usize>) -> usize {
        let before = self.before(block).map_or(0, |before| self.steps_to(total, before.end));
        self.steps_to(total, block.end) - before
    }

    /// The steps of all blocks up to the one that ends at `end`.
    fn steps_to(self, total: usize, end: usize) -> usize {
        let (number, count) = (self.count_to(end), self.count());
        let (done, all) = ((end - self.start) as u128, (self.end - self.start) as u128);
        let share = (total as u128 * done / all) as usize;
        // One step for each block so far, and for each block to come.
        share.clamp(number, (total + number).saturating_sub(count).max(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn aligned_blocks_are_cut_at_both_ends() {
        let blocks = Blocks::from_zero(&(6..17), 4);
        let all: Vec<_> = blocks.within(6..17).collect();
        assert_eq!(all, [6..8, 8..12, 12..16, 16..17]);
        assert_eq!((blocks.count(), blocks.first()), (4, 6..8));
        assert_eq!(blocks.after(&(12..16)), Some(16..17));
        assert_eq!((blocks.after(&(16..17)), blocks.before(&(6..8))), (None, None));
        assert_eq!(blocks.before(&(8..12)), Some(6..8));
        let within: Vec<_> = blocks.within(8..16).collect();
        assert_eq!(within, [8..12, 12..16]);
        // One block that is longer than the sequence.
        assert_eq!(Blocks::from_zero(&(6..17), usize::MAX).first(), 6..17);
    }

    #[test]
    fn blocks_from_the_start_have_one_length() {
        let blocks = Blocks::from_start(&(6..18), 4);
        let all: Vec<_> = blocks.within(6..18).collect();
        assert_eq!(all, [6..10, 10..14, 14..18]);
        assert!(all.iter().all(|block| blocks.steps(9, block) == 3));
    }

    #[test]
    fn steps_follow_the_lengths() {
        let blocks = Blocks::from_zero(&(5..13), 4);
        let steps = |total| blocks.within(5..13).map(move |block| blocks.steps(total, &block));
        assert_eq!(steps(8).collect::<Vec<_>>(), [3, 4, 1]); // one token a step
        assert_eq!(steps(3).collect::<Vec<_>>(), [1, 1, 1]);
        assert_eq!(steps(4).collect::<Vec<_>>(), [1, 2, 1]);
    }

    proptest! {
        #[test]
        fn blocks_cover_the_span_and_steps_add_up(
            start in 0usize..20, length in 1usize..40, block in 1usize..12, extra in 0usize..60, aligned: bool,
        ) {
            let span = start..start + length;
            let blocks = match aligned {
                true => Blocks::from_zero(&span, block),
                false => Blocks::from_start(&span, block),
            };
            let all: Vec<_> = blocks.within(span.clone()).collect();
            prop_assert_eq!(all.len(), blocks.count());
            prop_assert_eq!(all.iter().cloned().flatten().collect::<Vec<_>>(), span.collect::<Vec<_>>());
            let total = blocks.count() + extra;
            let steps: Vec<_> = all.iter().map(|block| blocks.steps(total, block)).collect();
            prop_assert!(steps.iter().all(|&steps| steps > 0), "{:?}", steps);
            prop_assert_eq!(steps.iter().sum::<usize>(), total);
        }
    }
}
