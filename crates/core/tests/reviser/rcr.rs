//! RCR: the law of its definition, and what it reads of the rows.

use crate::common::moves::{OnlyOneAtFirst, SURE, UNSURE, greedy, moves, rising_rows};
use crate::common::process::keep_best_law;
use crate::common::{ZERO, cases, generator, law};
use conjoint_core::schedule::{Linear, LladaEven};
use conjoint_core::unmasker::{Confidence, Score};
use conjoint_core::{Canvas, strategy};
use conjoint_testkit::{Law, TabularJoint};
use proptest::prelude::*;

/// One token a step.
fn rcr_law(joint: &TabularJoint) -> Law {
    let n = joint.length();
    keep_best_law(joint, n, |i| n - i - 1, |state, position| state.recall(position).ln())
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn is_as_defined(symbols in 2usize..=3, alpha in 0.2f64..2.0, seed: u64) {
        let joint = TabularJoint::random(3, symbols, alpha, seed).unwrap();
        let law = law(&generator(&joint, 1, strategy::rcr(Score::Filtered)), &joint);
        prop_assert!(law.total_variation(&rcr_law(&joint)) < ZERO);
    }
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn all_at_once_is_the_product_of_marginals(alpha in 0.2f64..2.0, seed: u64) {
        let joint = TabularJoint::random(3, 3, alpha, seed).unwrap();
        let generator = generator(&joint, 1, strategy::rcr(Score::Filtered));
        let law = law(&generator.schedule(LladaEven::new(1).unwrap()), &joint);
        prop_assert!(law.total_variation(&joint.product_of_marginals()) < ZERO);
    }
}

#[test]
fn a_sampler_without_revocation_is_detected() {
    let joint = TabularJoint::random(3, 3, 0.3, 11).unwrap();
    let confidence = generator(&joint, 1, Confidence::new(Score::Filtered));
    let confidence = law(&confidence.schedule(LladaEven::new(3).unwrap()), &joint);
    let distance = confidence.total_variation(&rcr_law(&joint));
    assert!(distance > 0.01, "{distance}");
}

/// Position 0 is revealed with 0.6. In the next step the others' rows give 0.65, so it is remasked.
#[test]
fn revealed_tokens_keep_the_score_of_their_draw() {
    let generator = greedy(rising_rows, strategy::rcr(Score::Filtered));
    let moves = moves(&generator.schedule(Linear::new(3).unwrap()), 3).0;
    assert_eq!((&moves.revealed[0], &moves.revoked[1]), (&vec![0], &vec![0]));
}

/// Among equals revealed tokens stay, and the leftmost of the others is revealed first.
#[test]
fn among_equals_the_leftmost_is_first() {
    let generator = greedy(|_, _| UNSURE, strategy::rcr(Score::Filtered));
    let moves = moves(&generator.schedule(Linear::new(3).unwrap()), 3).0;
    assert_eq!(moves.revealed, [[0], [1], [2]]);
    assert_eq!(moves.revoked, [[0; 0]; 3]);
}

/// Position 0 is the least certain by the model's row and the most certain by the filtered one.
#[test]
fn scores_are_those_of_the_chosen_rows() {
    let rows = |_: &Canvas, position: usize| if position == 0 { UNSURE } else { SURE };
    let revealed = |score: Score| {
        let generator = greedy(rows, strategy::rcr(score)).filter(OnlyOneAtFirst);
        moves(&generator.schedule(LladaEven::new(3).unwrap()), 3).0.revealed
    };
    assert_eq!(revealed(Score::Filtered), [[0], [1], [2]]);
    assert_eq!(revealed(Score::Raw), [[1], [2], [0]]);
}
