//! Laws of policies from their definitions, with independent draws.

use std::collections::BTreeMap;

use conjoint_core::TokenId;
use conjoint_core::schedule::TokensPerStep;
use conjoint_core::strategy::Strategy;
use conjoint_testkit::{Law, TabularJoint};

use super::{forwards, nearly_certain, uncertain};

/// A masked position and its row.
pub type Row = (usize, Vec<f64>);

/// The positions that a step reveals, those that it remasks, and its state afterwards.
pub type Step<S> = (Vec<usize>, Vec<usize>, S);

/// The law of independent draws at the positions that `step` selects.
///
/// `step` gets the rows of the masked positions, and those of the revealed positions with their own token masked.
pub fn policy_law<S: Clone>(
    joint: &TabularJoint,
    state: S,
    step: impl Fn(&[Row], &[Row], S) -> Step<S>,
) -> Law {
    let mut law = Law::default();
    let mut open = vec![(joint.masked(), 1.0, state)];
    while let Some((tokens, weight, state)) = open.pop() {
        let row = |&p: &usize| {
            let mut seen: Vec<TokenId> = tokens.clone();
            seen[p] = joint.mask();
            (p, joint.conditional(&seen, p).unwrap())
        };
        let of = |masked: bool| {
            let positions = (0..tokens.len()).filter(|&p| (tokens[p] == joint.mask()) == masked);
            positions.collect::<Vec<_>>().iter().map(row).collect::<Vec<Row>>()
        };
        let (masked, known) = (of(true), of(false));
        if masked.is_empty() {
            law.add(tokens, weight);
            continue;
        }
        let (reveal, remask, state) = step(&masked, &known, state);
        let mut cleared = tokens;
        remask.iter().for_each(|&p| cleared[p] = joint.mask());
        let mut drawn = vec![(cleared, weight)];
        for (position, row) in masked.iter().filter(|(p, _)| reveal.contains(p)) {
            let extend = |(tokens, weight): (Vec<TokenId>, f64)| {
                let each = (0..).zip(row).map(move |(token, &p)| {
                    let mut tokens = tokens.clone();
                    tokens[*position] = token;
                    (tokens, weight * p)
                });
                each.filter(|(_, weight)| *weight > 0.0).collect::<Vec<_>>()
            };
            drawn = drawn.into_iter().flat_map(extend).collect();
        }
        open.extend(drawn.into_iter().map(|(tokens, weight)| (tokens, weight, state.clone())));
    }
    law
}

pub fn peak(row: &[f64]) -> f64 {
    row.iter().copied().fold(0.0, f64::max)
}

pub fn entropy(row: &[f64]) -> f64 {
    row.iter().filter(|&&p| p > 0.0).map(|p| -p * p.ln()).sum()
}

/// The position with the highest score, the leftmost of equals.
pub fn best(rows: &[Row], score: impl Fn(&[f64]) -> f64) -> usize {
    let mut best = 0;
    for i in 1..rows.len() {
        if score(&rows[i].1) > score(&rows[best].1) + 1e-9 {
            best = i;
        }
    }
    rows[best].0
}

/// Saber's threshold if `grows` (otherwise a threshold of 1), with its backtracking if `remasks`.
///
/// The state holds the confidences accepted so far, and the largest probabilities of the last step.
pub fn saber_law(joint: &TabularJoint, least: usize, remasks: bool, grows: bool) -> Law {
    type State = (BTreeMap<usize, f64>, Vec<f64>);
    let start: State = (BTreeMap::new(), vec![0.0; joint.length()]);
    let step = |masked: &[Row], known: &[Row], (mut accepted, mut last): State| {
        let mean = accepted.values().sum::<f64>() / accepted.len() as f64;
        let tau = if accepted.is_empty() || !grows { 1.0 } else { mean };
        let mut ranked: Vec<(f64, usize)> = masked.iter().map(|(p, row)| (peak(row), *p)).collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let sure = ranked.iter().filter(|(c, _)| *c > tau).count();
        ranked.truncate(sure.max(least));
        accepted.extend(ranked.iter().map(|&(c, p)| (p, c)));
        let selected: Vec<usize> = ranked.iter().map(|&(_, p)| p).collect();
        let mut rises: Vec<(f64, usize)> = Vec::new();
        for (p, row) in masked.iter().chain(known) {
            let rise = peak(row) - std::mem::replace(&mut last[*p], peak(row));
            let is_known = known.iter().any(|(other, _)| other == p);
            if is_known || selected.contains(p) {
                rises.push((rise, *p));
            }
        }
        rises.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let k = selected.len();
        rises.truncate(if remasks { (least / 2).max(k.div_ceil(8)).min(k - 1) } else { 0 });
        let back: Vec<usize> = rises.into_iter().map(|(_, p)| p).collect();
        let reveal = selected.into_iter().filter(|p| !back.contains(p)).collect();
        let back = back.into_iter().filter(|p| known.iter().any(|(q, _)| q == p)).collect();
        (reveal, back, (accepted, last))
    };
    policy_law(joint, start, step)
}

/// Fails unless each broken variant differs from the law of the strategy on at least one of several joints.
///
/// `case` returns the law of the strategy, and the laws of the variants by name.
pub fn assert_detected(case: impl Fn(&TabularJoint) -> (Law, Vec<(&'static str, Law)>)) {
    let mut largest: BTreeMap<&str, f64> = BTreeMap::new();
    for seed in 0..12 {
        let (law, variants) = case(&TabularJoint::random(4, 2, 0.6, seed).unwrap());
        for (name, variant) in variants {
            let distance = largest.entry(name).or_default();
            *distance = distance.max(law.total_variation(&variant));
        }
    }
    for (name, distance) in largest {
        assert!(distance > 0.003, "{name}: {distance} at most");
    }
}

/// Fails unless four positions cost `expected` forwards where rows are nearly certain, and one each where they are uniform.
pub fn assert_forwards(strategy: impl Fn() -> Strategy, expected: usize) {
    let one = || TokensPerStep::new(1).unwrap();
    assert_eq!(forwards(&nearly_certain(), one(), strategy()), expected);
    assert_eq!(forwards(&uncertain(), one(), strategy()), 4);
}
