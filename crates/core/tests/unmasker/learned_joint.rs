//! `LearnedJoint`: the joint with an exact layer, independent draws with a stale one, and `ExactSequential` with one
//! token a step.

use crate::common::{ZERO, blank, cases, distance, generator, law, orders, over};
use conjoint_core::unmasker::{ExactSequential, LearnedJoint};
use conjoint_core::{Canvas, Generator, Output};
use conjoint_testkit::{ExactRefiner, NoisyRefiner, StaleRefiner, TabularDenoiser, TabularJoint};
use proptest::prelude::*;

/// With an exact layer: every K and order, without a window and with a window of one.
fn variants(oracle: &TabularDenoiser, length: usize) -> Vec<(String, Generator)> {
    let mut all = Vec::new();
    for (name, order) in orders() {
        for k in 1..=length {
            let refined = LearnedJoint::new(ExactRefiner).order(order.clone());
            let windowed = refined.clone().window(1).unwrap();
            all.push((format!("K = {k}, {name}"), over(oracle.clone(), k, refined)));
            all.push((
                format!("K = {k}, window of one, {name}"),
                over(oracle.clone(), k, windowed),
            ));
        }
    }
    all
}

samples_the_joint!(variants);

proptest! {
    #![proptest_config(cases(64))]

    /// A stale layer re-ranks rows that do not change.
    #[test]
    fn a_stale_layer_gives_the_product_of_marginals(
        length in 2usize..=3, symbols in 2usize..=3, alpha in 0.2f64..2.0, seed: u64,
    ) {
        let joint = TabularJoint::random(length, symbols, alpha, seed).unwrap();
        let product = joint.product_of_marginals();
        for (name, order) in orders() {
            let stale = generator(&joint, length, LearnedJoint::new(StaleRefiner).order(order));
            prop_assert!(law(&stale, &joint).total_variation(&product) < ZERO, "{name}");
        }
    }
}

/// Noise on the refined logits moves the law away from the joint.
#[test]
fn a_noisier_layer_is_further_from_the_joint() {
    let joint = TabularJoint::random(3, 3, 0.5, 5).unwrap();
    let distances: Vec<f64> = [0.0, 0.3, 3.0]
        .map(|scale| {
            let layer = NoisyRefiner::new(scale, 1).unwrap();
            distance(&generator(&joint, 3, LearnedJoint::new(layer)), &joint, &joint.masked())
        })
        .into();
    assert!(distances[0] < ZERO, "{distances:?}");
    assert!(distances[1] > 0.01 && distances[2] > 2.0 * distances[1], "{distances:?}");
}

fn outputs(generator: &Generator, canvases: &[Canvas]) -> Vec<Output> {
    generator.run(canvases.to_vec(), &mut ()).unwrap()
}

/// With one token a step no pass runs. With two tokens a step the tokens depend on the layer.
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

/// With an exact layer K changes the cost but no token, because the same stream draws from the
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
