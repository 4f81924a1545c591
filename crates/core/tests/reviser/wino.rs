//! WINO: the law of its definition, its thresholds and caps, and what it reads of the rows.

use crate::common::moves::{SURE, UNSURE, counts, greedy, log_odds, moves, probability};
use crate::common::process::{Draw, State};
use crate::common::process::{above, draws, evolve, probability_given_others, split};
use crate::common::{ZERO, cases, generator, law};
use conjoint_core::filter::Temperature;
use conjoint_core::unmasker::{Confidence, Score};
use conjoint_core::{Canvas, strategy};
use conjoint_testkit::{Law, TabularJoint};
use proptest::prelude::*;

/// WINO from its definition. `recall(0)` is the number of tokens that the step before revealed.
fn wino_law(joint: &TabularJoint, reveal: f64, keep: f64) -> Law {
    let step = |_: usize, state: &State| {
        let (masked, known) = split(joint, &state.tokens);
        let after = |(drawn, p): (Vec<Draw>, f64)| {
            let mut next = state.clone();
            let revealed = above(&drawn, reveal);
            let with_probability = |&position: &usize| {
                (probability_given_others(joint, &state.tokens, position), position)
            };
            let mut improbable: Vec<_> =
                known.iter().map(with_probability).filter(|&(p, _)| p < keep).collect();
            improbable.sort_by(|a, b| a.partial_cmp(b).unwrap());
            let most = state.recall(0) as usize;
            if revealed.len() > 1 {
                for &(_, position) in improbable.iter().take(most.saturating_sub(1)) {
                    next.tokens[position] = joint.mask();
                }
            }
            revealed.iter().for_each(|draw| next.tokens[draw.position] = draw.token);
            next.remember(0, revealed.len() as f64);
            (next, p)
        };
        match masked.is_empty() {
            true => vec![(state.clone(), 1.0)],
            false => draws(joint, &state.tokens, &masked).into_iter().map(after).collect(),
        }
    };
    evolve(joint, joint.length(), &step)
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn is_as_defined(
        reveal in 0.0f64..1.0, keep in 0.0f64..=1.0, alpha in 0.2f64..2.0, seed: u64,
    ) {
        let joint = TabularJoint::random(4, 2, alpha, seed).unwrap();
        let law = law(&generator(&joint, 1, strategy::wino(reveal, keep).unwrap()), &joint);
        prop_assert!(law.total_variation(&wino_law(&joint, reveal, keep)) < ZERO);
    }
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn without_revocation_it_is_the_threshold_sampler(
        reveal in 0.0f64..1.0, alpha in 0.2f64..2.0, seed: u64,
    ) {
        let joint = TabularJoint::random(3, 3, alpha, seed).unwrap();
        let law = law(&generator(&joint, 1, strategy::wino(reveal, 0.0).unwrap()), &joint);
        prop_assert!(law.total_variation(&wino_law(&joint, reveal, 0.0)) < ZERO);
    }

    #[test]
    fn with_a_reveal_threshold_of_one_it_is_confidence(keep in 0.0f64..=1.0, seed: u64) {
        let joint = TabularJoint::random(3, 3, 0.5, seed).unwrap();
        let confidence = law(&generator(&joint, 1, Confidence::new(Score::Raw)), &joint);
        let wino = law(&generator(&joint, 1, strategy::wino(1.0, keep).unwrap()), &joint);
        prop_assert!(wino.total_variation(&confidence) < ZERO);
    }

    #[test]
    fn all_at_once_is_the_product_of_marginals(alpha in 0.2f64..2.0, seed: u64) {
        let joint = TabularJoint::random(3, 3, alpha, seed).unwrap();
        let law = law(&generator(&joint, 1, strategy::wino(0.0, 1.0).unwrap()), &joint);
        prop_assert!(law.total_variation(&joint.product_of_marginals()) < ZERO);
    }
}

/// Nearly always exactly one of three bits is 1. Independent draws give three 0s in 8 of 27 cases. Two further bits are
/// determined by these three. They become certain in the second step, both at once.
fn one_of_three() -> TabularJoint {
    let mut weights = vec![0.0; 32];
    for (sequence, weight) in
        [(0b10011, 2.0), (0b01000, 2.0), (0b00100, 1.0), (0b00111, 1.0), (0b00000, 0.06)]
    {
        weights[sequence] = weight;
    }
    TabularJoint::new(5, 2, &weights).unwrap()
}

