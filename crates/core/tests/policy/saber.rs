//! `Saber`: the law of its threshold with independent draws.

use crate::common::policy_law::{assert_detected, saber_law};
use crate::common::{ZERO, cases, law, oracle, together};
use conjoint_core::Generator;
use conjoint_core::policy::Saber;
use conjoint_testkit::{Law, TabularJoint};
use proptest::prelude::*;

fn law_of(joint: &TabularJoint, least: usize) -> Law {
    let policy = Saber::new(least).unwrap();
    law(&Generator::new(oracle(joint)).unmasker(together(policy)), joint)
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn is_as_defined(alpha in 0.3f64..2.0, seed: u64) {
        let joint = TabularJoint::random(4, 2, alpha, seed).unwrap();
        for least in [1, 2] {
            let expected = saber_law(&joint, least, false, true);
            let distance = law_of(&joint, least).total_variation(&expected);
            prop_assert!(distance < ZERO, "at least {least}: {distance}");
        }
    }
}

#[test]
fn broken_variants_are_detected() {
    assert_detected(|joint| {
        let broken = vec![("a fixed threshold", saber_law(joint, 1, false, false))];
        (law_of(joint, 1), broken)
    });
}
