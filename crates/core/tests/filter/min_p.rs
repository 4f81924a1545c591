//! `MinP`: the law of truncated rows.

use crate::common::cases;
use crate::truncation::{assert_law, truncated};
use conjoint_core::filter::MinP;
use conjoint_testkit::TabularJoint;
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn is_as_defined(m in 0.05f64..0.9, alpha in 0.3f64..2.0, seed: u64) {
        let joint = TabularJoint::random(3, 3, alpha, seed).unwrap();
        let rule = truncated(move |_, _, p, most| p >= m * most);
        assert_law(&joint, MinP::new(m).unwrap(), &[rule]);
    }
}
