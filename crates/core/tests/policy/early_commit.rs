//! `EarlyCommit`: the law of its definition with independent draws, and the window it accepts.

use crate::common::function_model::FunctionModel;
use crate::common::policy_law::Row;
use crate::common::policy_law::{best, entropy, policy_law};
use crate::common::{ZERO, cases, law, oracle, together};
use conjoint_core::order::Entropy;
use conjoint_core::policy::{EarlyCommit, Ranked};
use conjoint_core::schedule::TokensPerStep;
use conjoint_core::{Canvas, Generator};
use conjoint_testkit::{Law, TabularJoint};
use proptest::prelude::*;

/// One position a step by entropy, until the gap of the answer's two largest logits reaches a bound.
fn early_commit(joint: &TabularJoint, window: [usize; 2], gaps: [f64; 3]) -> Law {
    let step = |masked: &[Row], known: &[Row], (): ()| {
        let progress = known.len() as f64 / joint.length() as f64;
        let gap = |p: usize| {
            let mut row = masked.iter().chain(known).find(|(q, _)| *q == p).unwrap().1.clone();
            row.sort_by(|a, b| b.total_cmp(a));
            row[0].ln() - row[1].ln()
        };
        let mean = (window[0]..window[1]).map(gap).sum::<f64>() / (window[1] - window[0]) as f64;
        let third = usize::from(progress >= 0.33) + usize::from(progress >= 0.67);
        if mean >= gaps[third] {
            return (masked.iter().map(|(p, _)| *p).collect(), vec![], ());
        }
        (vec![best(masked, |row| -entropy(row))], vec![], ())
    };
    policy_law(joint, (), step)
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn is_as_defined(alpha in 0.3f64..2.0, a in 0.5f64..0.95, b in 0.4f64..0.95, seed: u64) {
        let joint = TabularJoint::random(4, 2, alpha, seed).unwrap();
        let (low, high) = (a.min(b), a.max(b));
        let gaps = [2.0 * high, high, low];
        let one = Ranked::new(Entropy, TokensPerStep::ONE);
        let policy = EarlyCommit::new(one, 1..3).unwrap().gaps(gaps).unwrap();
        let law = law(&Generator::new(oracle(&joint)).unmasker(together(policy)), &joint);
        let distance = law.total_variation(&early_commit(&joint, [1, 3], gaps));
        prop_assert!(distance < ZERO, "{distance}");
    }
}

#[test]
fn a_window_beyond_the_sequence_is_an_error() {
    let one = Ranked::new(Entropy, TokensPerStep::ONE);
    let commit = EarlyCommit::new(one, 2..6).unwrap();
    let model = FunctionModel::new(|_: &Canvas, _| [0.0; 4]);
    let generator = Generator::new(model).unmasker(together(commit));
    let run = |length| generator.run(vec![Canvas::new(&[1], length, 4).unwrap()], &mut ());
    assert!(run(5).is_ok());
    let error = run(4).unwrap_err().to_string();
    assert!(error.contains("answer window") && error.contains("0..5"), "{error}");
}
