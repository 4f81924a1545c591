//! `TopP`: the law of truncated rows.

use crate::common::cases;
use crate::truncation::{assert_law, truncated};
use conjoint_core::filter::TopP;
use conjoint_testkit::TabularJoint;
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn is_as_defined(p in 0.2f64..0.95, alpha in 0.3f64..2.0, seed: u64) {
        let joint = TabularJoint::random(3, 3, alpha, seed).unwrap();
        let rule = truncated(move |_, before, _, _| before <= p);
        assert_law(&joint, TopP::new(p).unwrap(), &[rule]);
    }
}
