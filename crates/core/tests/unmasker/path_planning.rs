//! `PathPlanning` (P2): the law of its definition, and what it reads of the rows.

use crate::common::moves::{OnlyOneAtFirst, SURE, UNSURE, greedy, moves, rising_rows};
use crate::common::process::State;
use crate::common::process::{keep_best_law, probability_given_others};
use crate::common::{ZERO, blank, cases, law, oracle, scheduled};
use conjoint_core::schedule::{Linear, LladaEven};
use conjoint_core::strategy::Strategy;
use conjoint_core::unmasker::{Confidence, PathPlanning, Score};
use conjoint_core::{Canvas, Error, Generator};
use conjoint_testkit::{Law, TabularJoint};
use proptest::prelude::*;

/// The law of an unmasker over S even steps.
fn law_in(joint: &TabularJoint, steps: usize, unmasker: impl Into<Strategy>) -> Law {
    let schedule = LladaEven::new(steps).unwrap();
    law(&scheduled(&Generator::new(oracle(joint)).unmasker(unmasker), schedule), joint)
}

fn p2_law(joint: &TabularJoint, steps: usize, eta: f64) -> Law {
    let n = joint.length();
    let score = |state: &State, position: usize| match eta {
        0.0 => 0.0,
        eta => eta * probability_given_others(joint, &state.tokens, position).ln(),
    };
    keep_best_law(joint, steps, |i| n * (steps - i - 1) / steps, score)
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn is_as_defined(
        steps in 1usize..=4, eta in prop_oneof![Just(0.0), 0.2f64..4.0], alpha in 0.2f64..2.0, seed: u64,
    ) {
        let joint = TabularJoint::random(3, 2, alpha, seed).unwrap();
        let law = law_in(&joint, steps, PathPlanning::new(eta).unwrap());
        prop_assert!(law.total_variation(&p2_law(&joint, steps, eta)) < ZERO);
    }

    #[test]
    fn without_revocation_it_is_confidence(seed: u64) {
        let joint = TabularJoint::random(4, 2, 0.5, seed).unwrap();
        for steps in [1, 2, 4] {
            let p2 = law_in(&joint, steps, PathPlanning::new(0.0).unwrap());
            let confidence = law_in(&joint, steps, Confidence::new(Score::Filtered));
            prop_assert!(p2.total_variation(&confidence) < ZERO, "{} steps", steps);
        }
    }
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn one_step_is_the_product_of_marginals(alpha in 0.2f64..2.0, seed: u64) {
        let joint = TabularJoint::random(3, 3, alpha, seed).unwrap();
        let law = law_in(&joint, 1, PathPlanning::default());
        prop_assert!(law.total_variation(&joint.product_of_marginals()) < ZERO);
    }
}

#[test]
fn broken_variants_are_detected() {
    let joint = TabularJoint::random(3, 3, 0.3, 11).unwrap();
    let right = p2_law(&joint, 3, 1.0);
    let never_revokes = law_in(&joint, 3, Confidence::new(Score::Filtered));
    assert!(never_revokes.total_variation(&right) > 0.01);
    let weaker = law_in(&joint, 3, PathPlanning::new(0.3).unwrap());
    assert!(weaker.total_variation(&right) > 0.01);
}

#[test]
fn a_schedule_without_steps_is_rejected() {
    let joint = TabularJoint::random(2, 2, 1.0, 0).unwrap();
    let outcome = Generator::new(oracle(&joint))
        .unmasker(PathPlanning::default())
        .run(vec![blank(&joint)], &mut ());
    assert!(matches!(outcome, Err(Error::NeedsSteps { .. })));
}

/// Position 0 is revealed with 0.6. In the next step its row gives 0.7 and the others' rows 0.65, so it stays.
#[test]
fn revealed_tokens_are_scored_by_their_present_rows() {
    let generator = greedy(rising_rows, PathPlanning::default()).schedule(Linear::new(3).unwrap());
    let moves = moves(&generator, 3).0;
    assert_eq!((&moves.revealed[0], &moves.revoked[1]), (&vec![0], &vec![]));
    // The rows of revealed tokens come with those of the masked positions, without a further forward.
    assert_eq!(moves.forwards, [1; 3]);
}

/// Among equals revealed tokens stay, and the leftmost of the others is revealed first.
#[test]
fn among_equals_the_leftmost_is_first() {
    let generator =
        greedy(|_, _| UNSURE, PathPlanning::default()).schedule(Linear::new(3).unwrap());
    let moves = moves(&generator, 3).0;
    assert_eq!(moves.revealed, [[0], [1], [2]]);
    assert_eq!(moves.revoked, [[0; 0]; 3]);
}

/// Position 0 is the least certain by the model's row and the most certain by the filtered one.
#[test]
fn scores_are_those_of_filtered_rows() {
    let rows = |_: &Canvas, position: usize| if position == 0 { UNSURE } else { SURE };
    let generator = greedy(rows, PathPlanning::default()).filter(OnlyOneAtFirst);
    let moves = moves(&generator.schedule(LladaEven::new(3).unwrap()), 3).0;
    assert_eq!((moves.revealed, moves.revoked), (vec![vec![0], vec![1], vec![2]], vec![vec![]; 3]));
}
