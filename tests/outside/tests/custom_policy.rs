//! A custom policy works with both implementations of the learned joint sampler and keeps them exact.

mod common;

use common::{canvases, joint, model};
use conjoint::prelude::*;
use conjoint::strategy::Strategy;
use conjoint_outside::{Joint, Outermost};
use conjoint_testkit::{ExactRefiner, TabularDenoiser, exact_law};

/// The total variation between the law of a strategy and that of the model.
fn bias(strategy: impl Into<Strategy>) -> f64 {
    let joint = joint(4, 3);
    let model = TabularDenoiser::new(joint.clone()).unwrap();
    let generator = Generator::new(model).unmasker(strategy).policy(Outermost);
    let law = exact_law(&generator, &Canvas::unconditional(4, joint.mask()).unwrap()).unwrap();
    joint.total_variation(&law)
}

#[test]
fn an_exact_layer_makes_the_joint_sampler_exact() {
    assert!(bias(LearnedJoint::new(ExactRefiner)) < 1e-6);
    assert!(bias(Joint::new(ExactRefiner)) < 1e-6);
    // Independent draws are biased.
    assert!(bias(Marginal::default()) > 0.01);
}

/// The reveals of the first sequence.
#[derive(Default)]
struct Reveals(Vec<Reveal>);

impl Observer for Reveals {
    fn on_reveal(&mut self, reveal: &Reveal) {
        self.0.extend((reveal.sequence == 0).then_some(reveal));
    }
}

#[test]
fn the_policy_selects_the_positions() {
    let generator = Generator::new(model()).unmasker(Joint::new(ExactRefiner)).policy(Outermost);
    let mut reveals = Reveals::default();
    let outputs = generator.run(canvases(), &mut reveals).unwrap();
    assert_eq!(outputs.iter().map(|output| output.steps).collect::<Vec<_>>(), [4, 2, 3]);
    let revealed: Vec<_> = reveals.0.iter().map(|r| (r.step, r.position)).collect();
    assert_eq!(revealed, [(0, 0), (0, 7), (1, 1), (1, 6), (2, 2), (2, 5), (3, 3), (3, 4)]);
}

#[test]
fn settings_that_would_be_ignored_are_rejected() {
    let generator = Generator::new(model()).policy(Outermost);
    let is_rejected = |generator: Generator| {
        matches!(generator.check(&canvases()), Err(Error::Combination { .. }))
    };
    assert!(generator.check(&canvases()).is_err(), "the default strategy reveals in an order");
    let marginal = generator.unmasker(Marginal::default());
    assert!(marginal.check(&canvases()).is_ok());
    assert!(is_rejected(marginal.clone().schedule(TokensPerStep::ONE)));
    assert!(is_rejected(marginal.order(Entropy)));
}
