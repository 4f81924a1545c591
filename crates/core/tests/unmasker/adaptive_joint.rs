//! `AdaptiveJoint`: exact with an exact layer for every bound, and `LearnedJoint` or one token a forward at its ends.

use std::sync::Arc;

use crate::common::{ZERO, blank, cases, distance, generator, orders};
use conjoint_core::strategy::Strategy as Unmasking;
use conjoint_core::unmasker::{AdaptiveJoint, Bound, ExactSequential, LearnedJoint};
use conjoint_core::{Error, Next, SamplerLayer, TokenId, Unmasker, View};
use conjoint_testkit::{ExactRefiner, NoisyRefiner, StaleRefiner, TabularJoint};
use proptest::prelude::*;

/// A joint of 3 bits with impossible sequences, which make some positions certain.
fn with_certainties() -> impl Strategy<Value = TabularJoint> {
    let weight = prop_oneof![2 => Just(0.0), 3 => 0.1f64..1.0];
    let weights = prop::collection::vec(weight, 8);
    weights.prop_filter_map("all zero", |weights| TabularJoint::new(3, 2, &weights).ok())
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn is_exact_for_every_bound(
        joint in with_certainties(), k in 1usize..=3, c in 0.0f64..=1.0, h in 0.0f64..1.0,
    ) {
        for (name, order) in orders() {
            for bound in [Bound::Confidence(c), Bound::Entropy(h)] {
                let adaptive = AdaptiveJoint::new(ExactRefiner, bound).unwrap().order(order.clone());
                let distance = distance(&generator(&joint, k, adaptive), &joint, &joint.masked());
                prop_assert!(distance < ZERO, "{name}, {bound:?}, K = {k}: {distance}");
            }
        }
    }
}

/// Broken on purpose: ends the step when the *drawn* token is improbable, and drops that token.
#[derive(Clone)]
struct DroppingImprobable(Arc<dyn SamplerLayer>);

impl Unmasker for DroppingImprobable {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let best = view.ranked(0);
        let drawn = view.draw(best)?;
        if view.round() > 0 && drawn.probability < 0.5 {
            return Ok(Next::EndStep);
        }
        view.reveal(best, drawn);
        Ok(Next::Refine)
    }

    fn sampler_layer(&self) -> Option<&Arc<dyn SamplerLayer>> {
        Some(&self.0)
    }
}

#[test]
fn dropping_improbable_tokens_is_detected() {
    let joint = TabularJoint::random(3, 3, 0.5, 5).unwrap();
    let dropping = generator(&joint, 3, DroppingImprobable(Arc::new(ExactRefiner)));
    let distance = distance(&dropping, &joint, &joint.masked());
    assert!(distance > 0.05, "{distance}");
}

/// Token for token. A stricter bound costs more forwards.
#[test]
fn at_its_ends_it_is_learned_joint_and_sequential() {
    let joint = TabularJoint::random(5, 3, 0.5, 9).unwrap();
    let canvases = vec![blank(&joint); 100];
    let noisy = NoisyRefiner::new(1.0, 3).unwrap();
    let run = |strategy: Unmasking| {
        generator(&joint, 5, strategy).run(canvases.clone(), &mut ()).unwrap()
    };
    let adaptive = |c| run(AdaptiveJoint::new(noisy, Bound::Confidence(c)).unwrap().into());
    assert_eq!(adaptive(0.0), run(LearnedJoint::new(noisy).into()));
    let tokens = |outputs: Vec<conjoint_core::Output>| -> Vec<Vec<TokenId>> {
        outputs.into_iter().map(|output| output.tokens).collect()
    };
    let sequential = tokens(run(ExactSequential::default().into()));
    let strict = adaptive(1.0);
    assert!(strict.iter().all(|output| (output.denoiser_calls, output.sampler_calls) == (5, 4)));
    assert_eq!(tokens(strict), sequential);
    let forwards = |c| adaptive(c).iter().map(|output| output.denoiser_calls).sum::<usize>();
    let counts = [0.0, 0.5, 0.7, 0.9, 1.0].map(forwards);
    assert!(counts.is_sorted() && counts[0] == 100 && counts[2] > 100, "{counts:?}");
}

/// A stale layer draws independently, and the bound says which tokens. Two bits that agree are 0 with probability 0.9,
/// two further bits with 0.5.
#[test]
fn a_bound_limits_the_harm_of_a_bad_layer() {
    let mut weights = [0.0; 16];
    (weights[0b0000], weights[0b0011], weights[0b1100], weights[0b1111]) = (0.45, 0.45, 0.05, 0.05);
    let joint = TabularJoint::new(4, 2, &weights).unwrap();
    // Independent draws of the first two agree with probability 0.81 + 0.01, those of the others with 0.5.
    for (bound, expected) in [(0.0, 1.0 - 0.82 * 0.5), (0.8, 1.0 - 0.82), (1.0, 0.0)] {
        let adaptive = AdaptiveJoint::new(StaleRefiner, Bound::Confidence(bound)).unwrap();
        let distance = distance(&generator(&joint, 4, adaptive), &joint, &joint.masked());
        assert!((distance - expected).abs() < ZERO, "{bound}: {distance}, expected {expected}");
    }
}
