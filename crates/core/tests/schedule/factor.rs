//! `Factor`: greedy decoding finds the most probable combination up to f = 1 (Fast-dLLM, Theorem 1).

use crate::common::{Reveals, ZERO, blank, oracle};
use crate::laws::assert_fewer_forwards;
use conjoint_core::draw::Argmax;
use conjoint_core::order::MaxProb;
use conjoint_core::schedule::Factor;
use conjoint_core::unmasker::Marginal;
use conjoint_core::{Generator, TokenId};
use conjoint_testkit::TabularJoint;

/// The largest difference over the steps between the probability of the most probable combination and that of the tokens
/// revealed (1 if these are impossible), and the most tokens of a step.
fn short_of_the_mode(joint: &TabularJoint, schedule: Factor) -> (f64, usize) {
    let greedy = Generator::new(oracle(joint)).unmasker(Marginal::new(MaxProb)).draw(Argmax);
    let mut reveals = Reveals::default();
    greedy.schedule(schedule).run(vec![blank(joint)], &mut reveals).unwrap();
    let (mut seen, mut short, mut most) = (joint.masked(), 0.0_f64, 0);
    for step in reveals.0.chunk_by(|a, b| a.step == b.step) {
        let Ok(given) = joint.given(&seen) else { return (1.0, most) };
        let of_step = given.map(|x| step.iter().map(|reveal| x[reveal.position]).collect());
        let mode = of_step.iter().map(|(_, p)| p).fold(0.0, f64::max);
        let chosen: Vec<TokenId> = step.iter().map(|reveal| reveal.token).collect();
        short = short.max(mode - of_step.probability(&chosen));
        most = most.max(step.len());
        step.iter().for_each(|reveal| seen[reveal.position] = reveal.token);
    }
    (short, most)
}

/// Above f = 1 the step may miss the most probable combination.
#[test]
fn a_factor_of_one_finds_the_mode() {
    let (mut several, mut broken) = (0, 0.0_f64);
    for seed in 0..300 {
        let joint = TabularJoint::random(4, 3, 0.02 + 0.001 * seed as f64, seed).unwrap();
        let (short, most) = short_of_the_mode(&joint, Factor::default());
        assert!(short < ZERO, "seed {seed}: {short}");
        several += usize::from(most > 1);
        broken = broken.max(short_of_the_mode(&joint, Factor::new(3.0).unwrap()).0);
    }
    assert!(several > 50 && broken > 0.1, "{several}, {broken}");
}

#[test]
fn sure_rows_cost_fewer_forwards() {
    assert_fewer_forwards(Factor::default());
}
