//! The laws under filters for control: products of the rows that the filters leave, taken in the order
//! of revealing, and the conditional law where the docs say so.

mod common;

use common::{ZERO, generator, law};
use conjoint_core::filter::{Constrain, Filter, MinLength, Penalty, RepetitionPenalty};
use conjoint_core::order::LeftToRight;
use conjoint_core::unmasker::ExactSequential;
use conjoint_core::{Error, Observation, Order, Row, TokenId};
use conjoint_testkit::{Law, TabularJoint};
use proptest::prelude::*;

#[derive(Clone)]
struct RightToLeft;

impl Order for RightToLeft {
    fn score(&self, _: &Observation<'_>, candidate: Row) -> Result<f64, Error> {
        Ok(candidate.index() as f64)
    }
}

/// The law of one token a step behind `filter`, left to right or the other way.
fn filtered(joint: &TabularJoint, filter: impl Filter + 'static, backwards: bool) -> Law {
    let strategy = match backwards {
        false => ExactSequential::new(LeftToRight),
        true => ExactSequential::new(RightToLeft),
    };
    law(&generator(joint, 1, strategy).filter(filter), joint)
}

/// Π of the rows in the order of revealing, a token's probability p at `position` changed by `weight`
/// given what is known, and each row normalised anew.
fn product(
    joint: &TabularJoint,
    backwards: bool,
    weight: impl Fn(f64, TokenId, usize, &[TokenId]) -> f64,
) -> Law {
    let mut positions: Vec<usize> = (0..joint.length()).collect();
    if backwards {
        positions.reverse();
    }
    let mut known = vec![(joint.masked(), 1.0)];
    for position in positions {
        let mut next = Vec::new();
        for (tokens, reached) in known {
            let row = joint.conditional(&tokens, position).unwrap();
            let weights: Vec<f64> =
                (0..).zip(row).map(|(token, p)| weight(p, token, position, &tokens)).collect();
            let total: f64 = weights.iter().sum();
            for (token, w) in (0..).zip(&weights).filter(|&(_, &w)| w > 0.0) {
                let mut tokens = tokens.clone();
                tokens[position] = token;
                next.push((tokens, reached * w / total));
            }
        }
        known = next;
    }
    known.into_iter().collect()
}

/// The joint given that token 0 or 1 stands at `position`.
fn given_low(joint: &TabularJoint, position: usize) -> Law {
    let table = joint.law();
    let holds = |x: &[TokenId]| x[position] < 2;
    let total: f64 = table.iter().filter(|(x, _)| holds(x)).map(|(_, p)| p).sum();
    table.iter().filter(|(x, _)| holds(x)).map(|(x, p)| (x.to_vec(), p / total)).collect()
}

fn random(alpha: f64, seed: u64) -> TabularJoint {
    TabularJoint::random(3, 3, alpha, seed).unwrap()
}

