//! `CreditDecoding`: the law of its definition, one position a step by entropy.

use crate::common::function_model::FunctionModel;
use crate::common::policy_law::assert_detected;
use crate::common::policy_law::{best, entropy};
use crate::common::{ZERO, cases, law, oracle, together};
use conjoint_core::filter::CreditDecoding;
use conjoint_core::order::Entropy;
use conjoint_core::policy::{EarlyCommit, Ranked};
use conjoint_core::schedule::TokensPerStep;
use conjoint_core::strategy::Strategy;
use conjoint_core::{Canvas, Generator};
use conjoint_testkit::{Law, TabularJoint};
use proptest::prelude::*;

/// The law of one position a step, by entropy, from credited rows.
fn credited(joint: &TabularJoint, alpha: f64, beta: f64) -> Law {
    let mut law = Law::default();
    let start = (joint.masked(), 1.0, vec![[0.0; 2]; joint.length()]);
    let mut open = vec![start];
    while let Some((tokens, weight, mut credits)) = open.pop() {
        let masked: Vec<usize> = (0..tokens.len()).filter(|&p| tokens[p] == joint.mask()).collect();
        if masked.is_empty() {
            law.add(tokens, weight);
            continue;
        }
        let mut rows = Vec::new();
        for &p in &masked {
            let row = joint.conditional(&tokens, p).unwrap();
            let top = if row[1] > row[0] + 1e-9 { 1 } else { 0 };
            credits[p].iter_mut().for_each(|credit| *credit *= beta);
            credits[p][top] += row[top].powf(0.2);
            let boost = |v: usize| row[v] * (1.0 + credits[p][v]).powf(alpha);
            let z = boost(0) + boost(1);
            rows.push((p, vec![boost(0) / z, boost(1) / z]));
        }
        let place = best(&rows, |row| -entropy(row));
        let row = rows.iter().find(|(p, _)| *p == place).unwrap().1.clone();
        for (token, p) in (0..).zip(row).filter(|(_, p)| *p > 0.0) {
            let mut tokens = tokens.clone();
            tokens[place] = token;
            open.push((tokens, weight * p, credits.clone()));
        }
    }
    law
}

fn law_of(joint: &TabularJoint, weight: f64, beta: f64) -> Law {
    let filter = CreditDecoding::new(weight, beta, 0.2).unwrap();
    law(&Generator::new(oracle(joint)).filter(filter), joint)
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn is_as_defined(alpha in 0.3f64..2.0, weight in 0.0f64..2.0, beta in 0.0f64..=1.0, seed: u64) {
        let joint = TabularJoint::random(3, 2, alpha, seed).unwrap();
        let law = law_of(&joint, weight, beta);
        let distance = law.total_variation(&credited(&joint, weight, beta));
        prop_assert!(distance < ZERO, "{distance}");
    }
}

#[test]
fn broken_variants_are_detected() {
    assert_detected(|joint| {
        let broken = vec![
            ("credit without decay", credited(joint, 1.0, 1.0)),
            ("credit without memory", credited(joint, 1.0, 0.0)),
            ("no credit", credited(joint, 0.0, 0.5)),
        ];
        (law_of(joint, 1.0, 0.5), broken)
    });
}

/// `EarlyCommit` queries further rows. With gaps of +∞ it never commits, and the credits stay the same.
#[test]
fn queried_rows_earn_no_credit() {
    // Rows that depend on the position and on the known tokens. Some have one possible token.
    let rows = |canvas: &Canvas, position: usize| {
        let known: u32 = canvas.tokens().iter().sum();
        let mut row = [0.0; 4];
        row[(position + known as usize) % 4] = 1.0 + position as f32 / 8.0;
        row
    };
    let one = || Ranked::new(Entropy, TokensPerStep::ONE);
    let commit = EarlyCommit::new(one(), 1..5).unwrap().gaps([f64::INFINITY; 3]).unwrap();
    let generator = Generator::new(FunctionModel::new(rows)).filter(CreditDecoding::default());
    let tokens = |strategy: Strategy| {
        let canvases = vec![Canvas::new(&[1], 5, 4).unwrap(); 4];
        let outputs = generator.clone().unmasker(strategy).run(canvases, &mut ()).unwrap();
        outputs.into_iter().map(|output| output.tokens).collect::<Vec<_>>()
    };
    assert_eq!(tokens(together(commit)), tokens(together(one())));
}
