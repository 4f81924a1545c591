//! The law of sequences that end at an end-of-sequence id.

use super::{EOS, end_of, model, padded};
use crate::common::process::{Draw, State};
use crate::common::process::{above, draws, evolve, probability_given_others};
use crate::common::{ZERO, blank, cases, orders, over};
use conjoint_core::reviser::Edit;
use conjoint_core::strategy::Strategy as Unmasking;
use conjoint_core::unmasker::{ExactSequential, LearnedJoint};
use conjoint_core::{Canvas, TokenId, strategy};
use conjoint_testkit::{ExactRefiner, Law, TabularJoint, exact_law};
use proptest::prelude::*;

/// In every order. An end that is given, not generated, does not end the sequence, and stays.
#[test]
fn is_the_joint_with_padding_behind_the_end() {
    let joint = TabularJoint::random(4, 3, 0.5, 5).unwrap();
    for tokens in [[3, 3, 3, 3], [3, EOS, 3, 3], [EOS, 3, 1, 3], [3, 3, 2, 3]] {
        let given = |i: usize| tokens[i] != joint.mask();
        let whole = joint.given(&tokens).unwrap();
        let expected = whole.map(|x| padded(x, given));
        assert!(expected.total_variation(&whole) > 0.05, "{tokens:?}");
        let canvas = Canvas::infill(tokens.into(), joint.mask()).unwrap();
        for (name, order) in orders() {
            let exact: Unmasking = ExactSequential::new(order.clone()).into();
            let refined: Unmasking = LearnedJoint::new(ExactRefiner).order(order).into();
            for (k, strategy) in [(1, exact), (3, refined)] {
                let generator = over(model(&joint), k, strategy).stop_at_eos(true);
                let law = exact_law(&generator, &canvas).unwrap();
                let distance = law.total_variation(&expected);
                assert!(distance < ZERO, "{name}, K = {k}, {tokens:?}: {distance}");
            }
        }
    }
}

/// The masked and the known positions up to the end.
fn split(joint: &TabularJoint, tokens: &[TokenId]) -> (Vec<usize>, Vec<usize>) {
    let end = end_of(tokens, |_| false).map_or(tokens.len(), |end| end + 1);
    (0..end).partition(|&position| tokens[position] == joint.mask())
}

/// The law of a process that stops. `step` is called only while a position before the end is masked.
fn stopped_law(
    joint: &TabularJoint,
    step: impl Fn(&State, Vec<usize>, Vec<usize>) -> Vec<(State, f64)>,
) -> Law {
    let step = |_: usize, state: &State| {
        let (masked, known) = split(joint, &state.tokens);
        if masked.is_empty() {
            let mut padded_state = state.clone();
            padded_state.tokens = padded(&state.tokens, |_| false);
            return vec![(padded_state, 1.0)];
        }
        step(state, masked, known)
    };
    evolve(joint, 40, &step)
}

/// WINO. `recall(0)` is the number of tokens that the step before revealed.
fn wino_law(joint: &TabularJoint, reveal: f64, keep: f64) -> Law {
    stopped_law(joint, |state, masked, known| {
        let after = |(drawn, p): (Vec<Draw>, f64)| {
            let mut next = state.clone();
            let revealed = above(&drawn, reveal);
            let with_probability = |&position: &usize| {
                (probability_given_others(joint, &state.tokens, position), position)
            };
            let mut improbable: Vec<_> =
                known.iter().map(with_probability).filter(|d| d.0 < keep).collect();
            improbable.sort_by(|a, b| a.partial_cmp(b).unwrap());
            let most = (state.recall(0) as usize).saturating_sub(1);
            let most = if revealed.len() > 1 { most } else { 0 };
            improbable.iter().take(most).for_each(|&(_, i)| next.tokens[i] = joint.mask());
            revealed.iter().for_each(|draw| next.tokens[draw.position] = draw.token);
            next.remember(0, revealed.len() as f64);
            (next, p)
        };
        draws(joint, &state.tokens, &masked).into_iter().map(after).collect()
    })
}

/// LLaDA2.1's edits while a position is masked.
fn edit_law(joint: &TabularJoint, reveal: f64, edit: f64) -> Law {
    stopped_law(joint, |state, masked, known| {
        let all = [&masked[..], &known].concat();
        let after = |(drawn, p): (Vec<Draw>, f64)| {
            let mut next = state.clone();
            let (new, again) = drawn.split_at(masked.len());
            above(new, reveal).iter().for_each(|draw| next.tokens[draw.position] = draw.token);
            again.iter().filter(|draw| draw.p > edit).for_each(|draw| {
                next.tokens[draw.position] = draw.token;
            });
            (next, p)
        };
        draws(joint, &state.tokens, &all).into_iter().map(after).collect()
    })
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn is_as_defined_for_strategies_that_revoke(
        reveal in 0.1f64..0.8, second in 0.1f64..=1.0, alpha in 0.3f64..2.0, seed: u64,
    ) {
        let joint = TabularJoint::random(4, 2, alpha, seed).unwrap();
        let law = |strategy: Unmasking| {
            let generator = over(model(&joint), 1, strategy).stop_at_eos(true);
            exact_law(&generator, &blank(&joint)).unwrap()
        };
        let wino = law(strategy::wino(reveal, second).unwrap());
        let distance = wino.total_variation(&wino_law(&joint, reveal, second));
        prop_assert!(distance < ZERO, "WINO: {distance}");
        let joint = TabularJoint::random(3, 2, alpha, seed).unwrap();
        let law = |strategy: Unmasking| {
            let generator = over(model(&joint), 1, strategy).stop_at_eos(true);
            exact_law(&generator, &blank(&joint)).unwrap()
        };
        let edit = law(strategy::edit_threshold(reveal, Edit::new(second).unwrap().post_steps(0)).unwrap());
        let distance = edit.total_variation(&edit_law(&joint, reveal, second));
        prop_assert!(distance < ZERO, "LLaDA2.1: {distance}");
    }
}
