//! Where tokens are revealed: each order against its definition.

mod common;

use std::sync::Arc;

use common::{Reveals, blank, generator, parity};
use conjoint_core::draw::Argmax;
use conjoint_core::filter::Temperature;
use conjoint_core::order::{
    CertaintyPrior, Entropy, LeftToRight, Margin, MaxProb, PcSampler, PlackettLuce, Random, Raw,
};
use conjoint_core::strategy::Strategy as Unmasking;
use conjoint_core::unmasker::{LearnedJoint, Marginal};
use conjoint_core::{Order, TokenId};
use conjoint_testkit::{Enumerator, ExactRefiner, TabularJoint};
use proptest::prelude::*;

/// The score of a position and its row [V] on a canvas of these tokens, the highest being revealed first.
type Score = fn(usize, &[f64], &[TokenId]) -> f64;

/// Orders without randomness, with their definitions for 3 symbols.
fn orders() -> [(&'static str, Arc<dyn Order>, Score); 8] {
    fn largest(row: &[f64]) -> [f64; 2] {
        let mut sorted = row.to_vec();
        sorted.sort_by(|a, b| b.total_cmp(a));
        [sorted[0], sorted[1]]
    }
    fn certainty(row: &[f64]) -> f64 {
        row.iter().filter(|&&p| p > 0.0).map(|p| p * p.ln()).sum()
    }
    [
        ("entropy", Arc::new(Entropy), |_, row, _| certainty(row)),
        ("margin", Arc::new(Margin), |_, row, _| largest(row)[0] - largest(row)[1]),
        ("max prob", Arc::new(MaxProb), |_, row, _| largest(row)[0]),
        ("left to right", Arc::new(LeftToRight), |position, _, _| -(position as f64)),
        ("raw entropy", Arc::new(Raw(Entropy)), |_, row, _| certainty(row)),
        ("raw max prob", Arc::new(Raw(MaxProb)), |_, row, _| largest(row)[0]),
        ("PC-sampler", Arc::new(PcSampler::new(&[16, 3, 1]).unwrap()), |position, row, _| {
            let top = (0..3).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
            let surprise: f64 = -row[top] * [0.8, 0.15, 0.05_f64][top].ln();
            (-0.25 * position as f64).exp() * surprise.min(10.0)
        }),
        ("certainty prior", Arc::new(CertaintyPrior::new(2.0).unwrap()), |position, row, seen| {
            let mut density = 0.0;
            for distance in -20..=20_i32 {
                let at = position as i32 + distance;
                // Left of the sequence all is known, right of it what the last position is.
                let known = at < 0 || seen[(at as usize).min(seen.len() - 1)] < 3;
                density += f64::from(u8::from(known)) * (-f64::from(distance).powi(2) / 8.0).exp();
            }
            largest(row)[0] * density
        }),
    ]
}

/// The positions revealed, first to last, and the tokens.
fn reveals(
    joint: &TabularJoint,
    k: usize,
    strategy: impl Into<Unmasking>,
) -> Vec<(usize, TokenId)> {
    let mut reveals = Reveals::default();
    generator(joint, k, strategy).run(vec![blank(joint)], &mut reveals).unwrap();
    reveals.0.iter().map(|reveal| (reveal.position, reveal.token)).collect()
}

proptest! {
    #![proptest_config(common::cases(64))]

    /// Rows are those of the last forward, or, refined, those of the last reveal.
    #[test]
    fn the_best_positions_are_revealed_from_the_best_down(
        k in 1usize..=4, refined: bool, alpha in 0.2f64..2.0, seed: u64,
    ) {
        let joint = TabularJoint::random(4, 3, alpha, seed).unwrap();
        for (name, order, score) in orders() {
            let told = if refined {
                reveals(&joint, k, LearnedJoint::new(ExactRefiner).order(order))
            } else {
                reveals(&joint, k, Marginal::new(order))
            };
            let (mut seen, mut now) = (joint.masked(), joint.masked());
            for (i, (position, token)) in told.into_iter().enumerate() {
                if refined || i % k == 0 {
                    seen.clone_from(&now);
                }
                let score = |p: usize| score(p, &joint.conditional(&seen, p).unwrap(), &seen);
                for other in (0..4).filter(|&p| now[p] == joint.mask()) {
                    prop_assert!(score(position) >= score(other) - 1e-6, "{name}, reveal {i}");
                }
                now[position] = token;
            }
        }
    }
}

/// All rows of the parity joint are equal until two bits are known: the leftmost comes first.
#[test]
fn the_leftmost_among_equals() {
    for (name, order, _) in orders() {
        for k in 1..=3 {
            let told = reveals(&parity(), k, Marginal::new(order.clone()));
            let positions: Vec<usize> = told.into_iter().map(|(position, _)| position).collect();
            assert_eq!(positions, [0, 1, 2], "{name}, K = {k}");
        }
    }
}

/// Every order of the positions is as probable as any other.
#[test]
fn random_order_is_uniform_over_permutations() {
    let joint = TabularJoint::random(3, 2, 0.5, 6).unwrap();
    for k in 1..=3 {
        let generator = generator(&joint, k, Marginal::new(Random));
        let permutations = Enumerator::default().law_of(|stream| {
            let mut reveals = Reveals::default();
            let replaying = generator.clone().streams(move |_| Box::new(stream.clone()));
            replaying.run(vec![blank(&joint)], &mut reveals)?;
            Ok(reveals.0.iter().map(|reveal| reveal.position as TokenId).collect())
        });
        let permutations = permutations.unwrap();
        assert_eq!(permutations.len(), 6);
        assert!(permutations.iter().all(|(_, p)| (p - 1.0 / 6.0).abs() < 1e-9), "K = {k}");
    }
}

/// At a low temperature two filtered rows are alike, both all but certain; raw rows still differ.
#[test]
fn raw_orders_do_not_saturate() {
    // Independent: position 0 is 60 : 40, position 1 is 90 : 10.
    let joint = TabularJoint::new(2, 2, &[0.54, 0.06, 0.36, 0.04]).unwrap();
    let first = |order: Arc<dyn Order>| {
        let cold =
            generator(&joint, 1, Marginal::new(order)).filter(Temperature::new(0.01).unwrap());
        let mut reveals = Reveals::default();
        cold.run(vec![blank(&joint)], &mut reveals).unwrap();
        reveals.0[0].position
    };
    for raw in
        [Arc::new(Raw(MaxProb)) as Arc<dyn Order>, Arc::new(Raw(Entropy)), Arc::new(Raw(Margin))]
    {
        assert_eq!(first(raw), 1);
    }
    assert_eq!(first(Arc::new(MaxProb)), 0);
}

/// All at once, the permutations have the Plackett–Luce law of softmax(score / τ).
#[test]
fn a_randomised_order_is_a_lottery_of_scores() {
    // Independent rows, from nearly certain to nearly uniform.
    let rows = [[0.98, 0.01, 0.01], [0.6, 0.2, 0.2], [0.34, 0.33, 0.33]];
    let weights: Vec<f64> =
        (0..27).map(|x| rows[0][x / 9] * rows[1][x / 3 % 3] * rows[2][x % 3]).collect();
    let joint = TabularJoint::new(3, 3, &weights).unwrap();
    let permutations = |order: Arc<dyn Order>| {
        let generator = generator(&joint, 3, Marginal::new(order)).draw(Argmax);
        let law = Enumerator::default().law_of(|stream| {
            let mut reveals = Reveals::default();
            let replaying = generator.clone().streams(move |_| Box::new(stream.clone()));
            replaying.run(vec![blank(&joint)], &mut reveals)?;
            Ok(reveals.0.iter().map(|reveal| reveal.position as TokenId).collect())
        });
        law.unwrap()
    };
    let weight = |temperature: f64, row: &[f64; 3]| {
        (row.iter().map(|p| p * p.ln()).sum::<f64>() / temperature).exp()
    };
    for temperature in [0.2, 1.0] {
        let randomised = Arc::new(PlackettLuce::new(Entropy, temperature).unwrap());
        let law = permutations(randomised);
        let w = rows.each_ref().map(|row| weight(temperature, row));
        for [a, b, c] in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let expected = w[a] / (w[a] + w[b] + w[c]) * w[b] / (w[b] + w[c]);
            let got = law.probability(&[a, b, c].map(|i| i as TokenId));
            assert!((got - expected).abs() < 1e-6, "{a} {b} {c}: {got}, expected {expected}");
        }
        assert!(law.total_variation(&permutations(Arc::new(Random))) > 0.05);
        let other = Arc::new(PlackettLuce::new(Margin, temperature).unwrap());
        assert!(law.total_variation(&permutations(other)) > 0.01);
    }
}
