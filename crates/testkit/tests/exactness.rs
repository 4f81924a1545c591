//! Strategies whose law is the model's own joint: zero total variation, every branch walked.

mod common;

use common::{Peeking, Squaring, ZERO, distance, generator, oracle, orders, over, parity};
use conjoint_core::unmasker::{ExactSequential, LearnedJoint, Marginal};
use conjoint_core::{Generator, TokenId};
use conjoint_testkit::{ExactRefiner, TabularDenoiser, TabularJoint};
use proptest::prelude::*;

/// Every strategy, order and K that must be exact on a joint of `length` positions, by name.
fn exact(oracle: &TabularDenoiser, length: usize) -> Vec<(String, Generator)> {
    let mut all = Vec::new();
    for (order, by) in orders() {
        // ExactSequential reveals one token whatever the schedule wants.
        let sequential = ExactSequential::new(by.clone());
        all.push((format!("sequential, {order}"), over(oracle.clone(), 2, sequential)));
        let marginal = Marginal::new(by.clone());
        all.push((format!("marginal K=1, {order}"), over(oracle.clone(), 1, marginal)));
        for k in 1..=length {
            let refined = LearnedJoint::new(ExactRefiner).order(by.clone());
            let windowed = refined.clone().window(1).unwrap();
            all.push((format!("refined K={k}, {order}"), over(oracle.clone(), k, refined)));
            all.push((format!("window of K={k}, {order}"), over(oracle.clone(), k, windowed)));
        }
    }
    all
}

/// Fails unless every exact strategy samples the joint given `tokens`.
fn assert_exact(joint: &TabularJoint, tokens: &[TokenId]) {
    for (name, generator) in exact(&oracle(joint), joint.length()) {
        let distance = distance(&generator, joint, tokens);
        assert!(distance < ZERO, "{name}, {tokens:?}: {distance}");
    }
}

/// A joint of up to three positions and symbols, and a possible prompt of it with a hole.
fn joint_and_prompt() -> impl Strategy<Value = (TabularJoint, Vec<TokenId>)> {
    let sizes = (1usize..=3, 2usize..=3, 0.2f64..2.0, any::<u64>());
    let joint =
        sizes.prop_map(|(t, v, alpha, seed)| TabularJoint::random(t, v, alpha, seed).unwrap());
    joint.prop_flat_map(|joint| {
        let shown = prop::collection::vec(any::<bool>(), joint.length());
        let (sequence, hole) = (0..joint.law().len(), 0..joint.length());
        (Just(joint), shown, sequence, hole).prop_map(|(joint, shown, sequence, hole)| {
            let law = joint.law();
            let (tokens, _) = law.iter().nth(sequence).unwrap();
            let given = |i: usize| if shown[i] && i != hole { tokens[i] } else { joint.mask() };
            let prompt = (0..joint.length()).map(given).collect();
            (joint, prompt)
        })
    })
}

proptest! {
    #![proptest_config(common::cases(64))]

    #[test]
    fn nothing_given((joint, _) in joint_and_prompt()) {
        assert_exact(&joint, &joint.masked());
    }

    #[test]
    fn given_a_prompt((joint, prompt) in joint_and_prompt()) {
        assert_exact(&joint, &prompt);
    }
}

#[test]
fn strict_dependencies() {
    assert_exact(&parity(), &parity().masked());
    assert_exact(&parity(), &[2, 1, 2]);
}

#[test]
fn block_by_block() {
    let joint = TabularJoint::random(4, 2, 0.5, 3).unwrap();
    for block in [1, 2, 4] {
        for (name, generator) in exact(&oracle(&joint), 4) {
            let generator = generator.block_length(block).unwrap();
            let distance = distance(&generator, &joint, &joint.masked());
            assert!(distance < ZERO, "{name}, block {block}: {distance}");
        }
    }
}

#[test]
fn blocks_that_overlap() {
    let joint = TabularJoint::random(4, 2, 0.5, 3).unwrap();
    for share in [0.0, 0.5, 1.0] {
        for (name, generator) in exact(&oracle(&joint), 4) {
            let generator = generator.block_length(2).unwrap().open_next_block_at(share).unwrap();
            let distance = distance(&generator, &joint, &joint.masked());
            assert!(distance < ZERO, "{name}, next block at {share}: {distance}");
        }
    }
}

#[test]
fn five_positions() {
    let joint = TabularJoint::random(5, 3, 0.5, 4).unwrap();
    let few_branches = |(name, _): &(String, Generator)| !name.ends_with("random");
    for (name, generator) in exact(&oracle(&joint), 5).into_iter().filter(few_branches) {
        let distance = distance(&generator, &joint, &joint.masked());
        assert!(distance < ZERO, "{name}: {distance}");
    }
}

/// The mask's weight is banned before an order or a draw sees it, or, with an empty list of bans,
/// before a draw does.
#[test]
fn a_model_that_wants_the_mask() {
    let joint = TabularJoint::random(3, 3, 0.5, 5).unwrap();
    let wanting = oracle(&joint).with_mask_weight(1e6).unwrap();
    for (name, generator) in exact(&wanting, 3) {
        for generator in [generator.clone(), generator.ban([])] {
            let distance = distance(&generator, &joint, &joint.masked());
            assert!(distance < ZERO, "{name}: {distance}");
        }
    }
}

/// The same measure catches a strategy that looks at what it drew, and a draw from another law.
#[test]
fn broken_twins_are_caught() {
    let joint = TabularJoint::random(3, 3, 0.5, 5).unwrap();
    let peeking = distance(&generator(&joint, 1, Peeking), &joint, &joint.masked());
    assert!(peeking > 0.05, "{peeking}");
    for (name, generator) in exact(&oracle(&joint), 3) {
        let squaring = distance(&generator.draw(Squaring), &joint, &joint.masked());
        assert!(squaring > 0.05, "{name}: {squaring}");
    }
}