/// With its own position masked, each of the three 0s is improbable. Two are remasked and drawn anew.
#[test]
fn repairs_independent_draws() {
    let joint = one_of_three();
    let all_zero = |keep: f64| -> f64 {
        let law = law(&generator(&joint, 1, strategy::wino(0.6, keep).unwrap()), &joint);
        law.iter().filter(|(x, _)| x[..3] == [0, 0, 0]).map(|(_, p)| p).sum()
    };
    assert!(all_zero(0.0) > 0.25 && all_zero(0.9) < 0.05, "{} {}", all_zero(0.0), all_zero(0.9));
}

#[test]
fn broken_variants_are_detected() {
    let joint = one_of_three();
    let right = wino_law(&joint, 0.6, 0.9);
    for (reveal, keep) in [(0.6, 0.0), (0.6, 0.01), (0.3, 0.9)] {
        let wrong = law(&generator(&joint, 1, strategy::wino(reveal, keep).unwrap()), &joint);
        let distance = wrong.total_variation(&right);
        assert!(distance > 0.01, "{reveal} {keep}: {distance}");
    }
}

/// A probability equal to a threshold is neither above nor below it.
#[test]
fn thresholds_are_strict() {
    let p = probability(UNSURE);
    let steps = |reveal: f64| {
        let wino = strategy::wino(reveal, 0.0).unwrap();
        counts(&moves(&greedy(|_, _| UNSURE, wino), 4).0.revealed)
    };
    assert_eq!((steps(p), steps(p - 1e-9)), (vec![1; 4], vec![4]));

    // The first step reveals five of eight. The second one may revoke four of them.
    let revoked = |keep: f64| {
        let wino = strategy::wino(0.5, keep).unwrap();
        counts(&moves(&greedy(|_, _| UNSURE, wino), 8).0.revoked)[1]
    };
    assert_eq!((revoked(p), revoked(p + 1e-9)), (0, 4));
}

/// At most ⌊0.7 m⌋ of m masked positions, clamped to 5 … 20.
#[test]
fn reveals_at_most_its_cap() {
    let steps = |length: usize| {
        let wino = strategy::wino(0.6, 0.0).unwrap();
        counts(&moves(&greedy(|_, _| SURE, wino), length).0.revealed)
    };
    assert_eq!(steps(4), [4]);
    assert_eq!(steps(5), [5]);
    assert_eq!(steps(8), [5, 3]);
    assert_eq!(steps(10), [7, 3]);
    assert_eq!(steps(20), [14, 5, 1]);
    assert_eq!(steps(29), [20, 6, 3]);
    assert_eq!(steps(40), [20, 14, 5, 1]);
}

#[test]
fn reveals_one_position_if_none_is_above_the_threshold() {
    let rows = |_: &Canvas, position: usize| log_odds(if position < 2 { 0.9 } else { 0.5 });
    let steps = moves(&greedy(rows, strategy::wino(0.95, 0.0).unwrap()), 8).0.revealed;
    assert_eq!(counts(&steps), [1; 8]);
}

/// Once a position is known the model prefers 0s, so all 1s of the first step are equally improbable. The second step
/// may revoke one fewer than the first step revealed: the leftmost.
#[test]
fn revokes_the_leftmost_of_equals() {
    let rows = |canvas: &Canvas, _: usize| match canvas.revealed().next() {
        Some(_) => [6.0, 0.0],
        None => SURE,
    };
    let (moves, tokens) = moves(&greedy(rows, strategy::wino(0.6, 0.9).unwrap()), 8);
    assert_eq!(moves.revealed, [vec![0, 1, 2, 3, 4], vec![5, 6, 7], vec![0, 1, 2, 3], vec![4]]);
    assert_eq!(moves.revoked, [vec![], vec![0, 1, 2, 3], vec![4], vec![]]);
    assert_eq!(tokens, [0; 8]);
}

/// A step that follows a single reveal may revoke nothing, so it queries nothing.
#[test]
fn queries_only_rows_that_it_may_revoke() {
    let wino = strategy::wino(1.0, 0.9).unwrap();
    assert_eq!(moves(&greedy(|_, _| UNSURE, wino), 4).0.forwards, [1; 4]);
}

/// At a temperature of 0.2 a probability of 0.73 becomes 0.99. WINO reads the model's rows.
#[test]
fn reads_raw_rows() {
    let sharp = |reveal: f64, keep: f64| {
        let wino = strategy::wino(reveal, keep).unwrap();
        let generator = greedy(|_, _| UNSURE, wino).filter(Temperature::new(0.2).unwrap());
        moves(&generator, 8).0
    };
    assert_eq!(counts(&sharp(0.9, 0.0).revealed), [1; 8]);
    assert_eq!(counts(&sharp(0.6, 0.9).revoked)[..2], [0, 4]);
}
