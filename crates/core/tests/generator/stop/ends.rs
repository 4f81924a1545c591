//! Ends of every kind: several ids, other ids, and rules.

use super::{EOS, PAD, model};
use crate::common::{ZERO, blank, cases, oracle, orders};
use conjoint_core::unmasker::ExactSequential;
use conjoint_core::{Canvas, FinishReason, Generator, Stop, TokenId};
use conjoint_testkit::{TabularJoint, exact_law};
use proptest::prelude::*;

/// Ends a sequence after these two tokens.
struct AtPair(TokenId, TokenId);

impl Stop for AtPair {
    fn end(&self, tokens: &[TokenId]) -> Option<usize> {
        tokens.windows(2).position(|pair| pair == [self.0, self.1]).map(|at| at + 2)
    }
}

/// The sequence with padding behind its first end.
fn cut(tokens: &[TokenId], end: impl Fn(&[TokenId]) -> bool) -> Vec<TokenId> {
    let end = (1..=tokens.len()).find(|&n| end(&tokens[..n])).unwrap_or(tokens.len());
    (0..tokens.len()).map(|i| if i < end { tokens[i] } else { PAD }).collect()
}

proptest! {
    #![proptest_config(cases(8))]

    /// The joint with padding behind the first end, for every rule and order. An end counts if a later token completes it
    /// further left. It does not count if it contains a given token.
    #[test]
    fn the_first_of_several_ends_counts(alpha in 0.3f64..2.0, seed: u64) {
        let joint = TabularJoint::random(4, 3, alpha, seed).unwrap();
        let two_ends = oracle(&joint).with_eos(EOS).unwrap().with_eos(2).unwrap().with_pad(PAD).unwrap();
        type End = fn(&[TokenId]) -> bool;
        let rules: [(Generator, End); 4] = [
            (Generator::new(two_ends).stop_at_eos(true), |t| t.ends_with(&[EOS]) || t.ends_with(&[2])),
            (Generator::new(model(&joint)).stop_at_tokens([2]), |t| t.ends_with(&[2])),
            (Generator::new(model(&joint)).stop_at(AtPair(2, 1)), |t| t.ends_with(&[2, 1])),
            (
                Generator::new(model(&joint)).stop_at_eos(true).stop_at(AtPair(1, 1)).stop_at(AtPair(2, 1)),
                |t| t.ends_with(&[EOS]) || t.ends_with(&[1, 1]) || t.ends_with(&[2, 1]),
            ),
        ];
        for (generator, end) in rules {
            let expected = joint.law().map(|tokens| cut(tokens, end));
            for (name, order) in orders() {
                let generator = generator.clone().unmasker(ExactSequential::new(order));
                let law = exact_law(&generator, &blank(&joint)).unwrap();
                let distance = law.total_variation(&expected);
                prop_assert!(distance < ZERO, "{name}: {distance}");
            }
        }
    }
}

/// Generates the sequence "1 2 1 0" and returns why and where it ended.
fn ended(with: impl FnOnce(Generator) -> Generator) -> (FinishReason, usize, Vec<TokenId>) {
    let weights: Vec<f64> =
        (0..81).map(|index| if index == 27 + 2 * 9 + 3 { 1.0 } else { 0.0 }).collect();
    let joint = TabularJoint::new(4, 3, &weights).unwrap();
    let output =
        with(Generator::new(model(&joint))).run(vec![blank(&joint)], &mut ()).unwrap().remove(0);
    (output.finish, output.end, output.tokens)
}

#[test]
fn an_output_has_its_end_and_the_reason() {
    assert_eq!(ended(|g| g), (FinishReason::Length, 4, vec![1, 2, 1, 0]));
    assert_eq!(ended(|g| g.stop_at_eos(true)), (FinishReason::EndOfSequence, 4, vec![1, 2, 1, 0]));
    let at_two = (FinishReason::EndOfSequence, 2, vec![1, 2, PAD, PAD]);
    assert_eq!(ended(|g| g.stop_at_tokens([2])), at_two);
    let at_text = (FinishReason::Stop, 3, vec![1, 2, 1, PAD]);
    assert_eq!(ended(|g| g.stop_at(AtPair(2, 1))), at_text);
    assert_eq!(ended(|g| g.stop_at_eos(true).stop_at(AtPair(2, 1))), at_text);
    assert_eq!(
        ended(|g| g.stop_at_tokens([2]).stop_at(AtPair(1, 2))),
        at_two,
        "an id takes precedence"
    );
}

#[test]
fn given_tokens_end_nothing() {
    let joint = TabularJoint::random(5, 3, 1.0, 3).unwrap();
    let mask = joint.mask();
    // Whatever is drawn between the given tokens, no two drawn neighbours are a 2 and a 1.
    let canvas = Canvas::infill(vec![2, 1, mask, 1, mask], mask).unwrap();
    let generator = Generator::new(model(&joint)).stop_at(AtPair(2, 1)).stop_at(AtPair(1, 1));
    for output in generator.run(vec![canvas; 50], &mut ()).unwrap() {
        assert_eq!((output.finish, output.end), (FinishReason::Length, 5));
    }
}

#[test]
fn impossible_stops_are_rejected() {
    let joint = TabularJoint::random(3, 3, 1.0, 3).unwrap();
    let bare = || Generator::new(oracle(&joint));
    let error = bare().stop_at(AtPair(0, 1)).check(&[]).unwrap_err().to_string();
    assert!(error.contains("padding"), "{error}");
    let error = bare().stop_at_tokens([joint.mask()]).check(&[]).unwrap_err().to_string();
    assert!(error.contains("mask"), "{error}");
    bare().stop_at_tokens([1]).stop_at(AtPair(0, 1)).check(&[]).unwrap();
}
