//! The law of one token a step behind a filter, from the definition of the filter.

use crate::common::{generator, law};
use conjoint_core::filter::Filter;
use conjoint_core::order::LeftToRight;
use conjoint_core::unmasker::ExactSequential;
use conjoint_core::{Error, Row, TokenId};
use conjoint_core::{Observation, Order};
use conjoint_testkit::{Law, TabularJoint};

#[derive(Clone)]
struct RightToLeft;

impl Order for RightToLeft {
    fn score(&self, _: &Observation<'_>, candidate: Row) -> Result<f64, Error> {
        Ok(candidate.index() as f64)
    }
}

/// The law of one token a step behind `filter`, from left to right, or from right to left if `backwards`.
pub fn filtered(joint: &TabularJoint, filter: impl Filter + 'static, backwards: bool) -> Law {
    let strategy = match backwards {
        false => ExactSequential::new(LeftToRight),
        true => ExactSequential::new(RightToLeft),
    };
    law(&generator(joint, 1, strategy).filter(filter), joint)
}

/// The product of the rows in the order of revealing. `weight` changes a token's probability p at `position` given the
/// known tokens, and each row is normalised anew.
pub fn product(
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

/// The joint given that `position` holds token 0 or 1.
pub fn given_low(joint: &TabularJoint, position: usize) -> Law {
    let table = joint.law();
    let holds = |x: &[TokenId]| x[position] < 2;
    let total: f64 = table.iter().filter(|(x, _)| holds(x)).map(|(_, p)| p).sum();
    table.iter().filter(|(x, _)| holds(x)).map(|(x, p)| (x.to_vec(), p / total)).collect()
}

pub fn random(alpha: f64, seed: u64) -> TabularJoint {
    TabularJoint::random(3, 3, alpha, seed).unwrap()
}
