//! A policy of one's own goes with the learned joint sampler, built in or written anew, and leaves it exact.

mod common;

use common::{canvases, joint, model};
use conjoint::prelude::*;
use conjoint::strategy::Strategy;
use conjoint_outside::{Joint, Outermost};
use conjoint_testkit::{ExactRefiner, TabularDenoiser, exact_law};

/// The total variation between what a strategy samples and the model's own law.
fn distance(strategy: impl Into<Strategy>) -> f64 {
    let joint = joint(4, 3);
    let model = TabularDenoiser::new(joint.clone()).unwrap();
    let generator = Generator::new(model).unmasker(strategy).policy(Outermost);
    let law = exact_law(&generator, &Canvas::unconditional(4, joint.mask()).unwrap()).unwrap();
    joint.total_variation(&law)
}

#[test]
fn exact_with_an_exact_layer() {
    assert!(distance(LearnedJoint::new(ExactRefiner)) < 1e-6);
    assert!(distance(Joint::new(ExactRefiner)) < 1e-6);
    // Independent draws have another law.
    assert!(distance(Marginal::default()) > 0.01);
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
fn it_says_where() {
    let generator = Generator::new(model()).unmasker(Joint::new(ExactRefiner)).policy(Outermost);
    let mut reveals = Reveals::default();
    let outputs = generator.run(canvases(), &mut reveals).unwrap();
    assert_eq!(outputs.iter().map(|output| output.steps).collect::<Vec<_>>(), [4, 2, 3]);
    let places: Vec<_> = reveals.0.iter().map(|r| (r.step, r.position)).collect();
    assert_eq!(places, [(0, 0), (0, 7), (1, 1), (1, 6), (2, 2), (2, 5), (3, 3), (3, 4)]);
}

#[test]
fn settings_that_it_would_ignore_are_refused() {
    let generator = Generator::new(model()).policy(Outermost);
    let refused = |generator: Generator| {
        matches!(generator.check(&canvases()), Err(Error::Combination { .. }))
    };
    assert!(generator.check(&canvases()).is_err(), "the default strategy reveals in an order");
    let marginal = generator.unmasker(Marginal::default());
    assert!(marginal.check(&canvases()).is_ok());
    assert!(refused(marginal.clone().schedule(TokensPerStep::ONE)));
    assert!(refused(marginal.order(Entropy)));
}
