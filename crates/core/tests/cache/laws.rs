//! The exact laws of the approximate policies: where they differ from the model's, and where they equal it.

use conjoint_core::cache::{Delayed, Dual, DynCachePolicy, Prefix, Vicinity};
use conjoint_core::order::LeftToRight;
use conjoint_core::schedule::TokensPerStep;
use conjoint_core::unmasker::Marginal;
use conjoint_core::{Canvas, Generator, TokenId};
use conjoint_testkit::{CachedDenoiser, Law, TabularDenoiser, TabularJoint, exact_law};

use crate::common::ZERO;
use crate::{Cache, all, approximate};

const M: TokenId = 2;

fn joint(length: usize) -> TabularJoint {
    TabularJoint::random(length, 2, 0.6, 11).unwrap()
}

/// From left to right, K tokens a step.
fn generator(joint: &TabularJoint, policy: impl DynCachePolicy, k: usize) -> Generator {
    let model = CachedDenoiser::new(TabularDenoiser::new(joint.clone()).unwrap());
    Generator::new(model.with_cache(policy))
        .unmasker(Marginal::default())
        .order(LeftToRight)
        .schedule(TokensPerStep::new(k).unwrap())
}

fn law(generator: &Generator, tokens: &[TokenId]) -> Law {
    exact_law(generator, &Canvas::infill(tokens.to_vec(), M).unwrap()).unwrap()
}

/// The law of two tokens drawn one after the other, `second` being the row of the second one given the first.
fn of_two(
    (first, second_position): (usize, usize),
    tokens: &[TokenId],
    joint: &TabularJoint,
    second: impl Fn(TokenId) -> Vec<f64>,
) -> Law {
    let mut law = Law::default();
    for (a, p) in (0..).zip(joint.conditional(tokens, first).unwrap()) {
        for (b, q) in (0..).zip(second(a)) {
            let mut tokens = tokens.to_vec();
            (tokens[first], tokens[second_position]) = (a, b);
            law.add(tokens, p * q);
        }
    }
    law
}

/// (a + 2 b) / 3
fn third(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| (a + 2.0 * b) / 3.0).collect()
}

/// A given token and a block of two: at the second forward, one of three positions has not seen the first token.
#[test]
fn a_cached_prompt_does_not_see_the_block() {
    let joint = joint(3);
    let conditional = |tokens: [TokenId; 3]| joint.conditional(&tokens, 2).unwrap();
    let stale = of_two((1, 2), &[1, M, M], &joint, |a| {
        third(&conditional([1, M, M]), &conditional([1, a, M]))
    });
    let fresh = joint.given(&[1, M, M]).unwrap();
    assert!(fresh.total_variation(&stale) > 0.01, "{}", fresh.total_variation(&stale));
    let policies: [(&str, Cache, &Law); 8] = [
        ("prefix", Box::new(Prefix::new()), &stale),
        ("dual", Box::new(Dual::new()), &stale),
        ("vicinity 0", Box::new(Vicinity::new(0)), &stale),
        ("delayed 1", Box::new(Delayed::new(1).unwrap()), &stale),
        // The second forward computes everything again.
        ("prefix, delay 1", Box::new(Prefix::new().delay(1)), &fresh),
        ("vicinity 1", Box::new(Vicinity::new(1)), &fresh),
        ("delayed 2", Box::new(Delayed::new(2).unwrap()), &fresh),
        ("dual, every 1", Box::new(Dual::new().refresh_every(std::num::NonZeroU32::MIN)), &fresh),
    ];
    for (name, policy, expected) in policies {
        let law = law(&generator(&joint, policy, 1), &[1, M, M]);
        assert!(expected.total_variation(&law) < ZERO, "{name}");
    }
}

/// A block of two and a masked position after it: the prefix cache computes the suffix, the dual cache does not.
#[test]
fn a_cached_suffix_does_not_see_the_block() {
    let joint = joint(3);
    let first = |tokens: [TokenId; 3]| joint.conditional(&tokens, 1).unwrap();
    let stale = of_two((0, 1), &[M, M, 1], &joint, |a| third(&first([M, M, 1]), &first([a, M, 1])));
    let fresh = joint.given(&[M, M, 1]).unwrap();
    assert!(fresh.total_variation(&stale) > 0.01);
    for (name, policy, expected) in [
        ("dual", Box::new(Dual::new()) as Cache, &stale),
        ("vicinity 0", Box::new(Vicinity::new(0)), &stale),
        ("prefix", Box::new(Prefix::new()), &fresh),
        ("vicinity 1", Box::new(Vicinity::new(1)), &fresh),
    ] {
        let law = law(&generator(&joint, policy, 1), &[M, M, 1]);
        assert!(expected.total_variation(&law) < ZERO, "{name}");
    }
}

/// Three masked positions: the first token stays cached before the third one is drawn, and has not seen the second.
#[test]
fn a_delayed_token_does_not_see_those_revealed_after_it() {
    let joint = joint(3);
    let row = |tokens: [TokenId; 3], position| joint.conditional(&tokens, position).unwrap();
    let mut stale = Law::default();
    for (a, p) in (0..).zip(row([M, M, M], 0)) {
        for (b, q) in (0..).zip(row([a, M, M], 1)) {
            let third = third(&row([a, M, M], 2), &row([a, b, M], 2));
            for (c, r) in (0..).zip(third) {
                stale.add(vec![a, b, c], p * q * r);
            }
        }
    }
    assert!(joint.total_variation(&stale) > 0.01);
    let of = |delay| law(&generator(&joint, Delayed::new(delay).unwrap(), 1), &[M; 3]);
    assert!(stale.total_variation(&of(1)) < ZERO);
    assert!(joint.total_variation(&of(2)) < ZERO);
}

#[test]
fn blocks_of_one_forward_are_exact() {
    let joint = joint(4);
    for (name, policy) in approximate(u32::MAX) {
        // One position a block, and two positions a block in one step.
        for k in [1, 2] {
            let generator = generator(&joint, policy.clone(), k);
            let generator = generator.block_length(k).unwrap();
            let expected = match k {
                1 => joint.law(),
                _ => crate::common::stepwise(&joint, &[0, 0, 1, 1]),
            };
            let law = law(&generator, &[M; 4]);
            assert!(expected.total_variation(&law) < ZERO, "{name}, K = {k}");
        }
    }
}

/// All policies but the delayed one compute a block in full.
#[test]
fn a_block_that_is_the_whole_sequence_is_exact() {
    let joint = joint(4);
    for (name, policy) in approximate(u32::MAX) {
        let law = law(&generator(&joint, policy, 1), &[M; 4]);
        let distance = joint.total_variation(&law);
        assert_eq!(distance < ZERO, !name.starts_with("delayed"), "{name}: {distance}");
    }
}

/// Every branch of every policy has a probability, and they sum to 1.
#[test]
fn blocks_of_two_are_stale_within_a_block() {
    let joint = joint(4);
    for (name, policy) in all() {
        let generator = generator(&joint, policy, 1).block_length(2).unwrap();
        let law = law(&generator, &[M; 4]);
        assert!((law.total() - 1.0).abs() < 1e-9, "{name}");
        let distance = joint.total_variation(&law);
        // The suffix of the first block and the prefix of the second are stale.
        assert!(
            name == "prefix, delay 1" || name == "delayed 2" || distance > 0.001,
            "{name}: {distance}"
        );
    }
}
