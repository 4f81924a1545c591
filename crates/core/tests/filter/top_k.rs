//! `TopK`: the law of truncated rows.

use crate::common::cases;
use crate::truncation::{assert_law, truncated};
use conjoint_core::filter::TopK;
use conjoint_testkit::TabularJoint;
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn is_as_defined(k in 1usize..=3, alpha in 0.3f64..2.0, seed: u64) {
        let joint = TabularJoint::random(3, 3, alpha, seed).unwrap();
        let rule = truncated(move |i, _, _, _| i < k);
        assert_law(&joint, TopK::new(k).unwrap(), &[rule]);
    }
}
