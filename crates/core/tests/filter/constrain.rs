//! `Constrain`: each row renormalised, and the conditional law where the constraint is revealed first.

use crate::common::{ZERO, cases};
use crate::sequential::{filtered, given_low, product, random};
use conjoint_core::TokenId;
use conjoint_core::filter::Constrain;
use conjoint_testkit::TabularJoint;
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(32))]

    #[test]
    fn renormalises_each_row(alpha in 0.3f64..2.0, seed: u64, backwards: bool) {
        let joint = random(alpha, seed);
        let filter = Constrain::new([(0, vec![0, 1]), (2, vec![1, 2])]).unwrap();
        let allowed = |p: f64, token: TokenId, position: usize, _: &[TokenId]| match position {
            0 if token > 1 => 0.0,
            2 if token < 1 => 0.0,
            _ => p,
        };
        let law = filtered(&joint, filter, backwards);
        prop_assert!(law.total_variation(&product(&joint, backwards, allowed)) < ZERO);
    }

    #[test]
    fn a_constraint_revealed_first_conditions(alpha in 0.3f64..2.0, seed: u64) {
        let joint = random(alpha, seed);
        let first = filtered(&joint, Constrain::new([(0, [0, 1])]).unwrap(), false);
        prop_assert!(first.total_variation(&given_low(&joint, 0)) < ZERO);
        // Single tokens revealed first are infilling.
        let forced = Constrain::new([(0, [1]), (1, [2])]).unwrap();
        let mask = joint.mask();
        let infilled = joint.given(&[1, 2, mask]).unwrap();
        prop_assert!(filtered(&joint, forced, false).total_variation(&infilled) < ZERO);
    }

    #[test]
    fn constraints_on_independent_positions_condition(seed: u64, backwards: bool) {
        let dependent = random(0.5, seed);
        let product = dependent.product_of_marginals();
        let weights: Vec<f64> = product.iter().map(|(_, p)| p).collect();
        prop_assume!(weights.len() == 27);
        let joint = TabularJoint::new(3, 3, &weights).unwrap();
        let law = filtered(&joint, Constrain::new([(1, [0, 1])]).unwrap(), backwards);
        prop_assert!(law.total_variation(&given_low(&joint, 1)) < ZERO);
    }
}

#[test]
fn a_constraint_revealed_last_does_not_condition() {
    let joint = random(0.3, 5);
    let law = |backwards| filtered(&joint, Constrain::new([(0, [0, 1])]).unwrap(), backwards);
    assert!(law(true).total_variation(&given_low(&joint, 0)) > 0.01);
    assert!(joint.total_variation(&law(false)) > 0.01);
}
