//! LLaDA2.1's edits: the law of their definition, their thresholds, and how long they keep a full block open.

use crate::common::moves::{UNSURE, counts, fickle, greedy, moves, probability};
use crate::common::process::{Draw, State};
use crate::common::process::{above, draws, evolve, split};
use crate::common::{ZERO, blank, cases, generator, law};
use conjoint_core::draw::Argmax;
use conjoint_core::filter::Temperature;
use conjoint_core::reviser::Edit;
use conjoint_core::strategy::Strategy;
use conjoint_core::unmasker::{Confidence, Score};
use conjoint_core::{Canvas, Output, strategy};
use conjoint_testkit::{Law, TabularJoint};
use proptest::prelude::*;

/// Edits from their definition. `recall(0)` counts the steps that began with nothing masked, `recall(1)` is 1 once a step
/// changed nothing.
fn edit_law(joint: &TabularJoint, reveal: f64, edit: f64, post_steps: usize) -> Law {
    let step = |_: usize, state: &State| {
        let (masked, _) = split(joint, &state.tokens);
        let is_full = masked.is_empty();
        if is_full && (state.recall(1) > 0.0 || state.recall(0) as usize == post_steps) {
            return vec![(state.clone(), 1.0)];
        }
        let everywhere: Vec<usize> = (0..joint.length()).collect();
        let after = |(drawn, p): (Vec<Draw>, f64)| {
            let mut next = state.clone();
            let (new, old): (Vec<Draw>, Vec<Draw>) =
                drawn.iter().partition(|draw| masked.contains(&draw.position));
            let edits = old.into_iter().filter(|draw| draw.p > edit);
            for draw in above(&new, reveal).into_iter().chain(edits) {
                next.tokens[draw.position] = draw.token;
            }
            if is_full {
                next.remember(0, state.recall(0) + 1.0);
                next.remember(1, f64::from(next.tokens == state.tokens));
            }
            (next, p)
        };
        draws(joint, &state.tokens, &everywhere).into_iter().map(after).collect()
    };
    evolve(joint, joint.length() + post_steps, &step)
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn is_as_defined(
        reveal in 0.0f64..=1.0, edit in 0.0f64..1.0, alpha in 0.2f64..2.0, seed: u64,
    ) {
        for (length, post_steps) in [(3, 0), (3, 1), (2, 3)] {
            let joint = TabularJoint::random(length, 2, alpha, seed).unwrap();
            let strategy = strategy::edit_threshold(reveal, Edit::new(edit).unwrap().post_steps(post_steps)).unwrap();
            let law = law(&generator(&joint, 1, strategy), &joint);
            prop_assert!(law.total_variation(&edit_law(&joint, reveal, edit, post_steps)) < ZERO);
        }
    }
}

proptest! {
    #![proptest_config(cases(24))]

    /// An edit threshold of 1 edits nothing.
    #[test]
    fn with_a_reveal_threshold_of_one_it_is_confidence(seed: u64) {
        let joint = TabularJoint::random(3, 3, 0.5, seed).unwrap();
        let confidence = law(&generator(&joint, 1, Confidence::new(Score::Raw)), &joint);
        let edit = strategy::edit_threshold(1.0, Edit::new(1.0).unwrap()).unwrap();
        let edit = law(&generator(&joint, 1, edit), &joint);
        prop_assert!(edit.total_variation(&confidence) < ZERO);
    }

    #[test]
    fn without_edits_it_is_the_threshold_sampler(
        reveal in 0.0f64..1.0, alpha in 0.2f64..2.0, seed: u64,
    ) {
        let joint = TabularJoint::random(3, 3, alpha, seed).unwrap();
        let edit = strategy::edit_threshold(reveal, Edit::new(1.0).unwrap()).unwrap();
        let law = law(&generator(&joint, 1, edit), &joint);
        prop_assert!(law.total_variation(&edit_law(&joint, reveal, 1.0, 0)) < ZERO);
    }

    #[test]
    fn all_at_once_is_the_product_of_marginals(alpha in 0.2f64..2.0, seed: u64) {
        let joint = TabularJoint::random(3, 3, alpha, seed).unwrap();
        let edit = Edit::new(0.0).unwrap().post_steps(0);
        let law = law(&generator(&joint, 1, strategy::edit_threshold(0.0, edit).unwrap()), &joint);
        prop_assert!(law.total_variation(&joint.product_of_marginals()) < ZERO);
    }
}

