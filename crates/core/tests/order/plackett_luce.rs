//! `PlackettLuce`: permutations have the Plackett–Luce law of softmax(score / τ).

use std::sync::Arc;

use crate::common::generator;
use crate::definition::{negative_entropy, permutations};
use conjoint_core::draw::Argmax;
use conjoint_core::order::{Entropy, Margin, PlackettLuce, Random};
use conjoint_core::unmasker::Marginal;
use conjoint_core::{Order, TokenId};
use conjoint_testkit::TabularJoint;

#[test]
fn permutations_have_the_plackett_luce_law() {
    // Independent rows, from nearly certain to nearly uniform.
    let rows = [[0.98, 0.01, 0.01], [0.6, 0.2, 0.2], [0.34, 0.33, 0.33]];
    let weights: Vec<f64> =
        (0..27).map(|x| rows[0][x / 9] * rows[1][x / 3 % 3] * rows[2][x % 3]).collect();
    let joint = TabularJoint::new(3, 3, &weights).unwrap();
    let law_of = |order: Arc<dyn Order>| {
        permutations(&generator(&joint, 3, Marginal::new(order)).draw(Argmax), &joint)
    };
    for temperature in [0.2, 1.0] {
        let law = law_of(Arc::new(PlackettLuce::new(Entropy, temperature).unwrap()));
        let w = rows.each_ref().map(|row| (negative_entropy(row) / temperature).exp());
        for [a, b, c] in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let expected = w[a] / (w[a] + w[b] + w[c]) * w[b] / (w[b] + w[c]);
            let got = law.probability(&[a, b, c].map(|i| i as TokenId));
            assert!((got - expected).abs() < 1e-6, "{a} {b} {c}: {got}, expected {expected}");
        }
        assert!(law.total_variation(&law_of(Arc::new(Random))) > 0.05);
        let other = Arc::new(PlackettLuce::new(Margin, temperature).unwrap());
        assert!(law.total_variation(&law_of(other)) > 0.01);
    }
}
