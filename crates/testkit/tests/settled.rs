//! Strategies that look at how sure drawn tokens are and have been, KLASS and SlowFast: their laws are those
//! of the processes that their docs define, and each slip in the definition is another law.

mod common;
mod process;

use common::{ZERO, blank, cases, generator, oracle, parity};
use conjoint_core::draw::Argmax;
use conjoint_core::filter::Temperature;
use conjoint_core::order::MaxProb;
use conjoint_core::policy::{Klass, SlowFast};
use conjoint_core::strategy::{self, Strategy};
use conjoint_core::unmasker::{Confidence, Marginal, Score};
use conjoint_core::{Generator, TokenId};
use conjoint_testkit::{Law, TabularJoint, exact_law};
use process::{Draw, State, draws, evolve, row, split};
use proptest::prelude::*;

fn law(generator: &Generator, joint: &TabularJoint) -> Law {
    exact_law(generator, &blank(joint)).unwrap()
}

/// The best of what was drawn, the leftmost of equals.
fn best<'a>(drawn: impl IntoIterator<Item = &'a Draw>) -> Option<Draw> {
    drawn.into_iter().copied().reduce(|best, draw| if draw.p > best.p { draw } else { best })
}

fn reveal(state: &State, drawn: &[Draw]) -> State {
    let mut next = state.clone();
    drawn.iter().for_each(|draw| next.tokens[draw.position] = draw.token);
    next
}

// ---- KLASS ----

/// KLASS's settings, and what may be wrong with it.
#[derive(Clone, Copy)]
struct KlassLaw {
    tau: f64,
    epsilon: f64,
    steps: u64,
    /// Looks at the largest probability of the row instead of that of the drawn token.
    looks_at_the_peak: bool,
    /// KL(pₜ₋₁ ‖ pₜ) instead of KL(pₜ ‖ pₜ₋₁).
    turns_divergence_round: bool,
    /// Forgets that the step before must have been stable too.
    forgets_history: bool,
}

impl KlassLaw {
    fn new(tau: f64, epsilon: f64, steps: u64) -> Self {
        Self {
            tau,
            epsilon,
            steps,
            looks_at_the_peak: false,
            turns_divergence_round: false,
            forgets_history: false,
        }
    }

    /// One token a step where nothing is settled.
    fn of(self, joint: &TabularJoint) -> Law {
        evolve(joint, joint.length(), &|i, state| self.step(joint, i, state))
    }

    /// A position's memory: its token before the last step, and for how many steps it has been stable.
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
        let needed = if self.forgets_history { 1 } else { self.steps };
        let peak = |position| row(joint, &state.tokens, position).into_iter().fold(0.0, f64::max);
        let after = |(mut drawn, reached): (Vec<Draw>, f64)| {
            if self.looks_at_the_peak {
                drawn.iter_mut().for_each(|draw| draw.p = peak(draw.position));
            }
            let is_ready =
                |draw: &Draw| draw.p > self.tau && now.memory[draw.position] & 255 >= needed;
            let ready: Vec<Draw> = drawn.iter().copied().filter(is_ready).collect();
            let revealed = if ready.is_empty() { Vec::from_iter(best(&drawn)) } else { ready };
            (reveal(&now, &revealed), reached)
        };
        draws(joint, &state.tokens, &masked).into_iter().map(after).collect()
    }

    fn divergence(self, now: &[f64], before: &[f64]) -> f64 {
        let (p, q) = if self.turns_divergence_round { (before, now) } else { (now, before) };
        p.iter().zip(q).map(|(p, q)| p * (p.max(1e-12).ln() - q.max(1e-12).ln())).sum()
    }
}

fn klass(with: KlassLaw) -> Strategy {
    strategy::klass(Klass::new(with.tau, with.epsilon, with.steps as usize).unwrap())
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn klass_is_as_defined(
        tau in 0.0f64..0.9, epsilon in 0.001f64..0.5, steps in 1u64..=2, alpha in 0.3f64..3.0, seed: u64,
    ) {
        let joint = TabularJoint::random(4, 2, alpha, seed).unwrap();
        let with = KlassLaw::new(tau, epsilon, steps);
        let distance = law(&generator(&joint, 1, klass(with)), &joint).total_variation(&with.of(&joint));
        prop_assert!(distance < ZERO, "{}", distance);
    }

    #[test]
    fn with_tight_bounds_both_are_confidence(alpha in 0.2f64..2.0, seed: u64) {
        let joint = TabularJoint::random(3, 3, alpha, seed).unwrap();
        let confidence = |score| law(&generator(&joint, 1, Confidence::new(score)), &joint);
        let klass = law(&generator(&joint, 1, strategy::klass(Klass::new(1.0, 0.01, 1).unwrap())), &joint);
        prop_assert!(klass.total_variation(&confidence(Score::Filtered)) < ZERO);
        let slow_fast = strategy::slow_fast(SlowFast::new(3, 0.3, 1.0).unwrap());
        let slow_fast = law(&generator(&joint, 1, slow_fast), &joint);
        prop_assert!(slow_fast.total_variation(&confidence(Score::Raw)) < ZERO);
    }
}

