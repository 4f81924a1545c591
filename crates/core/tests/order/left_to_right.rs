//! `LeftToRight`: the leftmost first.

use crate::definition::{assert_follows, assert_leftmost_first};
use conjoint_core::order::LeftToRight;

#[test]
fn follows_its_definition() {
    assert_follows(LeftToRight, |position, _, _| -(position as f64));
    assert_leftmost_first(LeftToRight);
}
