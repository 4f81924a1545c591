//! `BlockCausal` is exact on a model with block-causal attention, and is found out on one with full attention.

use std::sync::Arc;

use conjoint_core::cache::{BlockCausal, Planner};
use conjoint_core::denoiser::{Changed, Request, SequenceId, SequenceInput};
use conjoint_core::order::Entropy;
use conjoint_core::unmasker::Marginal;
use conjoint_core::{Canvas, Denoiser, Generator, RowId};
use conjoint_testkit::conformance::{self, Violation};
use conjoint_testkit::{CachedDenoiser, TabularDenoiser, TabularJoint, exact_law};

use proptest::prelude::*;

use crate::common::{ZERO, cases};
use crate::selection::{LENGTH, moves, replay};
use crate::{canvases, generators, model, outputs};

/// The blocks of the generator have 2 positions.
#[test]
fn tokens_equal_those_without_a_cache() {
    for block in 1..=6 {
        let causal = model(8).block_causal(block).unwrap();
        let without = generators(causal.clone());
        let with = generators(causal.with_cache(BlockCausal::new(block).unwrap()));
        for ((what, without), (_, with)) in without.iter().zip(&with) {
            assert!(with.start(vec![]).unwrap().is_exact());
            for seed in 0..20 {
                let expected = outputs(without, seed, 4);
                assert_eq!(outputs(with, seed, 4), expected, "blocks of {block}, {what}, {seed}");
            }
        }
    }
}

#[test]
fn the_law_equals_that_without_a_cache() {
    let joint = TabularJoint::random(4, 2, 0.6, 12).unwrap();
    for (block, generated) in [(1, 4), (2, 1), (2, 2), (2, 4), (3, 2), (4, 1)] {
        let model = CachedDenoiser::new(TabularDenoiser::new(joint.clone()).unwrap());
        let model = model.block_causal(block).unwrap();
        let law = |model: CachedDenoiser| {
            let generator = Generator::new(model).unmasker(Marginal::default()).order(Entropy);
            let generator = generator.block_length(generated).unwrap();
            exact_law(&generator, &Canvas::unconditional(4, 2).unwrap()).unwrap()
        };
        let (without, with) =
            (law(model.clone()), law(model.with_cache(BlockCausal::new(block).unwrap())));
        assert!(without.total_variation(&with) < ZERO, "blocks of {block} and {generated}");
    }
}

proptest! {
    #![proptest_config(cases(64))]

    /// Blocks move in any direction, positions outside of them change, and rows anywhere are requested.
    #[test]
    fn rows_equal_those_without_a_cache_in_all_histories(moves in moves(), block in 1..=LENGTH) {
        let joint = TabularJoint::random(LENGTH, 2, 0.6, 13).unwrap();
        let model = CachedDenoiser::new(TabularDenoiser::new(joint).unwrap());
        let model = model.block_causal(block).unwrap().with_cache(BlockCausal::new(block).unwrap());
        let model = Arc::new(model);
        let mut session = model.clone().open_session().unwrap().unwrap();
        replay(&moves, |canvas, changed, required| {
            let masked = canvas.masked().filter(|position| !required.contains(position));
            let positions = masked.chain(required.iter().copied());
            let rows = positions.map(|position| RowId { sequence: 0, position });
            let mut rows: Vec<RowId> = rows.collect();
            rows.sort_unstable();
            let input = [SequenceInput { id: Some(SequenceId(0)), canvas, changed }];
            let request = Request::new(&input, &rows);
            let cached = session.forward(&request).unwrap().rows.into_dense().unwrap();
            let full = model.forward(&request).unwrap().rows.into_dense().unwrap();
            for (row, id) in rows.iter().enumerate() {
                assert_eq!(cached.logits(row), full.logits(row), "{id:?} of {canvas:?}");
            }
        });
    }
}

#[test]
fn it_computes_fewer_positions_than_a_model_without_a_cache() {
    let mut planner = Planner::new(BlockCausal::new(4).unwrap());
    let mut computed = 0;
    let mut changed = Changed::All;
    let mut canvas = Canvas::new(&[0; 8], 8, 2).unwrap();
    for position in 8..16 {
        let start = position / 4 * 4;
        canvas = canvas.in_block(start..start + 4).unwrap();
        let required: Vec<usize> = canvas.masked().collect();
        let input = SequenceInput { id: Some(SequenceId(0)), canvas: &canvas, changed: &changed };
        computed += planner.plan(&input, &required).compute.len();
        canvas.reveal(position, 1).unwrap();
        changed = Changed::Positions(vec![position]);
    }
    // The prompt and the first block, three forwards of that block, that block with the next one, three of the next one.
    assert_eq!(computed, 12 + 3 * 4 + 8 + 3 * 4);
}

/// It declares to be exact, so the conformance suite compares with a full forward.
#[test]
fn full_attention_is_detected() {
    let verdict = |model: CachedDenoiser| {
        let model: Arc<dyn Denoiser> = Arc::new(model.with_cache(BlockCausal::new(2).unwrap()));
        conformance::session("block-causal", &model, &canvases(), 0.0)
    };
    verdict(model(9).block_causal(2).unwrap()).unwrap();
    let Err(Violation::RowChanged { how, .. }) = verdict(model(9)) else { panic!("not detected") };
    assert_eq!(how, "without memory");
    // Blocks of the policy that are smaller than those of the model.
    assert!(verdict(model(9).block_causal(4).unwrap()).is_err());
}
