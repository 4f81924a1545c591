//! `Hierarchical`: the law of its definition with independent draws.

use crate::common::policy_law::Row;
use crate::common::policy_law::{assert_detected, best, peak, policy_law};
use crate::common::{ZERO, cases, law, oracle, together};
use conjoint_core::Generator;
use conjoint_core::policy::Hierarchical;
use conjoint_testkit::{Law, TabularJoint};
use proptest::prelude::*;

/// The best of the block, all above τ and, with `runs`, the best of every run of masks if it is above `low`.
fn hierarchical(joint: &TabularJoint, tau: f64, low: f64, runs: bool) -> Law {
    let step = |masked: &[Row], _: &[Row], (): ()| {
        let mut revealed = vec![best(masked, peak)];
        revealed.extend(masked.iter().filter(|(_, row)| peak(row) > tau).map(|(p, _)| *p));
        for run in masked.chunk_by(|a, b| a.0 + 1 == b.0).filter(|_| runs) {
            let place = best(run, peak);
            let row = &run.iter().find(|(p, _)| *p == place).unwrap().1;
            revealed.extend((peak(row) > low).then_some(place));
        }
        (revealed, vec![], ())
    };
    policy_law(joint, (), step)
}

fn law_of(joint: &TabularJoint, tau: f64, low: f64) -> Law {
    let policy = Hierarchical::new(tau, low).unwrap();
    law(&Generator::new(oracle(joint)).unmasker(together(policy)), joint)
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn is_as_defined(alpha in 0.3f64..2.0, a in 0.5f64..0.95, b in 0.4f64..0.95, seed: u64) {
        let joint = TabularJoint::random(4, 2, alpha, seed).unwrap();
        let (low, high) = (a.min(b), a.max(b));
        let expected = hierarchical(&joint, high, low, true);
        let distance = law_of(&joint, high, low).total_variation(&expected);
        prop_assert!(distance < ZERO, "{distance}");
    }
}

#[test]
fn broken_variants_are_detected() {
    assert_detected(|joint| {
        let broken = vec![("ignores runs of masks", hierarchical(joint, 0.9, 0.5, false))];
        (law_of(joint, 0.9, 0.5), broken)
    });
}