/// No slip has the law of KLASS on each of several joints.
#[test]
fn a_broken_klass_is_told_apart() {
    let right = KlassLaw::new(0.4, 0.1, 2);
    let slips = [
        ("the peak", KlassLaw { looks_at_the_peak: true, ..right }),
        ("KL turned round", KlassLaw { turns_divergence_round: true, ..right }),
        ("no history", KlassLaw { forgets_history: true, ..right }),
        ("a lower τ", KlassLaw { tau: 0.2, ..right }),
        ("a higher ε", KlassLaw { epsilon: 0.3, ..right }),
    ];
    let mut furthest = [0.0_f64; 5];
    for seed in 0..6 {
        let joint = TabularJoint::random(4, 2, 0.5, seed).unwrap();
        let law = law(&generator(&joint, 1, klass(right)), &joint);
        assert!(law.total_variation(&right.of(&joint)) < ZERO);
        for ((_, slip), furthest) in slips.iter().zip(&mut furthest) {
            *furthest = furthest.max(law.total_variation(&slip.of(&joint)));
        }
    }
    for ((what, _), distance) in slips.iter().zip(furthest) {
        assert!(distance > 1e-3, "{what}: {distance}");
    }
}

/// The rows are those after the filters: at a low temperature a drawn token is surer.
#[test]
fn klass_looks_at_filtered_rows_and_slow_fast_at_raw_ones() {
    let joint = TabularJoint::random(3, 3, 1.0, 8).unwrap();
    let cold =
        |generator: Generator| law(&generator.filter(Temperature::new(0.3).unwrap()), &joint);
    let confidence = |score| cold(generator(&joint, 1, Confidence::new(score)));
    let (raw, filtered) = (confidence(Score::Raw), confidence(Score::Filtered));
    assert!(raw.total_variation(&filtered) > 0.01);
    let klass = cold(generator(&joint, 1, strategy::klass(Klass::new(1.0, 0.01, 1).unwrap())));
    assert!(klass.total_variation(&filtered) < ZERO);
    let slow_fast =
        cold(generator(&joint, 1, strategy::slow_fast(SlowFast::new(3, 0.3, 1.0).unwrap())));
    assert!(slow_fast.total_variation(&raw) < ZERO);
}

/// As in the sources, whose tokens are the most probable ones.
#[test]
fn with_argmax_draws_confidence_is_the_largest_probability() {
    for seed in 0..50 {
        let joint = TabularJoint::random(5, 3, 0.5, seed).unwrap();
        let greedy = |generator: Generator| {
            let generator = generator.draw(Argmax);
            generator.run(vec![blank(&joint)], &mut ()).unwrap().remove(0).tokens
        };
        let marginal = greedy(generator(&joint, 1, Marginal::new(MaxProb)));
        assert_eq!(
            greedy(generator(&joint, 1, strategy::klass(Klass::new(1.0, 0.01, 1).unwrap()))),
            marginal
        );
        assert_eq!(
            greedy(generator(&joint, 1, strategy::slow_fast(SlowFast::new(5, 0.3, 1.0).unwrap()))),
            marginal
        );
    }
}

/// Once a bit is known the rows of the other two are what they were: settled, but not independent.
#[test]
fn both_draw_independently_what_they_reveal_together() {
    let slow_fast =
        generator(&parity(), 1, strategy::slow_fast(SlowFast::new(1, 0.3, 0.5).unwrap()));
    assert!(parity().total_variation(&law(&slow_fast, &parity())) > 0.4);
    let klass = generator(&parity(), 1, strategy::klass(Klass::new(0.4, 0.01, 1).unwrap()));
    assert!(parity().total_variation(&law(&klass, &parity())) > 0.4);
}

// ---- SlowFast ----

/// SlowFast's settings, and what may be wrong with it.
#[derive(Clone, Copy)]
struct SlowFastLaw {
    slow_steps: u64,
    span: f64,
    fill: f64,
    looks_at_the_peak: bool,
    /// Takes the last estimate though it is not settled.
    takes_no_mean: bool,
    /// A fast step looks at all that follows, as a slow one does.
    leaves_the_span: bool,
}

/// Slow steps taken, the span, the last estimate of its end, and whether that is settled.
#[derive(Clone, Copy)]
struct Cycle {
    explored: u64,
    start: u64,
    end: u64,
    estimate: Option<u64>,
    settled: bool,
}

