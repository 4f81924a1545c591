//! SlowFast: the law of its definition, and what it reads of the rows.

use crate::common::function_model::FunctionModel;
use crate::common::policy_law::assert_forwards;
use crate::common::process::{Draw, State};
use crate::common::process::{best_draw, draws, evolve, reveal_draws, row, split};
use crate::common::{Reveals, ZERO, blank, cases, generator, law, oracle, parity};
use conjoint_core::draw::Argmax;
use conjoint_core::filter::Temperature;
use conjoint_core::order::MaxProb;
use conjoint_core::policy::SlowFast;
use conjoint_core::strategy::Strategy;
use conjoint_core::unmasker::{Confidence, Marginal, Score};
use conjoint_core::{Canvas, Generator, strategy};
use conjoint_testkit::{Law, TabularJoint};
use proptest::prelude::*;

/// SlowFast from its definition, with its settings and deliberate mistakes.
#[derive(Clone, Copy)]
struct SlowFastLaw {
    slow_steps: u64,
    span: f64,
    fill: f64,
    reads_the_largest: bool,
    /// Uses the last estimate though it is not stable.
    skips_the_mean: bool,
    /// A fast step considers all positions that follow, as a slow one does.
    leaves_the_span: bool,
}

impl SlowFastLaw {
    fn new(slow_steps: u64, span: f64, fill: f64) -> Self {
        Self {
            slow_steps,
            span,
            fill,
            reads_the_largest: false,
            skips_the_mean: false,
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
            cycle = Cycle { explored: 0, start, end: start, estimate: None, stable: false };
        }
        let peak = |position| row(joint, &state.tokens, position).into_iter().fold(0.0, f64::max);
        let after = |(mut drawn, reached): (Vec<Draw>, f64)| {
            if self.reads_the_largest {
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
            let first = best_draw(&drawn);
            drawn.retain(|draw| draw.p >= self.fill);
            drawn.extend(first);
            let mut next = reveal_draws(state, &drawn);
            next.memory[0] = cycle.code();
            (next, reached)
        };
        draws(joint, &state.tokens, &masked).into_iter().map(after).collect()
    }

    fn explore(self, cycle: &mut Cycle, reach: u64) {
        cycle.explored += 1;
        if cycle.stable {
            return;
        }
        let last = cycle.estimate.replace(reach);
        cycle.stable = last.is_some_and(|last| last.abs_diff(reach) <= 1);
        let mean = (last.unwrap_or(reach) + reach) / 2;
        cycle.end = if cycle.stable || self.skips_the_mean { reach } else { mean };
    }
}

/// Slow steps taken, the span, the last estimate of its end, and whether that estimate is stable.
#[derive(Clone, Copy)]
struct Cycle {
    explored: u64,
    start: u64,
    end: u64,
    estimate: Option<u64>,
    stable: bool,
}

impl Cycle {
    fn read(code: u64) -> Self {
        let field = |n: u64| (code >> (8 * n)) & 255;
        let estimate = field(3).checked_sub(1);
        Self { explored: field(0), start: field(1), end: field(2), estimate, stable: field(4) > 0 }
    }

