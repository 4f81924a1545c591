//! Token for token: what must not change an output, changes none.

mod common;

use common::{blank, generator, oracle, orders};
use conjoint_core::order::Random;
use conjoint_core::strategy::Strategy;
use conjoint_core::unmasker::{Confidence, ExactSequential, LearnedJoint, Marginal};
use conjoint_core::{Canvas, Generator, Output, SeededStream};
use conjoint_testkit::{ExactRefiner, NoisyRefiner, StaleRefiner, TabularJoint};

fn outputs(generator: &Generator, canvases: &[Canvas]) -> Vec<Output> {
    generator.run(canvases.to_vec(), &mut ()).unwrap()
}

/// One token a step never asks the layer, whatever it is; with two the layer shows.
#[test]
fn one_token_a_step_is_exact_sequential_with_any_layer() {
    let joint = TabularJoint::random(5, 3, 0.5, 8).unwrap();
    let canvases = vec![blank(&joint); 50];
    let noisy = NoisyRefiner::new(5.0, 1).unwrap();
    for (name, order) in orders() {
        let layers = [
            LearnedJoint::new(ExactRefiner),
            LearnedJoint::new(StaleRefiner),
            LearnedJoint::new(noisy),
        ]
        .map(|strategy| strategy.order(order.clone()));
        for seed in 0..10 {
            let sequential = generator(&joint, 1, ExactSequential::new(order.clone()));
            let expected = outputs(&sequential.seed(seed), &canvases);
            for layer in &layers {
                let one = generator(&joint, 1, layer.clone()).seed(seed);
                assert_eq!(outputs(&one, &canvases), expected, "{name}, seed {seed}");
            }
            let two = outputs(&generator(&joint, 2, layers[2].clone()).seed(seed), &canvases);
            assert!(two.iter().zip(&expected).any(|(two, one)| two.tokens != one.tokens), "{name}");
        }
    }
}

/// With a perfect layer K changes the cost, and not a single token: the same stream draws from the
/// same rows in the same order.
#[test]
fn an_exact_layer_gives_the_same_tokens_for_every_k() {
    let joint = TabularJoint::random(5, 3, 0.5, 9).unwrap();
    let canvases = vec![blank(&joint); 200];
    for (name, order) in orders() {
        let strategy = || LearnedJoint::new(ExactRefiner).order(order.clone());
        let expected = outputs(&generator(&joint, 1, strategy()), &canvases);
        for (k, forwards) in [(2, 3), (3, 2), (4, 2), (5, 1)] {
            let refined = outputs(&generator(&joint, k, strategy()), &canvases);
            for (refined, expected) in refined.iter().zip(&expected) {
                assert_eq!(refined.tokens, expected.tokens, "{name}, K = {k}");
                assert_eq!(
                    (refined.denoiser_calls, refined.sampler_calls),
                    (forwards, 5 - forwards)
                );
            }
        }
    }
}

/// A batch of lengths, prompts and holes: each row bit for bit what it is alone.
#[test]
fn a_sequence_does_not_depend_on_its_batch() {
    let joint = |length| TabularJoint::random(length, 3, 0.5, length as u64).unwrap();
    let model = oracle(&joint(5)).and(joint(3)).unwrap().and(joint(1)).unwrap();
    let canvases: Vec<Canvas> =
        [vec![3; 5], vec![0, 3, 3], vec![3], vec![3, 1, 3, 3, 2], vec![3; 3], vec![2, 2, 3, 3, 3]]
            .map(|tokens| Canvas::infill(tokens, 3).unwrap())
            .into();
    let strategies: [Strategy; 5] = [
        ExactSequential::default().into(),
        Marginal::default().into(),
        Confidence::default().into(),
        LearnedJoint::new(ExactRefiner).into(),
        LearnedJoint::new(NoisyRefiner::new(1.0, 2).unwrap()).into(),
    ];
    for strategy in strategies {
        let generator = common::over(model.clone(), 3, strategy);
        let together = outputs(&generator, &canvases);
        for batch_size in [1, 2, 4] {
            let generator = generator.clone().batch_size(batch_size).unwrap();
            assert_eq!(outputs(&generator, &canvases), together);
        }
        for (i, canvas) in canvases.iter().enumerate() {
            let alone =
                generator.clone().streams(move |_| Box::new(SeededStream::new(0, i as u64)));
            assert_eq!(outputs(&alone, std::slice::from_ref(canvas)), together[i..=i]);
        }
    }
}

/// A joint with whole weights needs no generator of its own: these tokens are the same everywhere.
#[test]
fn values_are_pinned() {
    let weights: Vec<f64> = (1..=27).map(|i| f64::from(i * i % 11)).collect();
    let joint = TabularJoint::new(3, 3, &weights).unwrap();
    let tokens = |k, strategy: Strategy| -> Vec<_> {
        let outputs = outputs(&generator(&joint, k, strategy).seed(7), &vec![blank(&joint); 4]);
        outputs.into_iter().map(|output| output.tokens).collect()
    };
    let sequential = [[0, 0, 2], [0, 2, 1], [1, 1, 1], [0, 0, 2]];
    assert_eq!(tokens(1, ExactSequential::default().into()), sequential);
    assert_eq!(tokens(3, LearnedJoint::new(ExactRefiner).into()), sequential);
    let at_once = [[0, 0, 2], [0, 2, 2], [0, 1, 0], [0, 0, 2]];
    assert_eq!(tokens(3, Marginal::default().into()), at_once);
    let anywhere = [[2, 0, 1], [0, 0, 2], [0, 2, 1], [2, 0, 0]];
    assert_eq!(tokens(1, Marginal::new(Random).into()), anywhere);
    let confident = [[0, 2, 1], [2, 2, 0], [0, 0, 2], [0, 1, 1]];
    assert_eq!(tokens(1, Confidence::default().into()), confident);
}
