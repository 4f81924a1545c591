//! `ReMdm`, the whole sampler: its law is that of the process that ReMDM defines.

use crate::common::process::State;
use crate::common::process::{evolve, row, split};
use crate::common::{EvenChance, ZERO, blank, cases, law, oracle, scheduled};
use conjoint_core::schedule::LladaEven;
use conjoint_core::strategy::Strategy;
use conjoint_core::unmasker::ReMdm;
use conjoint_core::{Error, Generator, TokenId};
use conjoint_testkit::{Law, TabularJoint};
use proptest::prelude::*;

fn variants() -> Vec<(&'static str, ReMdm)> {
    vec![
        ("ancestral", ReMdm::cap(0.0).unwrap()),
        ("ReMDM-cap", ReMdm::cap(0.3).unwrap()),
        ("ReMDM-rescale", ReMdm::rescale(0.6).unwrap()),
        ("ReMDM-conf", ReMdm::conf()),
        ("ReMDM-loop", ReMdm::looping(0.3, 0.75, 0.5, 0.6).unwrap()),
    ]
}

/// α_t, σ of a revealed and σ of a masked position, given σ_max, t, ψ of the position and the sum of all
/// e^(−ψ).
struct Rule {
    alpha: fn(f64) -> f64,
    revealed: fn(f64, f64, f64, f64) -> f64,
    masked: fn(f64, f64) -> f64,
}

/// Both ends are times of a process of four steps.
fn in_loop(t: f64) -> bool {
    t > 0.5 && t <= 0.75
}

/// The rules of [`variants`].
fn rules() -> Vec<Rule> {
    let linear: fn(f64) -> f64 = |t| 1.0 - t;
    let cap: fn(f64, f64) -> f64 = |most, _| most.min(0.3);
    let looping: fn(f64, f64) -> f64 = |most, t| if in_loop(t) { most.min(0.3) } else { 0.0 };
    // From 0 at t = 1 to 0.6 at 0.75, flat to 0.5, to 1 at 0.
    let bent: fn(f64) -> f64 = |t| match t {
        t if t > 0.75 => 0.6 * (1.0 - t) / 0.25,
        t if t > 0.5 => 0.6,
        t => 0.6 + 0.4 * (0.5 - t) / 0.5,
    };
    vec![
        Rule { alpha: linear, revealed: |_, _, _, _| 0.0, masked: |_, _| 0.0 },
        Rule { alpha: linear, revealed: |most, _, _, _| most.min(0.3), masked: cap },
        Rule { alpha: linear, revealed: |most, _, _, _| 0.6 * most, masked: |most, _| 0.6 * most },
        Rule {
            alpha: linear,
            revealed: |most, _, psi, total| most * (-psi).exp() / total,
            masked: |_, _| 0.0,
        },
        Rule {
            alpha: bent,
            revealed: |most, t, _, _| if in_loop(t) { most.min(0.3) } else { 0.0 },
            masked: looping,
        },
    ]
}

/// ReMDM from its definition, which continues when nothing is masked. With `full_is_done` it ends there.
fn remdm_law(joint: &TabularJoint, steps: usize, rule: &Rule, full_is_done: bool) -> Law {
    let step = |i: usize, state: &State| {
        let (masked, known) = split(joint, &state.tokens);
        if masked.is_empty() && full_is_done {
            return vec![(state.clone(), 1.0)];
        }
        let time = |i: usize| 1.0 - i as f64 / steps as f64;
        let (t, alpha_t, alpha_s) = (time(i), (rule.alpha)(time(i)), (rule.alpha)(time(i + 1)));
        let most = if i == 0 { 1.0 } else { ((1.0 - alpha_s) / alpha_t).min(1.0) };
        let total: f64 = known.iter().map(|&position| (-state.recall(position)).exp()).sum();
        let sigma = (rule.masked)(most, t);
        let reveal = (alpha_s - (1.0 - sigma) * alpha_t) / (1.0 - alpha_t);
        let mut states = vec![(state.clone(), 1.0)];
        for position in 0..joint.length() {
            let mut outcomes = Vec::new();
            if known.contains(&position) {
                let psi = state.recall(position);
                let sigma = (rule.revealed)(most, t, psi, total);
                outcomes.push((state.tokens[position], psi, 1.0 - sigma));
                outcomes.push((joint.mask(), 0.0, sigma));
            } else {
                outcomes.push((joint.mask(), 0.0, 1.0 - reveal));
                let row = row(joint, &state.tokens, position);
                outcomes.extend((0..).zip(row).map(|(token, p)| (token, p, reveal * p)));
            }
            let branch = |(state, reached): &(State, f64)| {
                let one = |&(token, psi, p): &(TokenId, f64, f64)| {
                    let mut next = state.clone();
                    next.tokens[position] = token;
                    next.remember(position, psi);
                    (next, reached * p)
                };
                outcomes.iter().filter(|&&(_, _, p)| p > 0.0).map(one).collect::<Vec<_>>()
            };
            states = states.iter().flat_map(branch).collect();
        }
        states
    };
    evolve(joint, steps, &step)
}

