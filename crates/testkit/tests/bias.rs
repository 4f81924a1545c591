//! Strategies whose law is not the joint: it is the law that their docs claim, computed here by
//! hand.

mod common;

use common::{ZERO, blank, distance, generator, law, orders, parity};
use conjoint_core::TokenId;
use conjoint_core::draw::Argmax;
use conjoint_core::order::MaxProb;
use conjoint_core::unmasker::{Confidence, LearnedJoint, Marginal, Score};
use conjoint_testkit::{Law, NoisyRefiner, StaleRefiner, TabularJoint, exact_law};
use proptest::prelude::*;

fn entropy(p: &[f64]) -> f64 {
    -p.iter().filter(|&&p| p > 0.0).map(|p| p * p.ln()).sum::<f64>()
}

/// "Draw everywhere, keep the most confident, leftmost among equals", one token a step, from the
/// definition: every combination of draws at every canvas.
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

/// Two tokens a step over three positions in entropy order, from sums over the table alone: the two
/// positions of least entropy from their marginals, the third from its conditional given both.
fn two_then_one_law(joint: &TabularJoint) -> Law {
    let table = joint.law();
    let sum = |agrees: &dyn Fn(&[TokenId]) -> bool| -> f64 {
        table.iter().filter(|(x, _)| agrees(x)).map(|(_, p)| p).sum()
    };
    let marginal = |i: usize, token: TokenId| sum(&|x| x[i] == token);
    let entropy_of =
        |i: usize| entropy(&(0..joint.mask()).map(|token| marginal(i, token)).collect::<Vec<_>>());
    let last = (0..3).max_by(|&i, &j| entropy_of(i).total_cmp(&entropy_of(j))).unwrap();
    let (a, b) = ((last + 1) % 3, (last + 2) % 3);
    let two_then_one = |(x, p): (&[TokenId], f64)| {
        let both = sum(&|y| y[a] == x[a] && y[b] == x[b]);
        (x.to_vec(), marginal(a, x[a]) * marginal(b, x[b]) * p / both)
    };
    table.iter().map(two_then_one).collect()
}

proptest! {
    #![proptest_config(common::cases(64))]

    /// Also with a layer that learnt nothing, which re-ranks rows that do not change.
    #[test]
    fn all_at_once_is_the_product_of_marginals(
        length in 2usize..=3, symbols in 2usize..=3, alpha in 0.2f64..2.0, seed: u64,
    ) {
        let joint = TabularJoint::random(length, symbols, alpha, seed).unwrap();
        let product = joint.product_of_marginals();
        for (name, order) in orders() {
            let marginal = generator(&joint, length, Marginal::new(order.clone()));
            let stale = generator(&joint, length, LearnedJoint::new(StaleRefiner).order(order));
            for generator in [marginal, stale] {
                let law = law(&generator, &joint);
                prop_assert!(law.total_variation(&product) < ZERO, "{name}");
                let distance = joint.total_variation(&law);
                prop_assert!((distance - joint.total_variation(&product)).abs() < ZERO);
            }
        }
    }

    #[test]
    fn two_then_one(symbols in 2usize..=3, alpha in 0.2f64..2.0, seed: u64) {
        let joint = TabularJoint::random(3, symbols, alpha, seed).unwrap();
        let law = law(&generator(&joint, 2, Marginal::default()), &joint);
        prop_assert!(law.total_variation(&two_then_one_law(&joint)) < ZERO);
    }

    #[test]
    fn confidence_of_a_drawn_token(
        length in 1usize..=3, symbols in 2usize..=3, alpha in 0.2f64..2.0, seed: u64,
    ) {
        let joint = TabularJoint::random(length, symbols, alpha, seed).unwrap();
        let expected = confidence_law(&joint);
        for score in [Score::Raw, Score::Filtered] {
            let law = law(&generator(&joint, 1, Confidence::new(score)), &joint);
            prop_assert!(law.total_variation(&expected) < ZERO, "{score:?}");
        }
    }

    /// With argmax draws the two coincide: one branch, one sequence.
    #[test]
    fn greedy_confidence_is_max_prob_order(alpha in 0.2f64..2.0, seed: u64, k in 1usize..=3) {
        let joint = TabularJoint::random(3, 3, alpha, seed).unwrap();
        let confidence = generator(&joint, k, Confidence::default()).draw(Argmax);
        let marginal = generator(&joint, k, Marginal::new(MaxProb)).draw(Argmax);
        let one = law(&confidence, &joint);
        prop_assert_eq!(one.len(), 1);
        prop_assert_eq!(one, law(&marginal, &joint));
    }
}

