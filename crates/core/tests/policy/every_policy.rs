//! Laws that hold for every policy.

use crate::common::{ZERO, law, oracle, together};
use conjoint_core::Generator;
use conjoint_core::influence::GiniBound;
use conjoint_core::order::{Entropy, Random};
use conjoint_core::policy::{
    BlockStates, Demask, Dilated, DynPolicy, EarlyCommit, Hierarchical, Klass, LocalLeap, Origin,
    Ranked, Saber, SlowFast,
};
use conjoint_core::schedule::{EntropyBound, Factor, Linear, Threshold, TokensPerStep};
use conjoint_core::strategy::Strategy;
use conjoint_core::unmasker::{AdaptiveJoint, Bound, ClippedJoint, LearnedJoint};
use conjoint_testkit::{ExactRefiner, StaleRefiner, TabularJoint};

/// Every policy, with bounds that rows of few symbols reach now and then.
fn policies() -> Vec<(&'static str, Box<dyn DynPolicy>)> {
    let two = || TokensPerStep::new(2).unwrap();
    let commit = EarlyCommit::new(Ranked::new(Entropy, two()), 1..3).unwrap();
    vec![
        ("per-step", Ranked::new(Entropy, TokensPerStep::new(3).unwrap()).boxed()),
        ("random", Ranked::new(Random, two()).boxed()),
        ("linear", Ranked::new(Entropy, Linear::new(2).unwrap()).boxed()),
        ("threshold", Ranked::new(Entropy, Threshold::new(0.6).unwrap()).boxed()),
        ("factor", Ranked::new(Entropy, Factor::default()).boxed()),
        ("entropy-bound", Ranked::new(Entropy, EntropyBound::new(0.6).unwrap()).boxed()),
        ("klass", Klass::new(0.6, 0.5, 1).unwrap().fallback(two()).boxed()),
        ("slow-fast", SlowFast::new(1, 0.5, 0.6).unwrap().boxed()),
        ("dilated", Dilated::default().boxed()),
        ("demask", Demask::new(GiniBound, 0.6).unwrap().boxed()),
        ("origin", Origin::new(2).unwrap().boxed()),
        ("local-leap", LocalLeap::new(0.7, 0.55, 2).unwrap().boxed()),
        ("hierarchical", Hierarchical::new(0.7, 0.5).unwrap().boxed()),
        ("saber", Saber::default().boxed()),
        ("early-commit", commit.gaps([0.5; 3]).unwrap().boxed()),
        ("block-states", BlockStates::new(0.6, 0.9).unwrap().boxed()),
    ]
}

fn generator(joint: &TabularJoint, strategy: impl Into<Strategy>) -> Generator {
    Generator::new(oracle(joint)).unmasker(strategy)
}

/// A policy reads rows only, so an exact layer samples the joint under every policy.
#[test]
fn with_an_exact_layer_every_policy_is_exact() {
    for seed in 0..3 {
        let joint = TabularJoint::random(4, 2, 0.4, seed).unwrap();
        for (name, policy) in policies() {
            let adaptive = AdaptiveJoint::new(ExactRefiner, Bound::Confidence(0.7)).unwrap();
            let strategies: [(&str, Strategy); 4] = [
                ("joint", LearnedJoint::new(ExactRefiner).into()),
                ("window", LearnedJoint::new(ExactRefiner).window(1).unwrap().into()),
                ("adaptive", adaptive.into()),
                ("clipped", ClippedJoint::new(ExactRefiner).into()),
            ];
            for (kind, strategy) in strategies {
                let law = law(&generator(&joint, strategy.policy(policy.clone())), &joint);
                let distance = law.total_variation(&joint.given(&joint.masked()).unwrap());
                assert!(distance < ZERO, "{kind} + {name}, seed {seed}: {distance}");
            }
        }
    }
}

/// A stale layer draws from the rows of the forward: independent draws, for every policy that fixes its selection.
#[test]
fn with_a_stale_layer_a_fixed_selection_is_drawn_independently() {
    let joint = TabularJoint::random(4, 2, 0.4, 3).unwrap();
    let mut differ = 0;
    for (name, policy) in policies().into_iter().skip(6) {
        // Until it commits, its inner policy ranks the rows of each pass.
        if name == "early-commit" {
            continue;
        }
        let marginal = law(&generator(&joint, together(policy.clone())), &joint);
        let stale = Strategy::new(LearnedJoint::new(StaleRefiner)).policy(policy);
        let stale = law(&generator(&joint, stale), &joint);
        assert!(stale.total_variation(&marginal) < ZERO, "{name}");
        let truth = joint.given(&joint.masked()).unwrap();
        differ += usize::from(marginal.total_variation(&truth) > 0.01);
    }
    assert!(differ >= 6, "independent draws differ from the joint for only {differ} policies");
}

/// With bounds that only a certain position reaches, each policy reveals one uncertain position a step.
#[test]
fn with_tight_bounds_independent_draws_are_exact() {
    let joint = TabularJoint::random(4, 2, 0.5, 5).unwrap();
    let tight: Vec<(&str, Box<dyn DynPolicy>)> = vec![
        ("klass", Klass::new(1.0, 0.01, 1).unwrap().boxed()),
        ("slow-fast", SlowFast::new(3, 0.3, 1.0).unwrap().boxed()),
        ("demask", Demask::new(GiniBound, 0.0).unwrap().boxed()),
        ("local-leap", LocalLeap::new(1.0, 1.0, 4).unwrap().boxed()),
        ("hierarchical", Hierarchical::new(1.0, 1.0).unwrap().boxed()),
        ("block-states", BlockStates::new(0.0, 1.0).unwrap().boxed()),
    ];
    for (name, policy) in tight {
        let law = law(&generator(&joint, together(policy)), &joint);
        let distance = law.total_variation(&joint.given(&joint.masked()).unwrap());
        assert!(distance < ZERO, "{name}: {distance}");
    }
}