    fn code(self) -> u64 {
        let estimate = self.estimate.map_or(0, |estimate| estimate + 1);
        self.explored
            | (self.start << 8)
            | (self.end << 16)
            | (estimate << 24)
            | (u64::from(self.stable) << 32)
    }
}

fn slow_fast(with: SlowFastLaw) -> Strategy {
    strategy::slow_fast(SlowFast::new(with.slow_steps as usize, with.span, with.fill).unwrap())
}

fn generator_of(joint: &TabularJoint, slow_steps: usize, span: f64, fill: f64) -> Generator {
    generator(joint, 1, strategy::slow_fast(SlowFast::new(slow_steps, span, fill).unwrap()))
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn is_as_defined(
        slow_steps in 1u64..=2, span in 0.2f64..0.9, fill in 0.4f64..1.0, alpha in 0.3f64..3.0, seed: u64,
    ) {
        let joint = TabularJoint::random(4, 2, alpha, seed).unwrap();
        let with = SlowFastLaw::new(slow_steps, span, fill);
        let law = law(&generator(&joint, 1, slow_fast(with)), &joint);
        let distance = law.total_variation(&with.of(&joint));
        prop_assert!(distance < ZERO, "{}", distance);
    }
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn with_tight_bounds_it_is_confidence(alpha in 0.2f64..2.0, seed: u64) {
        let joint = TabularJoint::random(3, 3, alpha, seed).unwrap();
        let confidence = law(&generator(&joint, 1, Confidence::new(Score::Raw)), &joint);
        let slow_fast = law(&generator_of(&joint, 3, 0.3, 1.0), &joint);
        prop_assert!(slow_fast.total_variation(&confidence) < ZERO);
    }
}

#[test]
fn broken_variants_are_detected() {
    let joint = TabularJoint::random(5, 2, 0.7, 4).unwrap();
    let right = SlowFastLaw::new(2, 0.6, 0.8);
    let law = law(&Generator::new(oracle(&joint)).unmasker(slow_fast(right)), &joint);
    assert!(law.total_variation(&right.of(&joint)) < ZERO);
    for (what, broken) in [
        ("the largest probability", SlowFastLaw { reads_the_largest: true, ..right }),
        ("no mean", SlowFastLaw { skips_the_mean: true, ..right }),
        ("no span", SlowFastLaw { leaves_the_span: true, ..right }),
        ("one slow step", SlowFastLaw { slow_steps: 1, ..right }),
        ("a lower c_span", SlowFastLaw { span: 0.4, ..right }),
        ("a lower c_fill", SlowFastLaw { fill: 0.6, ..right }),
    ] {
        let distance = law.total_variation(&broken.of(&joint));
        assert!(distance > 1e-3, "{what}: {distance}");
    }
}

#[test]
fn reads_raw_rows() {
    let joint = TabularJoint::random(3, 3, 1.0, 8).unwrap();
    let cold =
        |generator: Generator| law(&generator.filter(Temperature::new(0.3).unwrap()), &joint);
    let confidence = |score| cold(generator(&joint, 1, Confidence::new(score)));
    let (raw, filtered) = (confidence(Score::Raw), confidence(Score::Filtered));
    assert!(raw.total_variation(&filtered) > 0.01);
    let slow_fast = cold(generator_of(&joint, 3, 0.3, 1.0));
    assert!(slow_fast.total_variation(&raw) < ZERO);
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
        assert_eq!(greedy(generator_of(&joint, 5, 0.3, 1.0)), marginal);
    }
}

/// Once one bit is known the rows of the other two are unchanged: stable, but not independent.
#[test]
fn draws_independently_in_a_step() {
    let slow_fast = generator_of(&parity(), 1, 0.3, 0.5);
    assert!(parity().total_variation(&law(&slow_fast, &parity())) > 0.4);
}

/// The slow step finds a span of four. The fast steps fill it and ignore all positions beyond, however certain.
#[test]
fn fills_the_span_before_positions_beyond_it() {
    // Token 0 has this probability; three other tokens share the rest.
    let probability = |revealed: usize, position: usize| match (revealed, position) {
        (0, 0) => 0.95,
        (0, 3) => 0.6,
        (0, _) => 0.4,
        // From the second step on, positions beyond the span are certain and those within are not.
        (_, 4..) => 0.99,
        (_, inside) => 0.5 + 0.1 * inside as f64,
    };
    let rows = move |canvas: &Canvas, position: usize| {
        let p = probability(canvas.revealed().count(), position);
        let other = ((1.0 - p) / 3.0).ln() as f32;
        [p.ln() as f32, other, other, other]
    };
    let mut reveals = Reveals::default();
    let strategy = strategy::slow_fast(SlowFast::new(1, 0.5, 0.9).unwrap());
    let generator = Generator::new(FunctionModel::new(rows)).unmasker(strategy).draw(Argmax);
    generator.run(vec![Canvas::unconditional(8, 4).unwrap()], &mut reveals).unwrap();
    let mut steps: Vec<Vec<usize>> = Vec::new();
    for step in reveals.0.chunk_by(|a, b| a.step == b.step) {
        steps.push(step.iter().map(|reveal| reveal.position).collect());
    }
    steps.iter_mut().for_each(|step| step.sort_unstable());
    assert_eq!(steps, [vec![0], vec![3], vec![2], vec![1], vec![4, 5, 6, 7]]);
}

#[test]
fn sure_rows_cost_fewer_forwards() {
    assert_forwards(|| strategy::slow_fast(SlowFast::default()), 1);
}
