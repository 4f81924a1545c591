//! KLASS: the law of its definition, and what it reads of the rows.

use crate::common::policy_law::assert_forwards;
use crate::common::process::{Draw, State};
use crate::common::process::{best_draw, draws, evolve, reveal_draws, row, split};
use crate::common::{ZERO, blank, cases, generator, law, parity};
use conjoint_core::draw::Argmax;
use conjoint_core::filter::Temperature;
use conjoint_core::order::MaxProb;
use conjoint_core::policy::Klass;
use conjoint_core::strategy::Strategy;
use conjoint_core::unmasker::{Confidence, Marginal, Score};
use conjoint_core::{Generator, TokenId, strategy};
use conjoint_testkit::{Law, TabularJoint};
use proptest::prelude::*;

/// KLASS from its definition, with its settings and deliberate mistakes.
#[derive(Clone, Copy)]
struct KlassLaw {
    tau: f64,
    epsilon: f64,
    steps: u64,
    /// Reads the largest probability of the row instead of the probability of the drawn token.
    reads_the_largest: bool,
    /// KL(pₜ₋₁ ‖ pₜ) instead of KL(pₜ ‖ pₜ₋₁).
    swaps_divergence: bool,
    /// Ignores whether the row was stable in earlier steps.
    ignores_history: bool,
}

impl KlassLaw {
    fn new(tau: f64, epsilon: f64, steps: u64) -> Self {
        Self {
            tau,
            epsilon,
            steps,
            reads_the_largest: false,
            swaps_divergence: false,
            ignores_history: false,
        }
    }

    /// The law with one token a step where no position is stable.
    fn of(self, joint: &TabularJoint) -> Law {
        evolve(joint, joint.length(), &|i, state| self.step(joint, i, state))
    }

    /// The memory of a position holds its token before the last step, and the number of steps it has been stable.
    fn step(self, joint: &TabularJoint, i: usize, state: &State) -> Vec<(State, f64)> {
        let (masked, _) = split(joint, &state.tokens);
        let before: Vec<TokenId> = state.memory.iter().map(|m| (m >> 8) as TokenId).collect();
        let mut now = state.clone();
        for (memory, &token) in now.memory.iter_mut().zip(&state.tokens) {
            *memory = (u64::from(token) << 8) | (*memory & 255);
        }
        for &position in &masked {
            let p = row(joint, &state.tokens, position);
            let stable =
                i > 0 && self.divergence(&p, &row(joint, &before, position)) < self.epsilon;
            let count = now.memory[position] & 255;
            now.memory[position] &= !255;
            now.memory[position] |= if stable { count + 1 } else { 0 };
        }
        let needed = if self.ignores_history { 1 } else { self.steps };
        let peak = |position| row(joint, &state.tokens, position).into_iter().fold(0.0, f64::max);
        let after = |(mut drawn, reached): (Vec<Draw>, f64)| {
            if self.reads_the_largest {
                drawn.iter_mut().for_each(|draw| draw.p = peak(draw.position));
            }
            let is_ready =
                |draw: &Draw| draw.p > self.tau && now.memory[draw.position] & 255 >= needed;
            let ready: Vec<Draw> = drawn.iter().copied().filter(is_ready).collect();
            let revealed = if ready.is_empty() { Vec::from_iter(best_draw(&drawn)) } else { ready };
            (reveal_draws(&now, &revealed), reached)
        };
        draws(joint, &state.tokens, &masked).into_iter().map(after).collect()
    }

    fn divergence(self, now: &[f64], before: &[f64]) -> f64 {
        let (p, q) = if self.swaps_divergence { (before, now) } else { (now, before) };
        p.iter().zip(q).map(|(p, q)| p * (p.max(1e-12).ln() - q.max(1e-12).ln())).sum()
    }
}

fn klass(with: KlassLaw) -> Strategy {
    strategy::klass(Klass::new(with.tau, with.epsilon, with.steps as usize).unwrap())
}

