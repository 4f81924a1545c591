//! `CertaintyPrior`: the largest probability times the density of known tokens nearby.

use crate::definition::{assert_follows, assert_leftmost_first, two_largest};
use conjoint_core::order::CertaintyPrior;

#[test]
fn follows_its_definition() {
    let order = CertaintyPrior::new(2.0).unwrap();
    assert_leftmost_first(order);
    assert_follows(order, |position, row, seen| {
        let mut density = 0.0;
        for distance in -20..=20_i32 {
            let at = position as i32 + distance;
            // Positions left of the sequence are known. Those right of it are known if the last position is.
            let known = at < 0 || seen[(at as usize).min(seen.len() - 1)] < 3;
            density += f64::from(u8::from(known)) * (-f64::from(distance).powi(2) / 8.0).exp();
        }
        two_largest(row)[0] * density
    });
}
