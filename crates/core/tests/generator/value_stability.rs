//! Tokens of a seed are pinned. A change of these values is a breaking change.

use crate::common::{blank, generator};
use conjoint_core::order::Random;
use conjoint_core::strategy::Strategy;
use conjoint_core::unmasker::{Confidence, ExactSequential, LearnedJoint, Marginal};
use conjoint_core::{Canvas, Generator, Output};
use conjoint_testkit::{ExactRefiner, TabularJoint};

fn outputs(generator: &Generator, canvases: &[Canvas]) -> Vec<Output> {
    generator.run(canvases.to_vec(), &mut ()).unwrap()
}

/// The joint has integer weights, so these tokens are the same on every machine.
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
    let random_order = [[2, 0, 1], [0, 0, 2], [0, 2, 1], [2, 0, 0]];
    assert_eq!(tokens(1, Marginal::new(Random).into()), random_order);
    let confidence = [[0, 2, 1], [2, 2, 0], [0, 0, 2], [0, 1, 1]];
    assert_eq!(tokens(1, Confidence::default().into()), confidence);
}
