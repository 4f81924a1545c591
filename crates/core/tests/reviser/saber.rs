//! Saber's backtracking: the law of its definition.

use crate::common::policy_law::saber_law;
use crate::common::{ZERO, cases, law, oracle, together};
use conjoint_core::policy::Saber;
use conjoint_core::{Generator, reviser};
use conjoint_testkit::TabularJoint;
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn is_as_defined(alpha in 0.3f64..2.0, least in 1usize..=3, seed: u64) {
        let joint = TabularJoint::random(4, 2, alpha, seed).unwrap();
        let strategy = together(Saber::new(least).unwrap()).reviser(reviser::Saber::new(least));
        let law = law(&Generator::new(oracle(&joint)).unmasker(strategy), &joint);
        let distance = law.total_variation(&saber_law(&joint, least, true, true));
        prop_assert!(distance < ZERO, "at least {least}: {distance}");
    }
}

#[test]
fn a_sampler_without_backtracking_is_detected() {
    let distance = |seed| {
        let joint = TabularJoint::random(4, 2, 0.6, seed).unwrap();
        let strategy = together(Saber::new(2).unwrap()).reviser(reviser::Saber::new(2));
        let law = law(&Generator::new(oracle(&joint)).unmasker(strategy), &joint);
        law.total_variation(&saber_law(&joint, 2, false, true))
    };
    assert!((0..12).map(distance).fold(0.0, f64::max) > 0.003);
}
