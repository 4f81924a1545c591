//! Orders against their definitions.

use crate::common::{Reveals, blank, cases, generator, parity};
use conjoint_core::strategy::Strategy as Unmasking;
use conjoint_core::unmasker::{LearnedJoint, Marginal};
use conjoint_core::{Generator, Order, TokenId};
use conjoint_testkit::{Enumerator, ExactRefiner, Law, TabularJoint};
use proptest::prelude::*;

/// The score of a position from its row \[V\] and the tokens of the canvas. The highest score is revealed first.
pub type Score = fn(usize, &[f64], &[TokenId]) -> f64;

/// The two largest probabilities.
pub fn two_largest(row: &[f64]) -> [f64; 2] {
    let mut sorted = row.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    [sorted[0], sorted[1]]
}

/// −H in nats.
pub fn negative_entropy(row: &[f64]) -> f64 {
    row.iter().filter(|&&p| p > 0.0).map(|p| p * p.ln()).sum()
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

/// Fails unless each step reveals the positions with the highest scores first.
///
/// The rows are those of the last forward or, with a sampler layer, those of the last reveal.
pub fn assert_follows(order: impl Order + Clone + 'static, score: Score) {
    let sizes = (1usize..=4, any::<bool>(), 0.2f64..2.0, any::<u64>());
    proptest!(cases(64), |((k, refined, alpha, seed) in sizes)| {
        let joint = TabularJoint::random(4, 3, alpha, seed).unwrap();
        let reveals = if refined {
            reveals(&joint, k, LearnedJoint::new(ExactRefiner).order(order.clone()))
        } else {
            reveals(&joint, k, Marginal::new(order.clone()))
        };
        let (mut seen, mut now) = (joint.masked(), joint.masked());
        for (i, (position, token)) in reveals.into_iter().enumerate() {
            if refined || i % k == 0 {
                seen.clone_from(&now);
            }
            let score = |p: usize| score(p, &joint.conditional(&seen, p).unwrap(), &seen);
            for other in (0..4).filter(|&p| now[p] == joint.mask()) {
                prop_assert!(score(position) >= score(other) - 1e-6, "reveal {i}");
            }
            now[position] = token;
        }
    });
}

/// Fails unless the leftmost of equals is revealed first: all rows of the parity joint are equal until two bits are known.
pub fn assert_leftmost_first(order: impl Order + Clone + 'static) {
    for k in 1..=3 {
        let reveals = reveals(&parity(), k, Marginal::new(order.clone()));
        let positions: Vec<usize> = reveals.into_iter().map(|(position, _)| position).collect();
        assert_eq!(positions, [0, 1, 2], "K = {k}");
    }
}

/// The law of the permutations in which `generator` reveals the positions.
pub fn permutations(generator: &Generator, joint: &TabularJoint) -> Law {
    let law = Enumerator::default().law_of(|stream| {
        let mut reveals = Reveals::default();
        let replaying = generator.clone().streams(move |_| Box::new(stream.clone()));
        replaying.run(vec![blank(joint)], &mut reveals)?;
        Ok(reveals.0.iter().map(|reveal| reveal.position as TokenId).collect())
    });
    law.unwrap()
}
