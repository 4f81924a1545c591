//! Tests of unmaskers that sample the model's own joint: the total variation is zero, over every branch.

use crate::common::{Squaring, ZERO, cases, distance, oracle, parity};
use conjoint_core::{Generator, TokenId};
use conjoint_testkit::{TabularDenoiser, TabularJoint};
use proptest::prelude::*;

/// The variants of an unmasker by name, over an oracle for canvases of `length` positions.
///
/// The names of variants with many branches end in "random".
pub type Variants = fn(&TabularDenoiser, usize) -> Vec<(String, Generator)>;

/// Generates the tests for one unmasker.
macro_rules! samples_the_joint {
    ($variants:expr) => {
        mod samples_the_joint {
            use super::*;
            use crate::exactness;

            #[test]
            fn without_a_prompt() {
                exactness::without_a_prompt($variants);
            }

            #[test]
            fn given_a_prompt() {
                exactness::given_a_prompt($variants);
            }

            #[test]
            fn with_strict_dependencies() {
                exactness::with_strict_dependencies($variants);
            }

            #[test]
            fn block_by_block() {
                exactness::block_by_block($variants);
            }

            #[test]
            fn in_overlapping_blocks() {
                exactness::in_overlapping_blocks($variants);
            }

            #[test]
            fn over_five_positions() {
                exactness::over_five_positions($variants);
            }

            #[test]
            fn of_a_model_that_prefers_the_mask() {
                exactness::of_a_model_that_prefers_the_mask($variants);
            }

            #[test]
            fn but_not_with_another_draw() {
                exactness::but_not_with_another_draw($variants);
            }
        }
    };
}

fn assert_exact(name: &str, generator: &Generator, joint: &TabularJoint, tokens: &[TokenId]) {
    let distance = distance(generator, joint, tokens);
    assert!(distance < ZERO, "{name}, {tokens:?}: {distance}");
}

fn assert_all_exact(variants: Variants, joint: &TabularJoint, tokens: &[TokenId]) {
    for (name, generator) in variants(&oracle(joint), joint.length()) {
        assert_exact(&name, &generator, joint, tokens);
    }
}

/// A joint of up to three positions and symbols, and a possible prompt of it with a hole.
fn joint_and_prompt() -> impl Strategy<Value = (TabularJoint, Vec<TokenId>)> {
    let sizes = (1usize..=3, 2usize..=3, 0.2f64..2.0, any::<u64>());
    let joint =
        sizes.prop_map(|(t, v, alpha, seed)| TabularJoint::random(t, v, alpha, seed).unwrap());
    joint.prop_flat_map(|joint| {
        let is_given = prop::collection::vec(any::<bool>(), joint.length());
        let (sequence, hole) = (0..joint.law().len(), 0..joint.length());
        (Just(joint), is_given, sequence, hole).prop_map(|(joint, is_given, sequence, hole)| {
            let law = joint.law();
            let (tokens, _) = law.iter().nth(sequence).unwrap();
            let given = |i: usize| if is_given[i] && i != hole { tokens[i] } else { joint.mask() };
            let prompt = (0..joint.length()).map(given).collect();
            (joint, prompt)
        })
    })
}

pub fn without_a_prompt(variants: Variants) {
    proptest!(cases(64), |((joint, _) in joint_and_prompt())| {
        assert_all_exact(variants, &joint, &joint.masked());
    });
}

pub fn given_a_prompt(variants: Variants) {
    proptest!(cases(64), |((joint, prompt) in joint_and_prompt())| {
        assert_all_exact(variants, &joint, &prompt);
    });
}

pub fn with_strict_dependencies(variants: Variants) {
    assert_all_exact(variants, &parity(), &parity().masked());
    assert_all_exact(variants, &parity(), &[2, 1, 2]);
}

pub fn block_by_block(variants: Variants) {
    let joint = TabularJoint::random(4, 2, 0.5, 3).unwrap();
    // The last block of length 3 has one position.
    for block in [1, 2, 3, 4] {
        for (name, generator) in variants(&oracle(&joint), 4) {
            let generator = generator.block_length(block).unwrap();
            assert_exact(&format!("{name}, block {block}"), &generator, &joint, &joint.masked());
        }
    }
}

pub fn in_overlapping_blocks(variants: Variants) {
    let joint = TabularJoint::random(4, 2, 0.5, 3).unwrap();
    for share in [0.0, 0.5, 1.0] {
        for (name, generator) in variants(&oracle(&joint), 4) {
            let generator = generator.block_length(2).unwrap().open_next_block_at(share).unwrap();
            let name = format!("{name}, next block at {share}");
            assert_exact(&name, &generator, &joint, &joint.masked());
        }
    }
}

pub fn over_five_positions(variants: Variants) {
    let joint = TabularJoint::random(5, 3, 0.5, 4).unwrap();
    let few_branches = |(name, _): &(String, Generator)| !name.ends_with("random");
    for (name, generator) in variants(&oracle(&joint), 5).into_iter().filter(few_branches) {
        assert_exact(&name, &generator, &joint, &joint.masked());
    }
}

/// The mask is banned before an order or a draw reads the row. With an empty list of bans the draw excludes it.
pub fn of_a_model_that_prefers_the_mask(variants: Variants) {
    let joint = TabularJoint::random(3, 3, 0.5, 5).unwrap();
    let model = oracle(&joint).with_mask_weight(1e6).unwrap();
    for (name, generator) in variants(&model, 3) {
        for generator in [generator.clone(), generator.ban([])] {
            assert_exact(&name, &generator, &joint, &joint.masked());
        }
    }
}

/// The same measure detects a draw from another law.
pub fn but_not_with_another_draw(variants: Variants) {
    let joint = TabularJoint::random(3, 3, 0.5, 5).unwrap();
    for (name, generator) in variants(&oracle(&joint), 3) {
        let distance = distance(&generator.draw(Squaring), &joint, &joint.masked());
        assert!(distance > 0.05, "{name}: {distance}");
    }
}