#[test]
fn broken_variants_are_detected() {
    let joint = TabularJoint::random(3, 3, 0.3, 2).unwrap();
    let without_edits = law(
        &generator(&joint, 1, strategy::edit_threshold(0.3, Edit::new(1.0).unwrap()).unwrap()),
        &joint,
    );
    let distance = without_edits.total_variation(&edit_law(&joint, 0.3, 0.2, 0));
    assert!(distance > 0.01, "{distance}");
    let bits = TabularJoint::random(2, 2, 0.3, 2).unwrap();
    let distance = edit_law(&bits, 0.3, 0.2, 0).total_variation(&edit_law(&bits, 0.3, 0.2, 1));
    assert!(distance > 0.01, "steps after: {distance}");
}

/// A probability equal to a threshold is not above it.
#[test]
fn thresholds_are_strict() {
    let p = probability(UNSURE);
    let steps = |reveal: f64| {
        let edit = strategy::edit_threshold(reveal, Edit::new(1.0).unwrap()).unwrap();
        counts(&moves(&greedy(|_, _| UNSURE, edit), 4).0.revealed)
    };
    assert_eq!((steps(p), steps(p - 1e-9)), (vec![1; 4], vec![4]));

    let edited = |edit: f64| {
        let edit = strategy::edit_threshold(0.5, Edit::new(edit).unwrap().post_steps(1)).unwrap();
        moves(&greedy(fickle, edit), 3).1
    };
    assert_eq!((edited(p), edited(p - 1e-9)), (vec![1; 3], vec![0; 3]));
}

/// Each full block has a further step, in which its 1s become 0s.
#[test]
fn every_block_is_edited_for_the_same_number_of_steps() {
    let edit = strategy::edit_threshold(0.5, Edit::new(0.5).unwrap().post_steps(1)).unwrap();
    let (moves, tokens) = moves(&greedy(fickle, edit).block_length(2).unwrap(), 6);
    assert_eq!((moves.forwards.len(), tokens), (6, vec![0; 6]));
}

/// LLaDA2.1 reads the filtered rows, unlike WINO.
#[test]
fn reads_filtered_rows() {
    let edit = strategy::edit_threshold(0.9, Edit::new(1.0).unwrap()).unwrap();
    let generator = greedy(|_, _| UNSURE, edit).filter(Temperature::new(0.2).unwrap());
    assert_eq!(counts(&moves(&generator, 4).0.revealed), [4]);
}

/// Runs an edit over a model that never agrees with what is revealed.
fn run(strategy: Strategy, length: usize) -> Output {
    let canvas = Canvas::unconditional(length, 2).unwrap();
    greedy(fickle, strategy).run(vec![canvas], &mut ()).unwrap().remove(0)
}

#[test]
fn edits_a_full_block_for_the_allowed_steps() {
    for (post_steps, token) in [(0, 1), (1, 0), (2, 1), (3, 0), (16, 1)] {
        let edit =
            strategy::edit_threshold(0.5, Edit::new(0.5).unwrap().post_steps(post_steps)).unwrap();
        let output = run(edit, 2);
        // One step fills both positions.
        assert_eq!(output.tokens, [token; 2]);
        assert_eq!((output.steps, output.denoiser_calls), (1 + post_steps, 1 + post_steps));
    }
    let default = run(strategy::edit_threshold(0.7, Edit::default()).unwrap(), 2);
    assert_eq!(default.steps, 17);
}

/// Edits that do not cycle end where each token is the most probable one, given the others.
#[test]
fn a_step_that_changes_nothing_is_the_last() {
    let mut settled = 0;
    for seed in 0..20 {
        let joint = TabularJoint::random(3, 3, 0.2, seed).unwrap();
        let edit = strategy::edit_threshold(0.1, Edit::new(0.0).unwrap()).unwrap();
        let generator = generator(&joint, 1, edit).draw(Argmax);
        let output = generator.run(vec![blank(&joint)], &mut ()).unwrap().remove(0);
        if output.steps > 16 {
            continue;
        }
        for position in 0..3 {
            let mut tokens = output.tokens.clone();
            tokens[position] = joint.mask();
            let row = joint.conditional(&tokens, position).unwrap();
            let best = (0..3).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
            assert_eq!(output.tokens[position] as usize, best, "{seed}");
        }
        settled += 1;
    }
    assert!(settled > 10, "{settled}");
}