fn generator_of(joint: &TabularJoint, tau: f64, epsilon: f64) -> Generator {
    generator(joint, 1, strategy::klass(Klass::new(tau, epsilon, 1).unwrap()))
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn is_as_defined(
        tau in 0.0f64..0.9, epsilon in 0.001f64..0.5, steps in 1u64..=2, alpha in 0.3f64..3.0, seed: u64,
    ) {
        let joint = TabularJoint::random(4, 2, alpha, seed).unwrap();
        let with = KlassLaw::new(tau, epsilon, steps);
        let distance = law(&generator(&joint, 1, klass(with)), &joint).total_variation(&with.of(&joint));
        prop_assert!(distance < ZERO, "{}", distance);
    }
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn with_tight_bounds_it_is_confidence(alpha in 0.2f64..2.0, seed: u64) {
        let joint = TabularJoint::random(3, 3, alpha, seed).unwrap();
        let confidence = law(&generator(&joint, 1, Confidence::new(Score::Filtered)), &joint);
        let klass = law(&generator_of(&joint, 1.0, 0.01), &joint);
        prop_assert!(klass.total_variation(&confidence) < ZERO);
    }
}

/// On at least one of several joints each mistake gives another law.
#[test]
fn broken_variants_are_detected() {
    let right = KlassLaw::new(0.4, 0.1, 2);
    let mistakes = [
        ("the largest probability", KlassLaw { reads_the_largest: true, ..right }),
        ("KL swapped", KlassLaw { swaps_divergence: true, ..right }),
        ("no history", KlassLaw { ignores_history: true, ..right }),
        ("a lower τ", KlassLaw { tau: 0.2, ..right }),
        ("a higher ε", KlassLaw { epsilon: 0.3, ..right }),
    ];
    let mut largest = [0.0_f64; 5];
    for seed in 0..6 {
        let joint = TabularJoint::random(4, 2, 0.5, seed).unwrap();
        let law = law(&generator(&joint, 1, klass(right)), &joint);
        assert!(law.total_variation(&right.of(&joint)) < ZERO);
        for ((_, mistake), largest) in mistakes.iter().zip(&mut largest) {
            *largest = largest.max(law.total_variation(&mistake.of(&joint)));
        }
    }
    for ((what, _), distance) in mistakes.iter().zip(largest) {
        assert!(distance > 1e-3, "{what}: {distance}");
    }
}

/// At a low temperature the filtered row gives a drawn token a higher probability.
#[test]
fn reads_filtered_rows() {
    let joint = TabularJoint::random(3, 3, 1.0, 8).unwrap();
    let cold =
        |generator: Generator| law(&generator.filter(Temperature::new(0.3).unwrap()), &joint);
    let confidence = |score| cold(generator(&joint, 1, Confidence::new(score)));
    let (raw, filtered) = (confidence(Score::Raw), confidence(Score::Filtered));
    assert!(raw.total_variation(&filtered) > 0.01);
    let klass = cold(generator_of(&joint, 1.0, 0.01));
    assert!(klass.total_variation(&filtered) < ZERO);
}

/// As in the source, whose tokens are the most probable ones.
#[test]
fn with_argmax_draws_confidence_is_the_largest_probability() {
    for seed in 0..50 {
        let joint = TabularJoint::random(5, 3, 0.5, seed).unwrap();
        let greedy = |generator: Generator| {
            let generator = generator.draw(Argmax);
            generator.run(vec![blank(&joint)], &mut ()).unwrap().remove(0).tokens
        };
        let marginal = greedy(generator(&joint, 1, Marginal::new(MaxProb)));
        assert_eq!(greedy(generator_of(&joint, 1.0, 0.01)), marginal);
    }
}

/// Once one bit is known the rows of the other two are unchanged: stable, but not independent.
#[test]
fn draws_independently_in_a_step() {
    let klass = generator_of(&parity(), 0.4, 0.01);
    assert!(parity().total_variation(&law(&klass, &parity())) > 0.4);
}

#[test]
fn sure_rows_cost_fewer_forwards() {
    // The first row has no earlier row to compare with. The second is stable for one step.
    assert_forwards(|| strategy::klass(Klass::new(0.9, 0.01, 1).unwrap()), 2);
}
