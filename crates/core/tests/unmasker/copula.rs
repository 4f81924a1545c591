//! `Copula`: the joint, if both models are right and at most one hole has known text on its right.

use crate::common::{ZERO, cases, distance, generator, law, parity};
use conjoint_core::unmasker::Copula;
use conjoint_core::{Canvas, TokenId};
use conjoint_testkit::{MarginalAutoregressive, TabularAutoregressive, TabularJoint, exact_law};
use proptest::prelude::*;

fn exact(joint: &TabularJoint) -> TabularAutoregressive {
    TabularAutoregressive::new(joint.clone())
}

fn assert_exact(joint: &TabularJoint, tokens: &[TokenId], k: usize) {
    let distance = distance(&generator(joint, k, Copula::new(exact(joint))), joint, tokens);
    assert!(distance < ZERO, "{tokens:?}, K = {k}: {distance}");
}

proptest! {
    #![proptest_config(cases(48))]

    /// For every K, with and without a prompt.
    #[test]
    fn exact_where_nothing_is_known_on_the_right(
        symbols in 2usize..=3, alpha in 0.2f64..2.0, seed: u64, k in 1usize..=3, first in 0u32..2,
    ) {
        let joint = TabularJoint::random(3, symbols, alpha, seed).unwrap();
        assert_exact(&joint, &joint.masked(), k);
        assert_exact(&joint, &[first, joint.mask(), joint.mask()], k);
    }

    /// One token a step, with known tokens on the right.
    #[test]
    fn exact_one_at_a_time(
        symbols in 2usize..=3, alpha in 0.2f64..2.0, seed: u64, last in 0u32..2,
    ) {
        let joint = TabularJoint::random(4, symbols, alpha, seed).unwrap();
        let mask = joint.mask();
        for tokens in [[mask, mask, mask, last], [mask, last, mask, 0], [last, mask, 1, mask]] {
            assert_exact(&joint, &tokens, 1);
        }
    }
}

#[test]
fn blocks_change_nothing() {
    let joint = TabularJoint::random(4, 2, 0.5, 3).unwrap();
    for block in [1, 2] {
        let generator = generator(&joint, 2, Copula::new(exact(&joint)));
        let generator = generator.block_length(block).unwrap();
        assert!(distance(&generator, &joint, &joint.masked()) < ZERO, "{block}");
    }
}

/// Two holes before a known parity. Either is free, but one determines the other.
#[test]
fn not_exact_for_two_holes_at_once() {
    let two = generator(&parity(), 2, Copula::new(exact(&parity())));
    assert!((distance(&two, &parity(), &[2, 2, 1]) - 0.5).abs() < ZERO);
}

/// A prompt costs no further forward. A hole with known text on its right costs one more a step.
#[test]
fn only_holes_cost_further_forwards() {
    let joint = TabularJoint::random(3, 2, 0.5, 3).unwrap();
    let calls = |tokens: [TokenId; 3]| {
        let canvas = Canvas::infill(tokens.to_vec(), joint.mask()).unwrap();
        let generator = generator(&joint, 2, Copula::new(exact(&joint)));
        generator.run(vec![canvas], &mut ()).unwrap()[0].denoiser_calls
    };
    assert_eq!((calls([0, 2, 2]), calls([2, 2, 0])), (1, 2));
}

#[test]
fn alpha_is_the_power_of_the_correction() {
    let joint = TabularJoint::random(2, 3, 0.5, 9).unwrap();
    let given = [joint.mask(), 1];
    let (bi, causal) = (joint.conditional(&given, 0).unwrap(), joint.marginal(0).unwrap());
    for alpha in [0.0, 0.5, 2.0] {
        let weights: Vec<f64> =
            (0..3).map(|i| causal[i] * (bi[i] / causal[i]).powf(alpha)).collect();
        let total: f64 = weights.iter().sum();
        let strategy = Copula::new(exact(&joint)).alpha(alpha).unwrap();
        let canvas = Canvas::infill(given.to_vec(), joint.mask()).unwrap();
        let law = exact_law(&generator(&joint, 1, strategy), &canvas).unwrap();
        for (token, weight) in (0..).zip(weights) {
            assert!((law.probability(&[token, 1]) - weight / total).abs() < ZERO, "{alpha}");
        }
    }
}

/// With nothing known on the right, `Copula` samples the law of its second model.
#[test]
fn a_wrong_second_model_is_detected() {
    let joint = TabularJoint::random(3, 2, 0.3, 5).unwrap();
    let marginals = MarginalAutoregressive::new(joint.clone());
    let law = law(&generator(&joint, 3, Copula::new(marginals)), &joint);
    assert!(law.total_variation(&joint.product_of_marginals()) < ZERO);
    assert!(joint.total_variation(&law) > 0.05);
}

#[test]
fn a_failure_of_the_second_model_is_returned() {
    crate::failing::assert_error_is_returned(Copula::new(crate::failing::Failing));
}
