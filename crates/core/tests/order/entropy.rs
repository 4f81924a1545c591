//! `Entropy`: the lowest entropy first.

use crate::definition::{assert_follows, assert_leftmost_first, negative_entropy};
use conjoint_core::order::Entropy;

#[test]
fn follows_its_definition() {
    assert_follows(Entropy, |_, row, _| negative_entropy(row));
    assert_leftmost_first(Entropy);
}
