//! Sequences are independent of their batch, and of passes in which they take no part.

mod common;

use std::sync::Arc;

use common::{OPERATORS, all_rows, max_difference, opened, uneven};
use conjoint_core::denoiser::{Request, SequenceInput};
use conjoint_core::order::{Entropy, LeftToRight, MaxProb};
use conjoint_core::schedule::TokensPerStep;
use conjoint_core::unmasker::{ExactSequential, LearnedJoint};
use conjoint_core::{Canvas, Denoiser, Generator, Order, SamplerLayer};
use conjoint_onnx::{Error, OnnxDenoiser};
use conjoint_testkit::conformance;
use ndarray::Axis;

/// The kernels for different batch sizes round differently.
const ROUNDING: f32 = 2e-5;

/// Canvases of different lengths, most with given tokens, all with at least two masked positions.
fn canvases(model: &OnnxDenoiser) -> Vec<Canvas> {
    let mask = model.vocabulary().mask();
    vec![
        Canvas::new(&[5, 17, 80, 3], 5, mask).unwrap(),
        Canvas::new(&[42], 2, mask).unwrap(),
        Canvas::infill(vec![mask, 7, mask, mask, 9, 9, 9, 9, 9, 9, mask, 1, 2], mask).unwrap(),
        Canvas::unconditional(6, mask).unwrap(),
        Canvas::unconditional(2, mask).unwrap(),
    ]
}

#[test]
fn models_conform() {
    for name in ["dream-tiny", "dream-tied-bf16-sharded", "llada-tiny"] {
        for operators in OPERATORS {
            let (_folder, model) = opened(name, None, operators);
            conformance::denoiser(name, &model, &canvases(&model), ROUNDING).unwrap();
        }
    }
}

#[test]
fn the_sampler_layer_conforms() {
    for operators in OPERATORS {
        let (_folder, model) = opened("dream-tiny", Some("adjust-dream-tiny"), operators);
        let sampler = model.sampler_layer().unwrap();
        conformance::sampler_layer("adjust", &model, &sampler, &canvases(&model), ROUNDING)
            .unwrap();
    }
}

/// Short and long sequences are computed in calls of their own. `calls_of_the_tests` of the grouping checks that these are.
#[test]
fn sequences_of_very_different_lengths_conform() {
    for operators in OPERATORS {
        let (_folder, model) = opened("dream-tiny", Some("adjust-dream-tiny"), operators);
        let canvases = uneven(model.vocabulary().mask());
        conformance::denoiser("uneven", &model, &canvases, ROUNDING).unwrap();
        let sampler = model.sampler_layer().unwrap();
        conformance::sampler_layer("uneven", &model, &sampler, &canvases, ROUNDING).unwrap();
    }
}

#[test]
fn an_empty_request_returns_no_rows() {
    let (_folder, model) = opened("dream-tiny", Some("adjust-dream-tiny"), OPERATORS[0]);
    let sampler = model.sampler_layer().unwrap();
    let canvases = canvases(&model);
    let batch: Vec<_> = canvases.iter().collect();
    let (rows, mut state) = model.denoise(&batch, &[]).unwrap();
    rows.expect_shape(0, model.vocabulary().size()).unwrap();
    let before = model.hidden_of(&mut state).unwrap();
    let rows = sampler.refine(&mut state, &batch, &[]).unwrap();
    rows.expect_shape(0, model.vocabulary().size()).unwrap();
    assert_eq!(model.hidden_of(&mut state).unwrap(), before);
}

#[test]
fn a_pass_leaves_sequences_without_a_requested_row_unchanged() {
    let (_folder, model) = opened("dream-tiny", Some("adjust-dream-tiny"), OPERATORS[0]);
    let sampler = model.sampler_layer().unwrap();
    let mut canvases = canvases(&model);
    let (_, mut state) = model.denoise(&canvases.iter().collect::<Vec<_>>(), &[]).unwrap();
    let before = model.hidden_of(&mut state).unwrap();
    for canvas in &mut canvases {
        let first = canvas.masked().next().unwrap();
        canvas.reveal(first, 11).unwrap();
    }
    let batch: Vec<_> = canvases.iter().collect();
    let part = [1, 3];
    let mut rows = all_rows(&batch);
    rows.retain(|row| part.contains(&row.sequence));
    let refined = sampler.refine(&mut state, &batch, &rows).unwrap();
    assert_eq!(refined.rows(), rows.len());
    let after = model.hidden_of(&mut state).unwrap();
    for (sequence, canvas) in batch.iter().enumerate() {
        let [before, after] = [&before, &after].map(|all| all.index_axis(Axis(0), sequence));
        let length = canvas.len() * before.ncols();
        let moved = max_difference(before.iter().take(length), after.iter().take(length));
        if part.contains(&sequence) {
            assert!(moved > 0.01, "sequence {sequence} moved by {moved}");
        } else {
            assert_eq!(before, after, "sequence {sequence}");
        }
    }
}