/// The sizes that docs quote: over joints of 3 tokens over 3 symbols drawn from Dirichlet(0.3), the
/// mean total variation is 0.35 for confidence at K = 1, 0.45 for K = 3 at once, 0.20 for K = 2.
#[test]
fn known_distances() {
    let distances = |seed| {
        let joint = TabularJoint::random(3, 3, 0.3, seed).unwrap();
        let distance = |generator| joint.total_variation(&law(&generator, &joint));
        let marginal = |k| distance(generator(&joint, k, Marginal::default()));
        [distance(generator(&joint, 1, Confidence::default())), marginal(3), marginal(2)]
    };
    for (got, known) in distances(7).into_iter().zip([0.3822, 0.4649, 0.1516]) {
        assert!((got - known).abs() < 1e-4, "{got}, expected {known}");
    }
    let mut means = [0.0; 3];
    for seed in 0..100 {
        let add = |(mean, distance): (&mut f64, f64)| *mean += distance / 100.0;
        means.iter_mut().zip(distances(seed)).for_each(add);
    }
    for (mean, known) in means.into_iter().zip([0.35, 0.45, 0.20]) {
        assert!((mean - known).abs() < 0.02, "{mean}, expected {known}");
    }
}

/// Values that need no computer.
#[test]
fn distances_known_by_hand() {
    // All four pairs of bits equally likely against the two that agree.
    let coins = TabularJoint::new(2, 2, &[1.0, 0.0, 0.0, 1.0]).unwrap();
    let both = law(&generator(&coins, 2, Marginal::default()), &coins);
    assert!((coins.total_variation(&both) - 0.5).abs() < ZERO);
    // All eight triples against the four of even parity; with two at once the third repairs it.
    let parity = parity();
    for (k, expected) in [(1, 0.0), (2, 0.0), (3, 0.5)] {
        let at_once = law(&generator(&parity, k, Marginal::default()), &parity);
        assert!((parity.total_variation(&at_once) - expected).abs() < ZERO, "K = {k}");
    }
    // One biased bit: a single position has no choice of where, and so no bias.
    let bit = TabularJoint::new(1, 2, &[0.9, 0.1]).unwrap();
    assert!(distance(&generator(&bit, 1, Confidence::default()), &bit, &[2]) < ZERO);
    // Two such bits, independent: confidence keeps a 0 unless both drew 1, p(first kept is 1) =
    // 0.01; the other bit is then fresh, so p(1, 1) = 0.01 · 0.1 and p(0, 0) = 0.99 · 0.9.
    let bits = TabularJoint::new(2, 2, &[0.81, 0.09, 0.09, 0.01]).unwrap();
    let law = exact_law(&generator(&bits, 1, Confidence::default()), &blank(&bits)).unwrap();
    assert!((law.probability(&[1, 1]) - 0.001).abs() < ZERO);
    assert!((law.probability(&[0, 0]) - 0.891).abs() < ZERO);
}

/// The nearer the layer to the truth, the nearer the law: noise on the refined logits moves it
/// away.
#[test]
fn a_noisier_layer_is_further_off() {
    let joint = TabularJoint::random(3, 3, 0.5, 5).unwrap();
    let distances: Vec<f64> = [0.0, 0.3, 3.0]
        .map(|scale| {
            let layer = NoisyRefiner::new(scale, 1).unwrap();
            distance(&generator(&joint, 3, LearnedJoint::new(layer)), &joint, &joint.masked())
        })
        .into();
    assert!(distances[0] < ZERO, "{distances:?}");
    assert!(distances[1] > 0.01 && distances[2] > 2.0 * distances[1], "{distances:?}");
}
