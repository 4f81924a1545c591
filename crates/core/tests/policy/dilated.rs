//! `Dilated`: the law of its groups with independent draws.

use crate::common::{ZERO, cases, generator, law, stepwise, together};
use conjoint_core::policy::Dilated;
use conjoint_testkit::TabularJoint;
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn groups_are_as_defined(symbols in 2usize..=3, alpha in 0.2f64..2.0, seed: u64) {
        let joint = TabularJoint::random(4, symbols, alpha, seed).unwrap();
        let law = law(&generator(&joint, 1, together(Dilated::default())), &joint);
        prop_assert!(law.total_variation(&stepwise(&joint, &[0, 1, 0, 1])) < ZERO);
    }
}

/// With strides of three, four positions form one group.
#[test]
fn other_groups_have_another_law() {
    let joint = TabularJoint::random(4, 2, 0.5, 7).unwrap();
    let law = law(&generator(&joint, 1, together(Dilated::new(3).unwrap())), &joint);
    assert!(law.total_variation(&joint.product_of_marginals()) < ZERO);
    assert!(law.total_variation(&stepwise(&joint, &[0, 1, 0, 1])) > 0.01);
}
