//! Real seeded streams against the exact law, by Pearson's χ² test at a false-alarm rate of 1e-3.

mod common;

use common::{Squaring, blank, generator};
use conjoint_core::unmasker::{ExactSequential, LearnedJoint, Marginal};
use conjoint_core::{Generator, TokenId};
use conjoint_testkit::{ExactRefiner, GoodnessOfFit, TabularJoint, exact_law};

const ALPHA: f64 = 1e-3;

fn joint() -> TabularJoint {
    TabularJoint::random(3, 3, 0.5, 12).unwrap()
}

/// 10⁵ sequences of three tokens.
fn samples(generator: Generator, seed: u64) -> Vec<Vec<TokenId>> {
    let outputs = generator.seed(seed).run(vec![blank(&joint()); 100_000], &mut ()).unwrap();
    outputs.into_iter().map(|output| output.tokens).collect()
}

#[test]
fn exact_strategies_pass() {
    let joint = joint();
    let sequential = generator(&joint, 1, ExactSequential::default());
    let refined = generator(&joint, 3, LearnedJoint::new(ExactRefiner));
    for generator in [sequential, refined] {
        let fit = GoodnessOfFit::test(samples(generator, 1), &joint.law(), ALPHA).unwrap();
        assert!(!fit.rejects(), "{fit:?}");
    }
}

#[test]
fn biased_twins_are_rejected() {
    let joint = joint();
    let marginal = generator(&joint, 3, Marginal::default());
    let squaring = generator(&joint, 1, ExactSequential::default()).draw(Squaring);
    for generator in [marginal, squaring] {
        let fit = GoodnessOfFit::test(samples(generator, 1), &joint.law(), ALPHA).unwrap();
        assert!(fit.rejects(), "{fit:?}");
    }
}

/// The enumerator's law of a biased strategy is the law of its samples.
#[test]
fn a_biased_strategy_has_the_law_that_is_enumerated() {
    let joint = joint();
    let marginal = generator(&joint, 2, Marginal::default());
    let law = exact_law(&marginal, &blank(&joint)).unwrap();
    let fit = GoodnessOfFit::test(samples(marginal, 2), &law, ALPHA).unwrap();
    assert!(!fit.rejects(), "{fit:?}");
}
