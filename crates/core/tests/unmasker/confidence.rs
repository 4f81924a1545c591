//! `Confidence`: the law of its definition, which is not the joint.

use crate::common::{ZERO, blank, cases, distance, generator, law};
use conjoint_core::TokenId;
use conjoint_core::draw::Argmax;
use conjoint_core::order::MaxProb;
use conjoint_core::unmasker::{Confidence, Marginal, Score};
use conjoint_testkit::{Law, TabularJoint, exact_law};
use proptest::prelude::*;

/// The law of drawing everywhere and keeping the most confident token, the leftmost of equals, one token a step. It is
/// computed over every combination of draws at every canvas.
fn confidence_law(joint: &TabularJoint) -> Law {
    let mut law = Law::default();
    keep_most_confident(joint, joint.masked(), 1.0, &mut law);
    law
}

fn keep_most_confident(joint: &TabularJoint, tokens: Vec<TokenId>, reached: f64, law: &mut Law) {
    let masked: Vec<usize> = (0..tokens.len()).filter(|&i| tokens[i] == joint.mask()).collect();
    if masked.is_empty() {
        return law.add(tokens, reached);
    }
    let rows: Vec<Vec<f64>> =
        masked.iter().map(|&i| joint.conditional(&tokens, i).unwrap()).collect();
    for mut combination in 0..joint.symbols().pow(masked.len() as u32) {
        let (mut probability, mut best, mut most) = (reached, (0, 0), 0.0);
        for (row, &position) in rows.iter().zip(&masked) {
            let token = combination % joint.symbols();
            combination /= joint.symbols();
            probability *= row[token];
            if row[token] > most {
                (best, most) = ((position, token as TokenId), row[token]);
            }
        }
        if probability > 0.0 {
            let mut next = tokens.clone();
            next[best.0] = best.1;
            keep_most_confident(joint, next, probability, law);
        }
    }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn is_as_defined(
        length in 1usize..=3, symbols in 2usize..=3, alpha in 0.2f64..2.0, seed: u64,
    ) {
        let joint = TabularJoint::random(length, symbols, alpha, seed).unwrap();
        let expected = confidence_law(&joint);
        for score in [Score::Raw, Score::Filtered] {
            let law = law(&generator(&joint, 1, Confidence::new(score)), &joint);
            prop_assert!(law.total_variation(&expected) < ZERO, "{score:?}");
        }
    }

    /// With argmax draws both have the same single sequence.
    #[test]
    fn with_argmax_draws_it_is_max_prob_order(alpha in 0.2f64..2.0, seed: u64, k in 1usize..=3) {
        let joint = TabularJoint::random(3, 3, alpha, seed).unwrap();
        let confidence = generator(&joint, k, Confidence::default()).draw(Argmax);
        let marginal = generator(&joint, k, Marginal::new(MaxProb)).draw(Argmax);
        let one = law(&confidence, &joint);
        prop_assert_eq!(one.len(), 1);
        prop_assert_eq!(one, law(&marginal, &joint));
    }
}

/// The distance that the docs quote: over joints of 3 tokens over 3 symbols drawn from Dirichlet(0.3), the mean total
/// variation is 0.35 with one token a step.
#[test]
fn distance_quoted_in_the_docs() {
    let distance = |seed| {
        let joint = TabularJoint::random(3, 3, 0.3, seed).unwrap();
        joint.total_variation(&law(&generator(&joint, 1, Confidence::default()), &joint))
    };
    assert!((distance(7) - 0.3822).abs() < 1e-4, "{}", distance(7));
    let mean = (0..100).map(distance).sum::<f64>() / 100.0;
    assert!((mean - 0.35).abs() < 0.02, "{mean}");
}

#[test]
fn probabilities_known_by_hand() {
    // One biased bit: with a single position there is no choice of position, and so no bias.
    let bit = TabularJoint::new(1, 2, &[0.9, 0.1]).unwrap();
    assert!(distance(&generator(&bit, 1, Confidence::default()), &bit, &[2]) < ZERO);
    // Two such bits, independent: confidence keeps a 0 unless both drew 1, p(first kept is 1) =
    // 0.01; the other bit is then drawn anew, so p(1, 1) = 0.01 · 0.1 and p(0, 0) = 0.99 · 0.9.
    let bits = TabularJoint::new(2, 2, &[0.81, 0.09, 0.09, 0.01]).unwrap();
    let law = exact_law(&generator(&bits, 1, Confidence::default()), &blank(&bits)).unwrap();
    assert!((law.probability(&[1, 1]) - 0.001).abs() < ZERO);
    assert!((law.probability(&[0, 0]) - 0.891).abs() < ZERO);
}
