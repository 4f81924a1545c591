//! Processes written down from their definitions, apart from any strategy: the law is carried forward
//! state by state.
#![allow(dead_code, missing_docs)] // each test file uses its part

use std::collections::BTreeMap;

use conjoint_core::TokenId;
use conjoint_testkit::{Law, TabularJoint};

/// The tokens, and what else the process remembers: numbers by their bits, so that states compare.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct State {
    pub tokens: Vec<TokenId>,
    pub memory: Vec<u64>,
}

impl State {
    pub fn remember(&mut self, slot: usize, number: f64) {
        self.memory[slot] = number.to_bits();
    }

    pub fn recall(&self, slot: usize) -> f64 {
        f64::from_bits(self.memory[slot])
    }
}

/// One step from a state: the states it may lead to and their probabilities.
pub type Step<'a> = dyn Fn(usize, &State) -> Vec<(State, f64)> + 'a;

/// The law of the tokens after `steps` steps from all masked, with one number remembered a position.
pub fn evolve(joint: &TabularJoint, steps: usize, step: &Step<'_>) -> Law {
    let blank = State { tokens: joint.masked(), memory: vec![0; joint.length()] };
    let mut states = BTreeMap::from([(blank, 1.0)]);
    for i in 0..steps {
        let mut next = BTreeMap::new();
        for (state, reached) in &states {
            for (state, p) in step(i, state) {
                *next.entry(state).or_insert(0.0) += reached * p;
            }
        }
        states = next;
    }
    let unfinished = |state: &State| state.tokens.contains(&joint.mask());
    assert!(!states.iter().any(|(state, &p)| p > 1e-12 && unfinished(state)));
    states.into_iter().map(|(state, p)| (state.tokens, p)).collect()
}

/// A token drawn at a masked position, with its probability.
#[derive(Debug, Clone, Copy)]
pub struct Draw {
    pub position: usize,
    pub token: TokenId,
    pub p: f64,
}

/// The probability of the token at `position` given all others known, its own left out.
pub fn shadow(joint: &TabularJoint, tokens: &[TokenId], position: usize) -> f64 {
    row(joint, tokens, position)[tokens[position] as usize]
}

/// The row of `position` given all others known.
pub fn row(joint: &TabularJoint, tokens: &[TokenId], position: usize) -> Vec<f64> {
    let mut hidden = tokens.to_vec();
    hidden[position] = joint.mask();
    joint.conditional(&hidden, position).unwrap()
}

/// Every way of drawing a token at each of `positions` on its own, and its probability.
pub fn draws(
    joint: &TabularJoint,
    tokens: &[TokenId],
    positions: &[usize],
) -> Vec<(Vec<Draw>, f64)> {
    let mut all = vec![(Vec::new(), 1.0)];
    for &position in positions {
        let row = row(joint, tokens, position);
        let with = |(drawn, reached): &(Vec<Draw>, f64)| {
            let possible = (0..).zip(&row).filter(|&(_, &p)| p > 0.0);
            let one = |(token, &p): (TokenId, &f64)| {
                let draw = Draw { position, token, p };
                ([&drawn[..], &[draw]].concat(), reached * p)
            };
            possible.map(one).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(with).collect();
    }
    all
}

/// The masked and the known positions.
pub fn split(joint: &TabularJoint, tokens: &[TokenId]) -> (Vec<usize>, Vec<usize>) {
    (0..tokens.len()).partition(|&position| tokens[position] == joint.mask())
}

/// The draws that a threshold sampler reveals: all with p > τ, or else the leftmost of the largest p.
pub fn bold(drawn: &[Draw], threshold: f64) -> Vec<Draw> {
    let sure: Vec<Draw> = drawn.iter().copied().filter(|draw| draw.p > threshold).collect();
    if !sure.is_empty() {
        return sure;
    }
    let most = drawn.iter().map(|draw| draw.p).fold(0.0, f64::max);
    drawn.iter().copied().find(|draw| draw.p == most).into_iter().collect()
}
