//! `BlockStates`: the law of its definition in one block, with independent draws.

use crate::common::policy_law::Row;
use crate::common::policy_law::{best, entropy, policy_law};
use crate::common::{ZERO, cases, law, oracle, together};
use conjoint_core::Generator;
use conjoint_core::policy::BlockStates;
use conjoint_testkit::{Law, TabularJoint};
use proptest::prelude::*;

/// The position with the lowest entropy, and all with an entropy of at most θ.
fn block_states(joint: &TabularJoint, theta: f64) -> Law {
    let step = |masked: &[Row], _: &[Row], (): ()| {
        let mut reveal = vec![best(masked, |row| -entropy(row))];
        reveal.extend(masked.iter().filter(|(_, row)| entropy(row) <= theta).map(|(p, _)| *p));
        (reveal, vec![], ())
    };
    policy_law(joint, (), step)
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn is_as_defined(alpha in 0.3f64..2.0, theta in 0.4f64..0.95, seed: u64) {
        let joint = TabularJoint::random(4, 2, alpha, seed).unwrap();
        let policy = BlockStates::new(theta, 0.9).unwrap();
        let law = law(&Generator::new(oracle(&joint)).unmasker(together(policy)), &joint);
        let distance = law.total_variation(&block_states(&joint, theta));
        prop_assert!(distance < ZERO, "{distance}");
    }
}