/// With one token per step, the sampler layer is never used.
#[test]
fn one_token_a_step_is_exact() {
    let (_folder, model) = opened("dream-tiny", Some("adjust-dream-tiny"), OPERATORS[0]);
    let (sampler, model) = (Arc::new(model.sampler_layer().unwrap()), Arc::new(model));
    let orders: [Arc<dyn Order>; 3] = [Arc::new(Entropy), Arc::new(MaxProb), Arc::new(LeftToRight)];
    for (order, seed) in orders.iter().flat_map(|order| (0..5).map(move |seed| (order, seed))) {
        let generator = Generator::new(model.clone()).seed(seed);
        let exact = generator.clone().unmasker(ExactSequential::new(order.clone()));
        let joint = LearnedJoint::new(sampler.clone()).order(order.clone());
        let joint = generator.unmasker(joint).schedule(TokensPerStep::new(1).unwrap());
        let [exact, joint] =
            [exact, joint].map(|generator| generator.generate(&[83, 73, 27], 8).unwrap());
        assert_eq!(exact.tokens, joint.tokens, "seed {seed}");
        assert_eq!((joint.denoiser_calls, joint.sampler_calls), (8, 0));
    }
}

/// In the generator, the sequences of a batch need different numbers of passes.
#[test]
fn a_batch_is_sampled_like_its_sequences_alone() {
    let (_folder, model) = opened("dream-tiny", Some("adjust-dream-tiny"), OPERATORS[0]);
    let unmasker = LearnedJoint::new(model.sampler_layer().unwrap());
    let canvases = canvases(&model);
    let together =
        Generator::new(model).unmasker(unmasker).schedule(TokensPerStep::new(3).unwrap()).seed(5);
    let alone = together.clone().batch_size(1).unwrap();
    let together = together.run(canvases.clone(), &mut ()).unwrap();
    let alone = alone.run(canvases, &mut ()).unwrap();
    for (together, alone) in together.iter().zip(&alone) {
        assert_eq!(together.tokens, alone.tokens);
    }
    assert!(alone[0].sampler_calls > alone[1].sampler_calls);
}

/// They are without padding, and the output layer maps them to the rows.
#[test]
fn hidden_states_are_returned_on_request() {
    let (_folder, model) = opened("dream-tiny", None, OPERATORS[0]);
    let canvases = canvases(&model);
    let batch: Vec<_> = canvases.iter().collect();
    let (inputs, rows) = (SequenceInput::stateless_batch(&batch), all_rows(&batch));
    let plain = Request::new(&inputs, &rows);
    assert!(model.forward(&plain).unwrap().hidden.is_empty());
    let answer = model.forward(&Request { hidden: true, ..plain }).unwrap();
    assert_eq!(answer.hidden.len(), batch.len());
    let dense = answer.rows.into_dense().unwrap();
    let mut first = 0;
    for (canvas, hidden) in canvases.iter().zip(&answer.hidden) {
        assert_eq!(hidden.dim(), (canvas.len(), model.manifest().hidden_size));
        for (position, logits) in model.logits(hidden.view()).unwrap().outer_iter().enumerate() {
            let difference = max_difference(logits, dense.logits(first + position));
            assert!(difference < ROUNDING, "position {position}: {difference}");
        }
        first += canvas.len();
    }
}

/// Compared with means of `hidden`, which runs sequences of one length without padding.
#[test]
fn mean_hidden_states_are_independent_of_the_batch() {
    let (_folder, model) = opened("dream-tiny", None, OPERATORS[0]);
    let pad = model.vocabulary().pad().unwrap();
    // More sequences than fit in one forward pass, of nine lengths. Some end in padding.
    let sequences: Vec<Vec<u32>> = (0..40_u32)
        .map(|i| {
            (0..1 + (7 * i) % 9).map(|j| if j > 4 { pad } else { (3 + 5 * i + j) % 60 }).collect()
        })
        .chain([vec![pad; 3]])
        .collect();
    let means = model.mean_hidden(&sequences).unwrap();
    assert_eq!(means.dim(), (41, model.manifest().hidden_size));
    for (sequence, mean) in sequences.iter().zip(means.rows()) {
        let ids: Vec<i64> = sequence.iter().map(|&token| token.into()).collect();
        let hidden = model.hidden(&ids, 1, ids.len()).unwrap();
        let counted = sequence.iter().filter(|&&token| token != pad).count();
        let counted = if counted == 0 { sequence.len() } else { counted };
        let first = hidden.index_axis(Axis(0), 0);
        let expected: Vec<f32> = first
            .columns()
            .into_iter()
            .map(|column| column.iter().take(counted).sum::<f32>() / counted as f32)
            .collect();
        let difference = max_difference(mean.iter(), &expected);
        assert!(difference <= ROUNDING, "{sequence:?}: {difference}");
    }
    let means_apart = max_difference(means.row(0).iter(), means.row(1).iter());
    assert!(means_apart > 0.01, "{means_apart}");
    let none: [&[u32]; 0] = [];
    assert_eq!(model.mean_hidden(&none).unwrap().nrows(), 0);
    assert!(matches!(model.mean_hidden(&[vec![1], vec![]]), Err(Error::EmptyBatch)));
    assert!(matches!(model.mean_hidden(&[[9999]]), Err(Error::UnknownToken { .. })));
}

#[test]
fn a_state_may_outlive_its_model() {
    let (folder, model) = opened("dream-tiny", None, OPERATORS[0]);
    let canvas = Canvas::unconditional(4, model.vocabulary().mask()).unwrap();
    let (_, mut state) = model.denoise(&[&canvas], &[]).unwrap();
    let before = model.hidden_of(&mut state).unwrap();
    drop(model);
    let again = common::open(folder.path()).unwrap();
    assert_eq!(again.hidden_of(&mut state).unwrap(), before);
}
