//! Where tokens are revealed: each order against its definition.

mod common;

use std::sync::Arc;

use common::{Reveals, blank, generator, parity};
use conjoint_core::order::{Entropy, LeftToRight, Margin, MaxProb, Random};
use conjoint_core::unmasker::{LearnedJoint, Marginal, Strategy as Unmasking};
use conjoint_core::{Order, TokenId};
use conjoint_testkit::{Enumerator, ExactRefiner, TabularJoint};
use proptest::prelude::*;

/// The score of a position and its row [V], the highest being revealed first.
type Score = fn(usize, &[f64]) -> f64;

fn orders() -> [(&'static str, Arc<dyn Order>, Score); 4] {
    fn largest(row: &[f64]) -> [f64; 2] {
        let mut sorted = row.to_vec();
        sorted.sort_by(|a, b| b.total_cmp(a));
        [sorted[0], sorted[1]]
    }
    [
        ("entropy", Arc::new(Entropy), |_, row| {
            row.iter().filter(|&&p| p > 0.0).map(|p| p * p.ln()).sum()
        }),
        ("margin", Arc::new(Margin), |_, row| largest(row)[0] - largest(row)[1]),
        ("max prob", Arc::new(MaxProb), |_, row| largest(row)[0]),
        ("left to right", Arc::new(LeftToRight), |position, _| -(position as f64)),
    ]
}

/// The positions revealed, first to last, and the tokens.
fn reveals(joint: &TabularJoint, k: usize, strategy: impl Unmasking) -> Vec<(usize, TokenId)> {
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
                let score = |p: usize| score(p, &joint.conditional(&seen, p).unwrap());
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
