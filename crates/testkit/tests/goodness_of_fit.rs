//! Samples of seeded streams against enumerated laws, by Pearson's χ² test at a false-alarm rate of 1e-3.

use conjoint_core::schedule::TokensPerStep;
use conjoint_core::unmasker::{ExactSequential, LearnedJoint, Marginal};
use conjoint_core::{Canvas, Draw, Generator, Stream, TokenId};
use conjoint_testkit::{ExactRefiner, GoodnessOfFit, TabularDenoiser, TabularJoint, exact_law};

const ALPHA: f64 = 1e-3;

fn joint() -> TabularJoint {
    TabularJoint::random(3, 3, 0.5, 12).unwrap()
}

fn oracle() -> Generator {
    Generator::new(TabularDenoiser::new(joint()).unwrap())
}

/// Independent draws of `k` tokens a step.
fn marginal(k: usize) -> Generator {
    oracle().unmasker(Marginal::default()).schedule(TokensPerStep::new(k).unwrap())
}

fn blank() -> Canvas {
    Canvas::unconditional(3, joint().mask()).unwrap()
}

/// Broken on purpose: draws with probability ∝ p².
struct Squaring;

impl Draw for Squaring {
    fn draw(&self, logits: &[f32], stream: &mut dyn Stream) -> usize {
        let squared: Vec<f32> = logits.iter().map(|logit| 2.0 * logit).collect();
        stream.categorical(&squared)
    }
}

/// 10⁵ sequences of three tokens.
fn samples(generator: Generator, seed: u64) -> Vec<Vec<TokenId>> {
    let outputs = generator.seed(seed).run(vec![blank(); 100_000], &mut ()).unwrap();
    outputs.into_iter().map(|output| output.tokens).collect()
}

#[test]
fn exact_strategies_pass() {
    let sequential = oracle().unmasker(ExactSequential::default());
    let refined = oracle().unmasker(LearnedJoint::new(ExactRefiner));
    let refined = refined.schedule(TokensPerStep::new(3).unwrap());
    for generator in [sequential, refined] {
        let fit = GoodnessOfFit::test(samples(generator, 1), &joint().law(), ALPHA).unwrap();
        assert!(!fit.rejects(), "{fit:?}");
    }
}

#[test]
fn biased_strategies_are_rejected() {
    let squaring = oracle().unmasker(ExactSequential::default()).draw(Squaring);
    for generator in [marginal(3), squaring] {
        let fit = GoodnessOfFit::test(samples(generator, 1), &joint().law(), ALPHA).unwrap();
        assert!(fit.rejects(), "{fit:?}");
    }
}

#[test]
fn samples_of_a_biased_strategy_have_its_enumerated_law() {
    let law = exact_law(&marginal(2), &blank()).unwrap();
    let fit = GoodnessOfFit::test(samples(marginal(2), 2), &law, ALPHA).unwrap();
    assert!(!fit.rejects(), "{fit:?}");
}
