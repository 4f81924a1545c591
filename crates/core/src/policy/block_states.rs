use std::collections::BTreeSet;
use std::ops::Range;

use super::{Candidate, Policy, Row, Selection};
use crate::blocks::Blocks;
use crate::{Canvas, Error, Observation, range};

/// d3LLM's block states: decodes several blocks together and guarantees progress in the first active one.
///
/// Selects every candidate of the open blocks with entropy H ≤ θ, and the one of lowest entropy. The first
/// block is *active*. Another block becomes active once the share `full` of the block before it is known, and
/// stays active. If no candidate is selected in the first active block with masked positions, its candidate
/// of lowest entropy is selected too.
///
/// Combine it with [`Generator::open_next_block_at`](crate::Generator::open_next_block_at)`(0.1)`, which
/// opens the blocks. With one block, or blocks that open when the one before is full, it selects H ≤ θ and
/// the best candidate.
///
/// Exact while it selects one position a step; otherwise the law is the unmasker's. Source: the multi-block
/// decoding of d3LLM (hao-ai-lab), with blocks of 32, θ = 0.4 … 0.5, opened at 0.1, full at 0.95. Its Dream
/// variant reveals H < θ, and not always the best candidate.
#[doc(alias = "d3LLM")]
#[derive(Debug, Clone, PartialEq)]
pub struct BlockStates {
    theta: f64,
    full: f64,
    /// The starts of active blocks.
    active: BTreeSet<usize>,
}

impl BlockStates {
    /// Creates the policy with θ nats and the share `full`.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless θ is finite and at least 0, and the share is from 0 to 1.
    pub fn new(theta: f64, full: f64) -> Result<Self, Error> {
        let theta = range::non_negative("theta", theta)?;
        Ok(Self { theta, full: range::probability("full share", full)?, active: BTreeSet::new() })
    }

    /// Updates the states of the open blocks. Returns the first active one with masked positions.
    fn update(&mut self, canvas: &Canvas, blocks: Blocks) -> Option<Range<usize>> {
        self.active.insert(canvas.free_span().start);
        let known = |block: Range<usize>| {
            block.clone().filter(|&p| !canvas.is_masked(p)).count() as f64 / block.len() as f64
        };
        for block in blocks.within(canvas.block()) {
            if blocks.before(&block).is_some_and(|before| known(before) >= self.full) {
                self.active.insert(block.start);
            }
        }
        blocks.within(canvas.block()).find(|block| {
            self.active.contains(&block.start) && block.clone().any(|p| canvas.is_masked(p))
        })
    }

    /// The candidates to select, lowest entropy first.
    fn accepted(&self, candidates: &[Candidate], first: Option<Range<usize>>) -> Vec<usize> {
        let mut ranked: Vec<usize> = (0..candidates.len()).collect();
        ranked
            .sort_by(|&a, &b| candidates[a].stats.entropy.total_cmp(&candidates[b].stats.entropy));
        let confident =
            ranked.iter().filter(|&&i| candidates[i].stats.entropy <= self.theta).count();
        let (confident, others) = ranked.split_at(confident.max(1).min(ranked.len()));
        let mut accepted = confident.to_vec();
        if let Some(block) = first {
            let within = |i: &usize| block.contains(&candidates[*i].position);
            if !confident.iter().any(within) {
                accepted.extend(others.iter().copied().find(within));
            }
        }
        accepted
    }
}

impl Default for BlockStates {
    /// θ = 0.4, full at 0.95.
    fn default() -> Self {
        Self { theta: 0.4, full: 0.95, active: BTreeSet::new() }
    }
}

impl Policy for BlockStates {
    fn select(
        &mut self,
        rows: &mut Observation<'_>,
        selection: &mut Selection,
    ) -> Result<(), Error> {
        let first = self.update(rows.canvas(), rows.blocks());
        let accepted = self.accepted(rows.candidates(), first);
        selection.all_of(accepted.into_iter().map(Row::candidate));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::candidates;

    fn with_entropies(rows: &[(usize, f64)]) -> Vec<Candidate> {
        let mut candidates = candidates(rows);
        candidates.iter_mut().for_each(|c| c.stats.entropy = c.confidence);
        candidates
    }

    #[test]
    fn the_first_active_block_always_makes_progress() {
        let states = BlockStates::default();
        let rows = with_entropies(&[(0, 1.0), (1, 0.9), (4, 0.2), (5, 0.4), (6, 0.5)]);
        assert_eq!(states.accepted(&rows, Some(0..4)), [2, 3, 1]);
        assert_eq!(states.accepted(&rows, Some(4..8)), [2, 3]);
        assert_eq!(states.accepted(&rows[..2], None), [1]);
    }

    #[test]
    fn a_block_becomes_active_behind_a_full_one_and_stays_so() {
        let mut states = BlockStates::new(0.4, 0.5).unwrap();
        let blocks = Blocks::from_start(&(0..6), 2);
        let mut canvas = Canvas::unconditional(6, 9).unwrap().in_block(0..4).unwrap();
        assert_eq!(states.update(&canvas, blocks), Some(0..2));
        canvas.reveal(0, 1).unwrap();
        assert_eq!(states.update(&canvas, blocks), Some(0..2));
        assert!(states.active.contains(&2) && !states.active.contains(&4));
        canvas.remask(0).unwrap();
        canvas.reveal(2, 1).unwrap();
        let canvas = canvas.in_block(0..6).unwrap();
        assert_eq!(states.update(&canvas, blocks), Some(0..2));
        assert_eq!(states.active, BTreeSet::from([0, 2, 4]));
        for bad in [-0.1, f64::NAN, f64::INFINITY] {
            assert!(BlockStates::new(bad, 0.9).is_err());
        }
        assert!(BlockStates::new(0.4, 1.1).is_err());
    }
}
