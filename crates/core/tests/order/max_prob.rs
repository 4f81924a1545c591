//! `MaxProb`: the largest probability first.

use crate::definition::{assert_follows, assert_leftmost_first, two_largest};
use conjoint_core::order::MaxProb;

#[test]
fn follows_its_definition() {
    assert_follows(MaxProb, |_, row, _| two_largest(row)[0]);
    assert_leftmost_first(MaxProb);
}
