//! `Origin`: the law of its definition with independent draws, and of the steps in which positions are revealed.

use crate::common::{
    EvenChance, ZERO, blank, cases, distance, law, oracle, scheduled, stepwise, together,
};
use conjoint_core::observer::Reveal;
use conjoint_core::policy::Origin;
use conjoint_core::schedule::{Linear, Progress};
use conjoint_core::strategy::Strategy;
use conjoint_core::unmasker::Control;
use conjoint_core::{Error, Generator, Next, Observer, StepRequest, TokenId, Unmasker, View};
use conjoint_testkit::{Enumerator, Law, TabularJoint};
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(48))]

    /// In blocks of one position it is exact. One step is the product of marginals.
    #[test]
    fn is_as_defined(alpha in 0.2f64..2.0, steps in 1usize..=3, seed: u64) {
        let joint = TabularJoint::random(3, 2, alpha, seed).unwrap();
        let origin = |steps| together(Origin::new(steps).unwrap());
        let generator = Generator::new(oracle(&joint)).unmasker(origin(steps));
        let expected = falling(&joint, &shares(steps));
        prop_assert!(law(&generator, &joint).total_variation(&expected) < ZERO);
        let blocks = Generator::new(oracle(&joint)).unmasker(origin(3 * steps));
        let blocks = blocks.block_length(1).unwrap();
        prop_assert!(distance(&blocks, &joint, &joint.masked()) < ZERO);
    }
}

/// The probability that `Origin` reveals a position in each of S steps.
fn shares(steps: usize) -> Vec<f64> {
    let mut shares = vec![(1.0 - 1e-3) / steps as f64; steps];
    shares[steps - 1] += 1e-3;
    shares
}

/// The law if each position is revealed in step i with probability `shares[i]`, independently.
fn falling(joint: &TabularJoint, shares: &[f64]) -> Law {
    let mut law = Law::default();
    for mut assignment in 0..shares.len().pow(joint.length() as u32) {
        let mut steps = vec![0; joint.length()];
        for step in &mut steps {
            *step = assignment % shares.len();
            assignment /= shares.len();
        }
        let weight: f64 = steps.iter().map(|&step| shares[step]).product();
        stepwise(joint, &steps).iter().for_each(|(x, p)| law.add(x.to_vec(), weight * p));
    }
    law
}

#[test]
fn on_two_coins() {
    // q = Σ P(step i)² is the probability that both coins are drawn in the same step, independently.
    let coins = TabularJoint::new(2, 2, &[1.0, 0.0, 0.0, 1.0]).unwrap();
    let from_joint = |steps: usize, strategy: Strategy| {
        let generator = Generator::new(oracle(&coins)).unmasker(strategy);
        let generator = scheduled(&generator, Linear::new(steps).unwrap());
        distance(&generator, &coins, &coins.masked())
    };
    for steps in 1..=4 {
        let q: f64 = shares(steps).iter().map(|share| share * share).sum();
        let origin = from_joint(steps, together(Origin::new(steps).unwrap()));
        assert!((origin - 0.5 * q).abs() < ZERO, "S = {steps}: {origin}");
        if steps > 2 {
            let even = from_joint(steps, EvenChance::default().into());
            assert!((even - 0.5 * q).abs() > 0.005, "S = {steps}: {even}");
        }
    }
    assert!(Origin::new(0).is_err());
}

/// Dream's `origin` as in its loop: a coin for each masked position in every step.
#[derive(Clone, Default)]
struct Coins(Vec<usize>);

impl Unmasker for Coins {
    fn control(&self) -> Control {
        Control::Steps
    }

    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        let Progress { step, steps, .. } = *request.progress();
        let t = |step: usize| 1.0 - (1.0 - 1e-3) * step as f64 / steps as f64;
        let p = if step + 1 == steps { 1.0 } else { 1.0 - t(step + 1) / t(step) };
        let canvas = request.canvas();
        self.0 = canvas.masked().filter(|_| request.stream().chance(p)).collect();
        request.skip_forward(usize::from(self.0.is_empty()));
        Ok(())
    }

    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        crate::common::reveal(view, &self.0)
    }
}

/// The step in which each position was revealed.
struct Times(Vec<TokenId>);

impl Observer for Times {
    fn on_reveal(&mut self, reveal: &Reveal) {
        self.0[reveal.position] = reveal.step as TokenId;
    }
}

/// The joint law of the steps in which positions are revealed and of their tokens.
fn timed_law(generator: &Generator, joint: &TabularJoint) -> Law {
    let law = Enumerator::default().law_of(|stream| {
        let replaying = generator.clone().streams(move |_| Box::new(stream.clone()));
        let mut times = Times(vec![0; joint.length()]);
        let outputs = replaying.run(vec![blank(joint)], &mut times)?;
        Ok([times.0, outputs[0].tokens.clone()].concat())
    });
    law.unwrap()
}

/// In one block and in several. The laws of the steps, of the tokens, and of both together are compared.
#[test]
fn steps_drawn_beforehand_have_the_law_of_coins() {
    let joint = TabularJoint::random(3, 2, 0.5, 2).unwrap();
    for (steps, block) in [(1, 3), (2, 3), (4, 3), (6, 1)] {
        let generator = |strategy: Strategy| {
            let generator = Generator::new(oracle(&joint)).unmasker(strategy);
            let linear = Linear::new(steps).unwrap();
            scheduled(&generator, linear).block_length(block).unwrap()
        };
        let origin = together(Origin::new(steps).unwrap());
        let drawn = timed_law(&generator(origin), &joint);
        let coins = timed_law(&generator(Coins::default().into()), &joint);
        assert!((drawn.total() - 1.0).abs() < 1e-9);
        assert!(drawn.total_variation(&coins) < ZERO, "{steps} steps in blocks of {block}");
        if (steps, block) == (4, 3) {
            let even = timed_law(&generator(EvenChance::default().into()), &joint);
            assert!(even.total_variation(&drawn) > 0.05, "{}", even.total_variation(&drawn));
        }
    }
}
