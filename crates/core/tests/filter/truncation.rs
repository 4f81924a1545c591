//! The law of left-to-right sampling behind filters that depend on the row alone: the product of the filtered rows.

use crate::common::{ZERO, generator, law};
use conjoint_core::filter::{Filter, Temperature, TopP};
use conjoint_core::order::LeftToRight;
use conjoint_core::unmasker::{ExactSequential, LearnedJoint};
use conjoint_testkit::{ExactRefiner, Law, TabularJoint};

/// A filter on probabilities \[V\], from its definition. It sets removed tokens to 0 and does not normalise.
pub type Rule = Box<dyn Fn(&[f64]) -> Vec<f64>>;

/// Keeps the i-th most probable token if `keep(i, mass before it, p, largest p)` holds.
pub fn truncated(keep: impl Fn(usize, f64, f64, f64) -> bool + 'static) -> Rule {
    Box::new(move |p| {
        let mut sorted: Vec<usize> = (0..p.len()).collect();
        sorted.sort_by(|&a, &b| p[b].total_cmp(&p[a]));
        let (mut kept, mut before) = (vec![0.0; p.len()], 0.0);
        for (i, &token) in sorted.iter().enumerate() {
            if keep(i, before, p[token], p[sorted[0]]) {
                kept[token] = p[token];
            }
            before += p[token];
        }
        kept
    })
}

fn normalised(p: Vec<f64>) -> Vec<f64> {
    let sum: f64 = p.iter().sum();
    p.into_iter().map(|p| p / sum).collect()
}

/// Π_i q(x_i | x_<i). q is the conditional after the rules, normalised after each.
fn filtered_law(joint: &TabularJoint, rules: &[Rule]) -> Law {
    let mut prefixes = vec![(joint.masked(), 1.0)];
    for position in 0..joint.length() {
        let mut longer = Vec::new();
        for (tokens, reached) in prefixes {
            let row = joint.conditional(&tokens, position).unwrap();
            let row = rules.iter().fold(row, |row, rule| normalised(rule(&row)));
            for (token, p) in (0..).zip(row).filter(|&(_, p)| p > 0.0) {
                let mut tokens = tokens.clone();
                tokens[position] = token;
                longer.push((tokens, reached * p));
            }
        }
        prefixes = longer;
    }
    prefixes.into_iter().collect()
}

/// The law of left-to-right sampling behind `filter`: with one token a step, and with two refined tokens a step.
pub fn laws(joint: &TabularJoint, filter: impl Filter + Clone + 'static) -> [Law; 2] {
    let sequential = generator(joint, 1, ExactSequential::new(LeftToRight));
    let refined = generator(joint, 2, LearnedJoint::new(ExactRefiner).order(LeftToRight));
    [sequential, refined].map(|generator| law(&generator.filter(filter.clone()), joint))
}

/// Fails unless one token a step, and two refined tokens a step, have the law of the rules.
pub fn assert_law(joint: &TabularJoint, filter: impl Filter + Clone + 'static, rules: &[Rule]) {
    let expected = filtered_law(joint, rules);
    for law in laws(joint, filter) {
        let distance = law.total_variation(&expected);
        assert!(distance < ZERO, "{distance}");
    }
}

#[test]
fn without_rules_the_law_is_the_joint() {
    let joint = TabularJoint::random(3, 3, 0.5, 5).unwrap();
    assert!(joint.total_variation(&filtered_law(&joint, &[])) < ZERO);
}

#[test]
fn the_order_of_a_chain_matters() {
    let joint = TabularJoint::random(3, 3, 0.5, 5).unwrap();
    let (t, p) = (Temperature::new(2.0).unwrap(), TopP::new(0.6).unwrap());
    let [one, _] = laws(&joint, t.then(p));
    let [other, _] = laws(&joint, p.then(t));
    assert!(one.total_variation(&other) > 0.05);
}
