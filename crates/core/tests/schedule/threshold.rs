//! `Threshold`: exact at τ = 1 with independent draws.

use crate::common::{ZERO, cases, orders};
use crate::laws::{Rule, assert_fewer_forwards, from_joint, with_certainties};
use conjoint_core::order::MaxProb;
use conjoint_core::schedule::Threshold;
use conjoint_core::unmasker::Marginal;
use conjoint_testkit::TabularJoint;
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(48))]

    /// Beside one token it reveals certain tokens only, in any order.
    #[test]
    fn a_threshold_of_one_is_exact(joint in with_certainties()) {
        for (name, order) in orders() {
            let distance = from_joint(&joint, Threshold::new(1.0).unwrap(), Marginal::new(order));
            prop_assert!(distance < ZERO, "{name}: {distance}");
        }
    }
}

/// Checking only the best candidate is not enough.
#[test]
fn a_rule_that_checks_the_best_candidate_only_is_detected() {
    let joint = certain_and_coins();
    let best_only = |c: &[f64], _: &[f64]| if c[0] >= 1.0 { c.len() } else { 1 };
    let distance = from_joint(&joint, Rule(best_only), Marginal::new(MaxProb));
    assert!((distance - 0.5).abs() < ZERO, "{distance}");
    assert!(from_joint(&joint, Threshold::new(0.5).unwrap(), Marginal::new(MaxProb)) > 0.4);
}

/// A certain coin, then two fair coins that always agree.
fn certain_and_coins() -> TabularJoint {
    TabularJoint::new(3, 2, &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]).unwrap()
}

#[test]
fn sure_rows_cost_fewer_forwards() {
    assert_fewer_forwards(Threshold::default());
}