/// The law of an unmasker over S even steps.
fn law_in(joint: &TabularJoint, steps: usize, unmasker: impl Into<Strategy>) -> Law {
    let schedule = LladaEven::new(steps).unwrap();
    law(&scheduled(&Generator::new(oracle(joint)).unmasker(unmasker), schedule), joint)
}

proptest! {
    #![proptest_config(cases(8))]

    #[test]
    fn is_as_defined(steps in 1usize..=4, alpha in 0.3f64..2.0, seed: u64) {
        let joint = TabularJoint::random(2, 2, alpha, seed).unwrap();
        for ((name, strategy), rule) in variants().into_iter().zip(rules()) {
            let distance =
                law_in(&joint, steps, strategy).total_variation(&remdm_law(&joint, steps, &rule, false));
            prop_assert!(distance < ZERO, "{}, {} steps: {}", name, steps, distance);
        }
    }

    /// Two positions are revealed in the same step with probability 1/S, and are independent then.
    #[test]
    fn ancestral_sampling_of_two(steps in 1usize..=12, alpha in 0.2f64..2.0, seed: u64) {
        let joint = TabularJoint::random(2, 3, alpha, seed).unwrap();
        prop_assert!(law_in(&joint, steps, ReMdm::cap(0.0).unwrap())
            .total_variation(&ancestral_of_two(&joint, steps)) < ZERO);
    }
}

/// (1 − 1/S) joint + (1/S) product of marginals.
fn ancestral_of_two(joint: &TabularJoint, steps: usize) -> Law {
    let together = 1.0 / steps as f64;
    let law = joint.law();
    let law = law.iter().map(|(x, p)| (x.to_vec(), (1.0 - together) * p));
    let product = joint.product_of_marginals();
    law.chain(product.iter().map(|(x, p)| (x.to_vec(), together * p))).collect()
}

#[test]
fn ancestral_sampling_nears_the_joint_as_steps_grow() {
    let joint = TabularJoint::random(3, 2, 0.3, 5).unwrap();
    let mut before = f64::INFINITY;
    for steps in [1, 2, 4, 8] {
        let law = law_in(&joint, steps, ReMdm::cap(0.0).unwrap());
        let distance = joint.total_variation(&law);
        // Where no two of the three share a step it is exact.
        let s = steps as f64;
        let shared = 1.0 - (1.0 - 1.0 / s) * (1.0 - 2.0 / s).max(0.0);
        assert!(distance < before && distance < shared, "{steps} steps: {distance}");
        before = distance;
    }
}

#[test]
fn broken_variants_are_detected() {
    // Two coins that agree.
    let joint = TabularJoint::new(2, 2, &[1.0, 0.0, 0.0, 1.0]).unwrap();
    let even = law_in(&joint, 4, EvenChance::default());
    let distance = even.total_variation(&ancestral_of_two(&joint, 4));
    assert!(distance > 0.01, "{distance}");
    for ((name, strategy), rule) in variants().into_iter().zip(rules()).skip(1) {
        let law = law_in(&joint, 4, strategy);
        // Neither the ancestral law, nor that of a process that ends once nothing is masked.
        for (what, wrong) in [
            ("ancestral", remdm_law(&joint, 4, &rules()[0], false)),
            ("ends when full", remdm_law(&joint, 4, &rule, true)),
        ] {
            let distance = law.total_variation(&wrong);
            assert!(distance > 1e-3, "{name}, {what}: {distance}");
        }
    }
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn one_step_is_the_product_of_marginals(alpha in 0.2f64..2.0, seed: u64) {
        let joint = TabularJoint::random(3, 3, alpha, seed).unwrap();
        let law = law_in(&joint, 1, ReMdm::default());
        prop_assert!(law.total_variation(&joint.product_of_marginals()) < ZERO);
    }
}

#[test]
fn a_schedule_without_steps_is_rejected() {
    let joint = TabularJoint::random(2, 2, 1.0, 0).unwrap();
    let outcome =
        Generator::new(oracle(&joint)).unmasker(ReMdm::default()).run(vec![blank(&joint)], &mut ());
    assert!(matches!(outcome, Err(Error::NeedsSteps { .. })));
}
