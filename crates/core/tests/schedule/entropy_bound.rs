//! `EntropyBound`: within γ of the joint in each step with independent draws, and exact at γ = 0.

use crate::common::{ZERO, cases, law, oracle, orders};
use crate::laws::{Rule, assert_fewer_forwards, from_joint, with_certainties};
use conjoint_core::order::Entropy;
use conjoint_core::schedule::EntropyBound;
use conjoint_core::unmasker::Marginal;
use conjoint_core::{Generator, Schedule};
use conjoint_testkit::TabularJoint;
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(48))]

    /// Beside one token it reveals certain tokens only, in any order.
    #[test]
    fn a_bound_of_zero_is_exact(joint in with_certainties()) {
        for (name, order) in orders() {
            let bound = EntropyBound::new(0.0).unwrap();
            let distance = from_joint(&joint, bound, Marginal::new(order));
            prop_assert!(distance < ZERO, "{name}: {distance}");
        }
    }

    /// Each step is within γ of the joint, and of T positions at most ⌊T/2⌋ steps reveal several.
    #[test]
    fn bounds_the_divergence(
        symbols in 2usize..=3, alpha in 0.1f64..2.0, gamma in 0.0f64..0.5, seed: u64,
    ) {
        let joint = TabularJoint::random(4, symbols, alpha, seed).unwrap();
        let divergence = divergence(&joint, EntropyBound::new(gamma).unwrap());
        prop_assert!(divergence <= 2.0 * gamma + ZERO, "{divergence}, γ = {gamma}");
    }
}

fn divergence(joint: &TabularJoint, schedule: impl Schedule + 'static) -> f64 {
    let generator = Generator::new(oracle(joint)).unmasker(Marginal::new(Entropy));
    joint.kl(&law(&generator.schedule(schedule), joint))
}

#[test]
fn a_bound_on_the_mean_entropy_is_detected() {
    let gamma = 0.6;
    let mean = move |_: &[f64], h: &[f64]| {
        let fits = |&k: &usize| h[..k - 1].iter().sum::<f64>() / k as f64 <= gamma;
        (1..=h.len()).filter(fits).max().unwrap_or(1)
    };
    let mut weights = [0.0; 16];
    (weights[0], weights[15]) = (1.0, 1.0);
    let coins = TabularJoint::new(4, 2, &weights).unwrap();
    assert!(divergence(&coins, Rule(mean)) > 2.0 * gamma);
    assert!(divergence(&coins, EntropyBound::new(gamma).unwrap()) < ZERO);
    // With a larger γ the law differs from the joint, within the bound.
    assert!(divergence(&coins, EntropyBound::new(1.0).unwrap()) > 0.5);
}

#[test]
fn sure_rows_cost_fewer_forwards() {
    assert_fewer_forwards(EntropyBound::new(0.3).unwrap());
}
