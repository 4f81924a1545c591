//! What every policy selects: positions of the canvas, ascending, each once, with all open masked and all changed ones.

use std::ops::Range;

use conjoint_core::cache::{CachePolicy, CacheView, Plan, Planner, Recompute};
use conjoint_core::denoiser::{Changed, SequenceId, SequenceInput};
use conjoint_core::{Canvas, TokenId};
use proptest::prelude::*;

use crate::common::cases;
use crate::{all, generators, model, outputs};

/// Checks each selection of another policy.
#[derive(Clone)]
struct Checked<P>(P, &'static str);

impl<P: CachePolicy> CachePolicy for Checked<P> {
    fn select(&mut self, sequence: &CacheView<'_>) -> Recompute {
        let Self(policy, name) = self;
        let recompute = policy.select(sequence);
        if let Recompute::Positions(positions) = &recompute {
            let canvas = sequence.canvas;
            assert!(positions.is_sorted_by(|a, b| a < b), "{name}: {positions:?}");
            assert!(
                positions.last().is_none_or(|&last| last < canvas.len()),
                "{name}: {positions:?}"
            );
            let has = |position: usize| positions.contains(&position);
            assert!(canvas.masked().all(has), "{name}: {positions:?} of {canvas:?}");
            let Changed::Positions(changed) = sequence.changed else { return recompute };
            // Blocks after the current one are invisible to an exact cache until it reaches them.
            let is_visible =
                |&p: &usize| *name != "block-causal" || p < sequence.open_positions().end;
            let mut visible = changed.iter().copied().filter(is_visible);
            assert!(visible.all(has), "{name}: {positions:?}, changed {changed:?}");
        }
        recompute
    }

    fn is_exact(&self) -> bool {
        self.0.is_exact()
    }
}

#[test]
fn it_holds_in_every_run() {
    for (name, policy) in all() {
        for (_, generator) in generators(model(4).with_cache(Checked(policy, name))) {
            for seed in 0..4 {
                outputs(&generator, seed, 4);
            }
        }
    }
}

/// A change of a sequence between two forwards.
#[derive(Debug, Clone)]
pub enum Move {
    Reveal(usize, TokenId),
    Remask(usize),
    /// Moves the block anywhere, also back.
    Block(Range<usize>),
    Forward(Vec<usize>),
}

/// The number of positions of the canvas that moves apply to.
pub const LENGTH: usize = 9;

/// Changes in any order.
pub fn moves() -> impl Strategy<Value = Vec<Move>> {
    let block = (0..LENGTH).prop_flat_map(|start| (Just(start), start + 1..=LENGTH));
    let one = prop_oneof![
        3 => (0..LENGTH, 0u32..2).prop_map(|(position, token)| Move::Reveal(position, token)),
        1 => (0..LENGTH).prop_map(Move::Remask),
        1 => block.prop_map(|(start, end)| Move::Block(start..end)),
        3 => prop::collection::btree_set(0..LENGTH, 0..3).prop_map(|rows| Move::Forward(rows.into_iter().collect())),
    ];
    prop::collection::vec(one, 0..40)
}

fn canvas() -> Canvas {
    Canvas::infill(vec![1, 0, 2, 2, 2, 1, 2, 2, 2], 2).unwrap()
}

/// Applies the moves, and calls `forward` for each forward with the canvas, the changed and the required positions.
pub fn replay(moves: &[Move], mut forward: impl FnMut(&Canvas, &Changed, &[usize])) {
    let (mut canvas, mut changed) = (canvas(), Changed::All);
    for step in moves {
        let moved = match step {
            Move::Reveal(position, token) => {
                canvas.reveal(*position, *token).is_ok().then_some(*position)
            }
            Move::Remask(position) => canvas.remask(*position).is_ok().then_some(*position),
            Move::Block(block) => {
                canvas = canvas.in_block(block.clone()).unwrap();
                None
            }
            Move::Forward(required) => {
                forward(&canvas, &changed, required);
                changed = Changed::Positions(Vec::new());
                None
            }
        };
        if let (Some(position), Changed::Positions(positions)) = (moved, &mut changed)
            && let Err(place) = positions.binary_search(&position)
        {
            positions.insert(place, position);
        }
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn it_holds_for_all_histories(moves in moves()) {
        for (name, policy) in all() {
            let mut planner = Planner::new(Checked(policy, name));
            replay(&moves, |canvas, changed, required| {
                let input = SequenceInput { id: Some(SequenceId(0)), canvas, changed };
                let Plan { compute, cached } = planner.plan(&input, required);
                assert!(compute.is_sorted_by(|a, b| a < b), "{name}: {compute:?}");
                assert!(cached.is_sorted_by(|a, b| a < b), "{name}: {cached:?}");
                assert!(compute.iter().chain(&cached).all(|&position| position < LENGTH));
                assert!(cached.iter().all(|position| !compute.contains(position)));
                let mut needed = canvas.masked().chain(required.iter().copied());
                assert!(needed.all(|position| compute.contains(&position)), "{name}: {compute:?}");
            });
        }
    }
}
