//! `MinLength`: a constraint on the first positions.

use crate::common::{ZERO, cases};
use crate::sequential::{filtered, random};
use conjoint_core::filter::{Constrain, MinLength};
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(32))]

    #[test]
    fn is_a_constraint_on_the_first_positions(alpha in 0.3f64..2.0, seed: u64, backwards: bool) {
        let joint = random(alpha, seed);
        let ends = filtered(&joint, MinLength::new(2, [2]), backwards);
        let free = Constrain::new([(0, [0, 1]), (1, [0, 1])]).unwrap();
        prop_assert!(ends.total_variation(&filtered(&joint, free, backwards)) < ZERO);
    }
}

proptest! {
    #![proptest_config(cases(32))]

    #[test]
    fn a_length_of_zero_changes_nothing(alpha in 0.3f64..2.0, seed: u64) {
        let joint = random(alpha, seed);
        let law = filtered(&joint, MinLength::new(0, [0]), false);
        prop_assert!(joint.total_variation(&law) < ZERO);
    }
}

#[test]
fn a_length_of_one_changes_the_law() {
    let joint = random(0.3, 5);
    assert!(joint.total_variation(&filtered(&joint, MinLength::new(1, [2]), false)) > 0.01);
}