impl Cycle {
    fn read(code: u64) -> Self {
        let field = |n: u64| (code >> (8 * n)) & 255;
        let estimate = field(3).checked_sub(1);
        Self { explored: field(0), start: field(1), end: field(2), estimate, settled: field(4) > 0 }
    }

    fn code(self) -> u64 {
        let estimate = self.estimate.map_or(0, |estimate| estimate + 1);
        self.explored
            | (self.start << 8)
            | (self.end << 16)
            | (estimate << 24)
            | (u64::from(self.settled) << 32)
    }
}

impl SlowFastLaw {
    fn new(slow_steps: u64, span: f64, fill: f64) -> Self {
        Self {
            slow_steps,
            span,
            fill,
            looks_at_the_peak: false,
            takes_no_mean: false,
            leaves_the_span: false,
        }
    }

    fn of(self, joint: &TabularJoint) -> Law {
        evolve(joint, joint.length(), &|_, state| self.step(joint, state))
    }

    fn step(self, joint: &TabularJoint, state: &State) -> Vec<(State, f64)> {
        let (masked, _) = split(joint, &state.tokens);
        let mut cycle = Cycle::read(state.memory[0]);
        let is_full = !masked.iter().any(|&i| (cycle.start..cycle.end).contains(&(i as u64)));
        if cycle.explored == self.slow_steps && is_full {
            let start = cycle.end;
            cycle = Cycle { explored: 0, start, end: start, estimate: None, settled: false };
        }
        let peak = |position| row(joint, &state.tokens, position).into_iter().fold(0.0, f64::max);
        let after = |(mut drawn, reached): (Vec<Draw>, f64)| {
            if self.looks_at_the_peak {
                drawn.iter_mut().for_each(|draw| draw.p = peak(draw.position));
            }
            let mut cycle = cycle;
            let mut scope = cycle.start..cycle.end;
            if cycle.explored < self.slow_steps {
                let sure = drawn.iter().rev().find(|draw| draw.p >= self.span);
                let last = sure.map_or(cycle.start, |draw| draw.position as u64);
                self.explore(&mut cycle, last + 1);
                scope.end = joint.length() as u64;
            } else if self.leaves_the_span {
                scope.end = joint.length() as u64;
            }
            drawn.retain(|draw| scope.contains(&(draw.position as u64)));
            let first = best(&drawn);
            drawn.retain(|draw| draw.p >= self.fill);
            drawn.extend(first);
            let mut next = reveal(state, &drawn);
            next.memory[0] = cycle.code();
            (next, reached)
        };
        draws(joint, &state.tokens, &masked).into_iter().map(after).collect()
    }

    fn explore(self, cycle: &mut Cycle, reach: u64) {
        cycle.explored += 1;
        if cycle.settled {
            return;
        }
        let last = cycle.estimate.replace(reach);
        cycle.settled = last.is_some_and(|last| last.abs_diff(reach) <= 1);
        let mean = (last.unwrap_or(reach) + reach) / 2;
        cycle.end = if cycle.settled || self.takes_no_mean { reach } else { mean };
    }
}

fn slow_fast(with: SlowFastLaw) -> Strategy {
    strategy::slow_fast(SlowFast::new(with.slow_steps as usize, with.span, with.fill).unwrap())
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn slow_fast_is_as_defined(
        slow_steps in 1u64..=2, span in 0.2f64..0.9, fill in 0.4f64..1.0, alpha in 0.3f64..3.0, seed: u64,
    ) {
        let joint = TabularJoint::random(4, 2, alpha, seed).unwrap();
        let with = SlowFastLaw::new(slow_steps, span, fill);
        let law = law(&generator(&joint, 1, slow_fast(with)), &joint);
        let distance = law.total_variation(&with.of(&joint));
        prop_assert!(distance < ZERO, "{}", distance);
    }
}

#[test]
fn a_broken_slow_fast_is_told_apart() {
    let joint = TabularJoint::random(5, 2, 0.7, 4).unwrap();
    let right = SlowFastLaw::new(2, 0.6, 0.8);
    let law = law(&Generator::new(oracle(&joint)).unmasker(slow_fast(right)), &joint);
    assert!(law.total_variation(&right.of(&joint)) < ZERO);
    for (what, broken) in [
        ("the peak", SlowFastLaw { looks_at_the_peak: true, ..right }),
        ("no mean", SlowFastLaw { takes_no_mean: true, ..right }),
        ("no span", SlowFastLaw { leaves_the_span: true, ..right }),
        ("one slow step", SlowFastLaw { slow_steps: 1, ..right }),
        ("a lower c_span", SlowFastLaw { span: 0.4, ..right }),
        ("a lower c_fill", SlowFastLaw { fill: 0.6, ..right }),
    ] {
        let distance = law.total_variation(&broken.of(&joint));
        assert!(distance > 1e-3, "{what}: {distance}");
    }
}
