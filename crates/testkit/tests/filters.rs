//! The law under a filter: left to right, it is the product of the filtered conditionals.

mod common;

use common::{ZERO, generator, law};
use conjoint_core::filter::{Filter, MinP, Temperature, TopK, TopP};
use conjoint_core::order::LeftToRight;
use conjoint_core::unmasker::{ExactSequential, LearnedJoint};
use conjoint_testkit::{ExactRefiner, Law, TabularJoint};
use proptest::prelude::*;

/// A filter on probabilities [V], from its definition; what it removes is 0 and nothing is
/// normalised.
type Rule = Box<dyn Fn(&[f64]) -> Vec<f64>>;

fn tempered(t: f64) -> Rule {
    Box::new(move |p| p.iter().map(|p| p.powf(1.0 / t)).collect())
}

/// Keeps the i-th most probable token if `keep(i, mass before it, p, largest p)`.
fn truncated(keep: impl Fn(usize, f64, f64, f64) -> bool + 'static) -> Rule {
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

/// Π_i q(x_i | x_<i), q being the conditional after the rules, each normalised.
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

/// The law of left-to-right sampling behind `filter`: one token a step, and refined two a step.
fn laws(joint: &TabularJoint, filter: impl Filter + Clone + 'static) -> [Law; 2] {
    let sequential = generator(joint, 1, ExactSequential::new(LeftToRight));
    let refined = generator(joint, 2, LearnedJoint::new(ExactRefiner).order(LeftToRight));
    [sequential, refined].map(|generator| law(&generator.filter(filter.clone()), joint))
}

proptest! {
    #![proptest_config(common::cases(48))]

    #[test]
    fn each_filter_and_a_chain_of_two(
        t in 0.3f64..2.0, p in 0.2f64..0.95, k in 1usize..=3, m in 0.05f64..0.9,
        alpha in 0.3f64..2.0, seed: u64,
    ) {
        let joint = TabularJoint::random(3, 3, alpha, seed).unwrap();
        let top_p = move || truncated(move |_, before, _, _| before <= p);
        let temperature = Temperature::new(t).unwrap();
        let nucleus = TopP::new(p).unwrap();
        let top_k = TopK::new(k).unwrap();
        for (name, laws, rules) in [
            ("temperature", laws(&joint, temperature), vec![tempered(t)]),
            ("top-p", laws(&joint, nucleus), vec![top_p()]),
            ("top-k", laws(&joint, top_k), vec![truncated(move |i, _, _, _| i < k)]),
            (
                "min-p",
                laws(&joint, MinP::new(m).unwrap()),
                vec![truncated(move |_, _, p, most| p >= m * most)],
            ),
            (
                "temperature, then top-p",
                laws(&joint, temperature.then(nucleus)),
                vec![tempered(t), top_p()],
            ),
        ] {
            let expected = filtered_law(&joint, &rules);
            for law in laws {
                let distance = law.total_variation(&expected);
                prop_assert!(distance < ZERO, "{name}: {distance}");
            }
        }
    }
}

/// No filter leaves the joint; tempering it is another law; the order of a chain counts.
#[test]
fn filters_change_the_law() {
    let joint = TabularJoint::random(3, 3, 0.5, 5).unwrap();
    assert!(joint.total_variation(&filtered_law(&joint, &[])) < ZERO);
    let [tempered, _] = laws(&joint, Temperature::new(0.5).unwrap());
    assert!(joint.total_variation(&tempered) > 0.05);
    let (t, p) = (Temperature::new(2.0).unwrap(), TopP::new(0.6).unwrap());
    let [one, _] = laws(&joint, t.then(p));
    let [other, _] = laws(&joint, p.then(t));
    assert!(one.total_variation(&other) > 0.05);
}
