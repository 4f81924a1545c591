//! Sampling processes from their definitions, without any strategy. The law is computed forward, state by state.

use std::collections::BTreeMap;

use conjoint_core::TokenId;
use conjoint_testkit::{Law, TabularJoint};

/// The tokens, and the memory of the process: numbers stored as bits, so that states can be compared.
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

/// One step from a state: the possible next states and their probabilities.
pub type Step<'a> = dyn Fn(usize, &State) -> Vec<(State, f64)> + 'a;

/// The law of the tokens after `steps` steps from all masked, with one number of memory a position.
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

/// The probability of the token at `position` given the other known tokens.
pub fn probability_given_others(joint: &TabularJoint, tokens: &[TokenId], position: usize) -> f64 {
    row(joint, tokens, position)[tokens[position] as usize]
}

/// The row of `position` given the other known tokens.
pub fn row(joint: &TabularJoint, tokens: &[TokenId], position: usize) -> Vec<f64> {
    let mut hidden = tokens.to_vec();
    hidden[position] = joint.mask();
    joint.conditional(&hidden, position).unwrap()
}

/// Every combination of independent draws at `positions`, and its probability.
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

/// The masked and the known positions, in this order.
pub fn split(joint: &TabularJoint, tokens: &[TokenId]) -> (Vec<usize>, Vec<usize>) {
    (0..tokens.len()).partition(|&position| tokens[position] == joint.mask())
}

/// The draws that a threshold sampler reveals: all with p > τ, or else the leftmost of those with the largest p.
pub fn above(drawn: &[Draw], threshold: f64) -> Vec<Draw> {
    let sure: Vec<Draw> = drawn.iter().copied().filter(|draw| draw.p > threshold).collect();
    if !sure.is_empty() {
        return sure;
    }
    let most = drawn.iter().map(|draw| draw.p).fold(0.0, f64::max);
    drawn.iter().copied().find(|draw| draw.p == most).into_iter().collect()
}

/// The draw with the largest probability, the leftmost of equals.
pub fn best_draw<'a>(drawn: impl IntoIterator<Item = &'a Draw>) -> Option<Draw> {
    drawn.into_iter().copied().reduce(|best, draw| if draw.p > best.p { draw } else { best })
}

/// The state with these tokens revealed.
pub fn reveal_draws(state: &State, drawn: &[Draw]) -> State {
    let mut next = state.clone();
    drawn.iter().for_each(|draw| next.tokens[draw.position] = draw.token);
    next
}

/// Draws at all masked positions, then masks the `masked_after(step)` positions with the lowest scores.
///
/// The score is ln p of a drawn token, and `known_score` of a token that was revealed before.
pub fn keep_best_law(
    joint: &TabularJoint,
    steps: usize,
    masked_after: impl Fn(usize) -> usize,
    known_score: impl Fn(&State, usize) -> f64,
) -> Law {
    let step = |i: usize, state: &State| {
        let (masked, known) = split(joint, &state.tokens);
        if masked.is_empty() {
            return vec![(state.clone(), 1.0)];
        }
        let after = |(drawn, p): (Vec<Draw>, f64)| {
            let mut next = state.clone();
            // (score, new, position)
            let mut all: Vec<(f64, bool, usize)> = known
                .iter()
                .map(|&position| (known_score(state, position), false, position))
                .collect();
            for draw in &drawn {
                next.tokens[draw.position] = draw.token;
                next.remember(draw.position, draw.p);
                all.push((draw.p.ln(), true, draw.position));
            }
            all.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
            for &(_, _, position) in all.iter().rev().take(masked_after(i).min(masked.len())) {
                next.tokens[position] = joint.mask();
                next.remember(position, 0.0);
            }
            (next, p)
        };
        draws(joint, &state.tokens, &masked).into_iter().map(after).collect()
    };
    evolve(joint, steps, &step)
}
