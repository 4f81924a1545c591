//! `LocalLeap`: the law of its definition with independent draws.

use crate::common::policy_law::Row;
use crate::common::policy_law::{assert_detected, best, peak, policy_law};
use crate::common::{ZERO, cases, law, oracle, together};
use conjoint_core::Generator;
use conjoint_core::policy::LocalLeap;
use conjoint_testkit::{Law, TabularJoint};
use proptest::prelude::*;

/// The positions of anchors with p₁ ≥ `anchor`, and those with p₁ ≥ `near` at most `reach` to the left and right.
fn local_leap(joint: &TabularJoint, anchor: f64, near: f64, reach: [usize; 2]) -> Law {
    let step = |masked: &[Row], _: &[Row], (): ()| {
        let anchors: Vec<usize> =
            masked.iter().filter(|(_, row)| peak(row) >= anchor).map(|(p, _)| *p).collect();
        let best = best(masked, peak);
        let joins = |(p, row): &&Row| {
            let is_near = |&a: &usize| {
                if *p >= a { p - a <= reach[1] } else { a - p <= reach[0] }
            };
            *p == best || peak(row) >= near && anchors.iter().any(is_near)
        };
        (masked.iter().filter(joins).map(|(p, _)| *p).collect(), vec![], ())
    };
    policy_law(joint, (), step)
}

fn law_of(joint: &TabularJoint, anchor: f64, near: f64) -> Law {
    let policy = LocalLeap::new(anchor, near, 1).unwrap();
    law(&Generator::new(oracle(joint)).unmasker(together(policy)), joint)
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn is_as_defined(alpha in 0.3f64..2.0, a in 0.5f64..0.95, b in 0.4f64..0.95, seed: u64) {
        let joint = TabularJoint::random(4, 2, alpha, seed).unwrap();
        let (low, high) = (a.min(b), a.max(b));
        let expected = local_leap(&joint, high, low, [1, 1]);
        let distance = law_of(&joint, high, low).total_variation(&expected);
        prop_assert!(distance < ZERO, "{distance}");
    }
}

#[test]
fn broken_variants_are_detected() {
    assert_detected(|joint| {
        let (anchor, near) = (0.75, 0.55);
        let broken = vec![
            ("leaps to the right only", local_leap(joint, anchor, near, [0, 1])),
            ("leaps to the left only", local_leap(joint, anchor, near, [1, 0])),
            ("never leaps", local_leap(joint, anchor, anchor, [1, 1])),
        ];
        (law_of(joint, anchor, near), broken)
    });
}