proptest! {
    #![proptest_config(common::cases(32))]

    #[test]
    fn penalties_reweight_each_row(
        nats in 0.0f64..4.0, alpha in 0.3f64..2.0, seed: u64, backwards: bool,
    ) {
        let joint = random(alpha, seed);
        let law = filtered(&joint, Penalty::new([0, 2], nats).unwrap(), backwards);
        let lighter = |p: f64, token: TokenId, _: usize, _: &[TokenId]| {
            if token == 1 { p } else { p * (-nats).exp() }
        };
        prop_assert!(law.total_variation(&product(&joint, backwards, lighter)) < ZERO);
    }

    /// The oracle's logits are ln p, none positive: a known token's p becomes p^θ.
    #[test]
    fn repetition_penalties_raise_known_tokens_to_a_power(
        theta in 1.0f64..3.0, near: bool, alpha in 0.3f64..2.0, seed: u64, backwards: bool,
    ) {
        let joint = random(alpha, seed);
        let mut filter = RepetitionPenalty::new(theta).unwrap();
        if near {
            filter = filter.window(1).unwrap();
        }
        let reach = if near { 1 } else { 3 };
        let repeated = |p: f64, token: TokenId, position: usize, tokens: &[TokenId]| {
            let stands = (0..3).any(|i: usize| i.abs_diff(position) <= reach && tokens[i] == token);
            if stands { p.powf(f64::from(theta as f32)) } else { p }
        };
        let law = filtered(&joint, filter, backwards);
        prop_assert!(law.total_variation(&product(&joint, backwards, repeated)) < ZERO);
    }

    #[test]
    fn the_smallest_penalties_are_no_filter(alpha in 0.3f64..2.0, seed: u64) {
        let joint = random(alpha, seed);
        let none = Penalty::new([0, 1], 0.0).unwrap().then(RepetitionPenalty::new(1.0).unwrap());
        let law = filtered(&joint, none.then(MinLength::new(0, [0])), false);
        prop_assert!(joint.total_variation(&law) < ZERO);
    }

    #[test]
    fn a_constraint_renormalises_each_row(alpha in 0.3f64..2.0, seed: u64, backwards: bool) {
        let joint = random(alpha, seed);
        let filter = Constrain::new([(0, vec![0, 1]), (2, vec![1, 2])]).unwrap();
        let allowed = |p: f64, token: TokenId, position: usize, _: &[TokenId]| match position {
            0 if token > 1 => 0.0,
            2 if token < 1 => 0.0,
            _ => p,
        };
        let law = filtered(&joint, filter, backwards);
        prop_assert!(law.total_variation(&product(&joint, backwards, allowed)) < ZERO);
    }

    #[test]
    fn a_constraint_revealed_first_conditions(alpha in 0.3f64..2.0, seed: u64) {
        let joint = random(alpha, seed);
        let first = filtered(&joint, Constrain::new([(0, [0, 1])]).unwrap(), false);
        prop_assert!(first.total_variation(&given_low(&joint, 0)) < ZERO);
        // Single tokens revealed first are infilling.
        let forced = Constrain::new([(0, [1]), (1, [2])]).unwrap();
        let mask = joint.mask();
        let infilled = joint.given(&[1, 2, mask]).unwrap();
        prop_assert!(filtered(&joint, forced, false).total_variation(&infilled) < ZERO);
    }

    #[test]
    fn constraints_on_independent_positions_condition(seed: u64, backwards: bool) {
        let dependent = random(0.5, seed);
        let product = dependent.product_of_marginals();
        let weights: Vec<f64> = product.iter().map(|(_, p)| p).collect();
        prop_assume!(weights.len() == 27);
        let joint = TabularJoint::new(3, 3, &weights).unwrap();
        let law = filtered(&joint, Constrain::new([(1, [0, 1])]).unwrap(), backwards);
        prop_assert!(law.total_variation(&given_low(&joint, 1)) < ZERO);
    }

    #[test]
    fn a_minimum_length_is_a_constraint(alpha in 0.3f64..2.0, seed: u64, backwards: bool) {
        let joint = random(alpha, seed);
        let ends = filtered(&joint, MinLength::new(2, [2]), backwards);
        let free = Constrain::new([(0, [0, 1]), (1, [0, 1])]).unwrap();
        prop_assert!(ends.total_variation(&filtered(&joint, free, backwards)) < ZERO);
    }
}

/// The same measure sees every way of being wrong, and every claim's limits.
#[test]
fn wrong_laws_are_told_apart() {
    let joint = random(0.3, 5);
    let far = |one: &Law, other: &Law| {
        let distance = one.total_variation(other);
        assert!(distance > 0.01, "{distance}");
    };
    let penalty = |nats| filtered(&joint, Penalty::new([0, 2], nats).unwrap(), false);
    far(&penalty(1.0), &penalty(1.5));
    far(&penalty(1.0), &joint.law());
    let repetition = |backwards| filtered(&joint, RepetitionPenalty::new(2.0).unwrap(), backwards);
    // No joint has these rows: the order counts, as it does not without the filter.
    far(&repetition(false), &repetition(true));
    far(&repetition(false), &joint.law());
    // Revealed last, a constraint comes too late to condition.
    let constrain = || Constrain::new([(0, [0, 1])]).unwrap();
    far(&filtered(&joint, constrain(), true), &given_low(&joint, 0));
    far(&filtered(&joint, constrain(), false), &joint.law());
    far(&filtered(&joint, MinLength::new(1, [2]), false), &joint.law());
}
