//! `Penalty`: each row reweighted.

use crate::common::{ZERO, cases};
use crate::sequential::{filtered, product, random};
use conjoint_core::TokenId;
use conjoint_core::filter::Penalty;
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(32))]

    #[test]
    fn reweights_each_row(
        nats in 0.0f64..4.0, alpha in 0.3f64..2.0, seed: u64, backwards: bool,
    ) {
        let joint = random(alpha, seed);
        let law = filtered(&joint, Penalty::new([0, 2], nats).unwrap(), backwards);
        let lighter = |p: f64, token: TokenId, _: usize, _: &[TokenId]| {
            if token == 1 { p } else { p * (-nats).exp() }
        };
        prop_assert!(law.total_variation(&product(&joint, backwards, lighter)) < ZERO);
    }
}

proptest! {
    #![proptest_config(cases(32))]

    #[test]
    fn a_penalty_of_zero_changes_nothing(alpha in 0.3f64..2.0, seed: u64) {
        let joint = random(alpha, seed);
        let law = filtered(&joint, Penalty::new([0, 1], 0.0).unwrap(), false);
        prop_assert!(joint.total_variation(&law) < ZERO);
    }
}

#[test]
fn other_penalties_have_other_laws() {
    let joint = random(0.3, 5);
    let law = |nats| filtered(&joint, Penalty::new([0, 2], nats).unwrap(), false);
    assert!(law(1.0).total_variation(&law(1.5)) > 0.01);
    assert!(joint.total_variation(&law(1.0)) > 0.01);
}
