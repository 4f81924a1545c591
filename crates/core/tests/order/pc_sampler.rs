//! `PcSampler`: position weight times clipped surprise.

use crate::definition::{assert_follows, assert_leftmost_first};
use conjoint_core::order::PcSampler;

#[test]
fn follows_its_definition() {
    let order = PcSampler::new(&[16, 3, 1]).unwrap();
    assert_leftmost_first(order.clone());
    assert_follows(order, |position, row, _| {
        let top = (0..3).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
        let surprise: f64 = -row[top] * [0.8, 0.15, 0.05_f64][top].ln();
        (-0.25 * position as f64).exp() * surprise.min(10.0)
    });
}
