//! Chains of canvases of one sequence.

use std::ops::Range;

use conjoint_trajectory::Trajectory;

use super::blocks::Blocks;
use super::candidates::Candidate;
use crate::masking::MaskedRow;

/// The canvases x⁰ … xᴶ of one sequence. Each reveals one more position, until none is masked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chain {
    canvases: Vec<Vec<u32>>,
    masked: Vec<Vec<usize>>,
}

impl Chain {
    /// A chain along `trajectory`: from the state after `reveals` reveals to the state `depth` reveals later.
    pub fn along(trajectory: &Trajectory, reveals: usize, depth: usize, mask_id: u32) -> Self {
        let mut chain = Self::default();
        for k in reveals..=reveals + depth {
            chain.push(trajectory.canvas(k, mask_id), trajectory.masked(k).collect());
        }
        chain
    }

    /// A chain along `trajectory` in its open block: from the state after `reveals` reveals, or fewer, so that two positions of
    /// the block are masked in x⁰ and depth 1 has one.
    pub fn in_block(
        trajectory: &Trajectory,
        blocks: Blocks,
        reveals: usize,
        depth: usize,
        mask_id: u32,
    ) -> Self {
        let reveals = blocks.before_last(trajectory, reveals);
        let open = blocks.open(trajectory, reveals);
        Self::along(trajectory, reveals, depth, mask_id).within(&open)
    }

    /// A chain of one canvas: the text of `trajectory` with the positions `masked` masked, in any order.
    pub fn masked_at(trajectory: &Trajectory, masked: Vec<usize>, mask_id: u32) -> Self {
        let row = MaskedRow::new(trajectory.tokens.clone(), masked, mask_id);
        let mut chain = Self::default();
        chain.push(row.input, row.predicted);
        chain
    }

    /// The same canvases, with only the masked positions in `open`: those that a step may reveal.
    pub fn within(mut self, open: &Range<usize>) -> Self {
        self.masked.iter_mut().for_each(|masked| masked.retain(|position| open.contains(position)));
        self
    }

    /// Appends the next canvas, `[T]` ids, and its masked positions in the order of their reveal.
    pub fn push(&mut self, canvas: Vec<u32>, masked: Vec<usize>) {
        self.canvases.push(canvas);
        self.masked.push(masked);
    }

    /// x^depth, `[T]` ids.
    pub fn canvas(&self, depth: usize) -> &[u32] {
        &self.canvases[depth]
    }

    /// The masked positions of x^depth that a step may reveal, in the order of their reveal.
    pub fn masked(&self, depth: usize) -> &[usize] {
        &self.masked[depth]
    }

    /// The position that is revealed between x^depth and x^(depth + 1), if any, of those that a step may reveal.
    fn revealed(&self, depth: usize) -> Option<usize> {
        let still = &self.masked[depth + 1];
        self.masked[depth].iter().copied().find(|position| !still.contains(position))
    }

    /// Selects up to `count` masked positions of x⁰, for passes over rows: those that the chain reveals in its first
    /// `depth` steps, then the next one, then those of lowest entropy in x⁰ among `candidates`.
    pub fn slots(&self, depth: usize, count: usize, candidates: &mut [Candidate]) -> Vec<usize> {
        candidates.sort_by(|a, b| a.entropy.total_cmp(&b.entropy));
        let mut slots: Vec<usize> = (0..depth).filter_map(|j| self.revealed(j)).collect();
        let next = self.masked[depth].first().copied();
        for position in
            next.into_iter().chain(candidates.iter().map(|candidate| candidate.position))
        {
            if slots.len() < count && !slots.contains(&position) {
                slots.push(position);
            }
        }
        slots.truncate(count);
        slots
    }
}
