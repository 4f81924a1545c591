//! `EnergyResampling`: the law of self-normalised importance resampling.

use std::ops::Range;

use crate::common::{ZERO, blank, cases, generator, law, oracle, parity};
use conjoint_core::unmasker::EnergyResampling;
use conjoint_core::{Autoregressive, DenseRows, Error, Generator, TokenId, reviser};
use conjoint_testkit::{Law, MarginalAutoregressive, TabularAutoregressive, TabularJoint};
use proptest::prelude::*;

fn exact(joint: &TabularJoint) -> TabularAutoregressive {
    TabularAutoregressive::new(joint.clone())
}

/// Rows that a reviser queries are not mistaken for rows of later blocks.
#[test]
fn queries_of_a_reviser_change_nothing() {
    let joint = TabularJoint::random(6, 2, 0.5, 3).unwrap();
    let generator = || {
        let energy = EnergyResampling::new(exact(&joint)).completions(3).unwrap();
        Generator::new(oracle(&joint)).unmasker(energy).block_length(3).unwrap()
    };
    // It queries the row of every revealed position, and revokes none.
    let querying = reviser::Hierarchical::new(1e-9).unwrap();
    for seed in 0..20 {
        let run = |generator: Generator| {
            generator.seed(seed).run(vec![blank(&joint)], &mut ()).unwrap()[0].tokens.clone()
        };
        assert_eq!(run(generator().reviser(querying.clone())), run(generator()), "{seed}");
    }
}

/// The law of keeping one of k draws from `q` with probability ∝ p/q, from the definition.
fn resampled(p: &Law, q: &Law, k: u32) -> Law {
    let draws: Vec<(&[TokenId], f64)> = q.iter().collect();
    let mut law = Law::default();
    for tuple in 0..draws.len().pow(k) {
        let picks = (0..k).map(|j| draws[tuple / draws.len().pow(j) % draws.len()]);
        let picks: Vec<_> = picks.collect();
        let reached: f64 = picks.iter().map(|(_, q)| q).product();
        let weights: Vec<f64> = picks.iter().map(|(x, q)| p.probability(x) / q).collect();
        let total: f64 = weights.iter().sum();
        for (n, (x, _)) in picks.iter().enumerate() {
            let kept = if total > 0.0 { weights[n] / total } else { f64::from(n == 0) };
            law.add(x.to_vec(), reached * kept);
        }
    }
    law
}

fn at_once(joint: &TabularJoint, k: usize, scorer: impl Autoregressive + 'static) -> Law {
    let strategy = EnergyResampling::new(scorer).completions(k).unwrap();
    law(&generator(joint, joint.length(), strategy), joint)
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn is_self_normalised_importance_resampling(
        symbols in 2usize..=3, alpha in 0.2f64..2.0, seed: u64,
    ) {
        let joint = TabularJoint::random(2, symbols, alpha, seed).unwrap();
        let product = joint.product_of_marginals();
        for k in 1..=3 {
            let expected = resampled(&joint.law(), &product, k);
            let got = at_once(&joint, k as usize, exact(&joint));
            prop_assert!(got.total_variation(&expected) < ZERO, "k = {k}");
        }
    }
}

#[test]
fn completions_that_the_scorer_rules_out_are_kept_only_together() {
    let parity = parity();
    let expected = resampled(&parity.law(), &parity.product_of_marginals(), 2);
    let got = at_once(&parity, 2, exact(&parity));
    assert!(got.total_variation(&expected) < ZERO);
    // Half of the draws are impossible; both are with probability 1/4.
    assert!((parity.total_variation(&got) - 0.25).abs() < ZERO);
}

#[test]
fn more_completions_are_nearer_the_joint() {
    let mut means = [0.0; 3];
    for seed in 0..20 {
        let joint = TabularJoint::random(2, 3, 0.3, seed).unwrap();
        for (k, mean) in (1..).zip(&mut means) {
            *mean += joint.total_variation(&at_once(&joint, k, exact(&joint))) / 20.0;
        }
    }
    assert!(means[1] < 0.75 * means[0] && means[2] < 0.85 * means[1], "{means:?}");
}

/// Positions beyond the block count too. Only the first of two is revealed, from the completion kept. The second is then
/// drawn from its true conditional. So it is not exact at K = 1, though both models are.
#[test]
fn later_blocks_are_completed_too() {
    let mut bias = 0.0;
    for seed in 0..20 {
        let joint = TabularJoint::random(2, 3, 0.3, seed).unwrap();
        let pairs = resampled(&joint.law(), &joint.product_of_marginals(), 2);
        let first = pairs.map(|x| vec![x[0]]);
        let mut expected = Law::default();
        for (x, _) in joint.law().iter() {
            let second = joint.conditional(&[x[0], joint.mask()], 1).unwrap();
            expected.add(x.to_vec(), first.probability(&x[..1]) * second[x[1] as usize]);
        }
        let generator = generator(&joint, 1, EnergyResampling::new(exact(&joint)));
        let got = law(&generator.block_length(1).unwrap(), &joint);
        assert!(got.total_variation(&expected) < ZERO);
        bias += joint.total_variation(&got) / 20.0;
    }
    assert!((bias - 0.03).abs() < 0.015, "{bias}");
}

/// Broken on purpose: the weight exp(+E) instead of exp(−E). With all positions drawn at once from their marginals, the
/// second model computes q.
struct WrongSign(TabularAutoregressive, MarginalAutoregressive);

impl Autoregressive for WrongSign {
    fn rows(&self, tokens: &[TokenId], positions: Range<usize>) -> Result<DenseRows, Error> {
        self.0.rows(tokens, positions)
    }

    fn log_likelihood(&self, x: &[TokenId], positions: Range<usize>) -> Result<f64, Error> {
        let log_q = self.1.log_likelihood(x, positions.clone())?;
        Ok(2.0 * log_q - self.0.log_likelihood(x, positions)?)
    }
}

#[test]
fn broken_variants_are_detected() {
    let joint = TabularJoint::random(2, 3, 1.0, 2).unwrap();
    let marginals = MarginalAutoregressive::new(joint.clone());
    let expected = resampled(&joint.law(), &joint.product_of_marginals(), 2);
    let wrong_sign = at_once(&joint, 2, WrongSign(exact(&joint), marginals.clone()));
    assert!(wrong_sign.total_variation(&expected) > 0.05);
    let independent = joint.total_variation(&joint.product_of_marginals());
    assert!(joint.total_variation(&wrong_sign) > independent);
    let unweighted = at_once(&joint, 2, marginals);
    assert!((joint.total_variation(&unweighted) - independent).abs() < ZERO);
}

#[test]
fn a_failure_of_the_scorer_is_returned() {
    crate::failing::assert_error_is_returned(EnergyResampling::new(crate::failing::Failing));
}
