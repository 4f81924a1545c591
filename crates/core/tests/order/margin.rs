//! `Margin`: the largest difference of the two largest probabilities first.

use crate::definition::{assert_follows, assert_leftmost_first, two_largest};
use conjoint_core::order::Margin;

#[test]
fn follows_its_definition() {
    assert_follows(Margin, |_, row, _| two_largest(row)[0] - two_largest(row)[1]);
    assert_leftmost_first(Margin);
}
