//! What observers are told, what steps cost, and the end of a sequence.

mod common;

use common::{Reveals, ZERO, blank, generator, oracle, over};
use conjoint_core::observer::{History, Reveal};
use conjoint_core::order::LeftToRight;
use conjoint_core::schedule::DreamLinear;
use conjoint_core::unmasker::{ExactSequential, LearnedJoint, Marginal};
use conjoint_core::{Canvas, Generator, TokenId};
use conjoint_testkit::{ExactRefiner, TabularJoint, exact_law};

#[test]
fn reveals_rebuild_the_output_and_history_ends_with_it() {
    let joint = TabularJoint::random(5, 3, 0.5, 1).unwrap();
    let prompt = Canvas::infill(vec![3, 1, 3, 3, 3], 3).unwrap();
    let canvases = vec![blank(&joint), prompt.clone(), blank(&joint)];
    let generator = generator(&joint, 3, LearnedJoint::new(ExactRefiner)).batch_size(2).unwrap();
    let (mut reveals, mut history) = (Reveals::default(), History::default());
    let outputs = generator.run(canvases.clone(), &mut (&mut reveals, &mut history)).unwrap();
    for (sequence, output) in outputs.iter().enumerate() {
        let told: Vec<&Reveal> = reveals.0.iter().filter(|r| r.sequence == sequence).collect();
        let mut canvas = canvases[sequence].clone();
        told.iter().for_each(|reveal| canvas.reveal(reveal.position, reveal.token).unwrap());
        assert_eq!(canvas.tokens(), output.tokens);
        assert_eq!(history.of(sequence).last(), Some(&output.tokens));
        assert_eq!(history.of(sequence).len(), output.steps);
        let passes = told.iter().filter(|reveal| reveal.round > 0).count();
        assert_eq!(passes, output.sampler_calls);
        assert_eq!(told.len() - passes, output.denoiser_calls);
    }
    // The joint given position 1: two steps of three and one tokens.
    assert_eq!((outputs[1].denoiser_calls, outputs[1].sampler_calls), (2, 2));
    assert!(history.of(3).is_empty());
}

/// The probability told is that of the token in the row it was drawn from: one token a step, their
/// product is the probability of the sequence.
#[test]
fn probabilities_multiply_to_that_of_the_sequence() {
    let joint = TabularJoint::random(4, 3, 0.5, 2).unwrap();
    let generator = generator(&joint, 1, ExactSequential::default());
    for seed in 0..20 {
        let mut reveals = Reveals::default();
        let outputs = generator.clone().seed(seed).run(vec![blank(&joint)], &mut reveals).unwrap();
        let product: f64 = reveals.0.iter().map(|reveal| reveal.probability).product();
        let expected = joint.law().probability(&outputs[0].tokens);
        assert!((product / expected - 1.0).abs() < 1e-5, "{product}, expected {expected}");
    }
}

#[test]
fn idle_steps_are_told_and_cost_nothing() {
    let joint = TabularJoint::random(8, 2, 1.0, 3).unwrap();
    let generator =
        generator(&joint, 1, Marginal::default()).schedule(DreamLinear::new(8).unwrap());
    let mut history = History::default();
    let output = &generator.run(vec![blank(&joint)], &mut history).unwrap()[0];
    // 0, 1, 1, 1, 1, 1, 1, 2 tokens.
    assert_eq!((output.steps, output.denoiser_calls), (8, 7));
    assert_eq!(history.of(0)[0], joint.masked());
    let left = |canvas: &Vec<TokenId>| canvas.iter().filter(|&&t| t == joint.mask()).count();
    assert_eq!(history.of(0).iter().map(left).collect::<Vec<_>>(), [8, 7, 6, 5, 4, 3, 2, 0]);
}

/// Symbol 0 ends a sequence and symbol 1 pads it.
fn ending(joint: &TabularJoint) -> Generator {
    let model = oracle(joint).with_eos(0).unwrap().with_pad(1).unwrap();
    over(model, 1, ExactSequential::new(LeftToRight)).stop_at_eos(true)
}

#[test]
fn stopping_at_the_end_fills_and_saves_forwards() {
    let joint = TabularJoint::random(5, 3, 1.0, 4).unwrap();
    let generator = ending(&joint);
    let outputs = generator.run(vec![blank(&joint); 100], &mut ()).unwrap();
    let full = generator.stop_at_eos(false).run(vec![blank(&joint); 100], &mut ()).unwrap();
    let mut stopped = 0;
    for (output, full) in outputs.iter().zip(&full) {
        let kept = output.tokens.iter().position(|&token| token == 0).map_or(5, |end| end + 1);
        assert_eq!(output.denoiser_calls, kept);
        assert_eq!(output.tokens[..kept], full.tokens[..kept]);
        assert!(output.tokens[kept..].iter().all(|&token| token == 1));
        stopped += usize::from(kept < 5);
    }
    assert!(stopped > 20, "{stopped}");
}

/// Left to right the law is that of the joint with everything after the end replaced by padding. An
/// end that is given, not generated, stops nothing, and stays.
#[test]
fn the_law_of_stopped_sequences() {
    let joint = TabularJoint::random(4, 3, 0.5, 5).unwrap();
    for tokens in [[3, 3, 3, 3], [3, 0, 3, 3], [0, 3, 1, 3]] {
        let given = |i: usize| tokens[i] != joint.mask();
        let padded = |x: &[TokenId]| {
            let end = (0..4).find(|&i| x[i] == 0 && !given(i)).unwrap_or(4);
            (0..4).map(|i| if i > end && !given(i) { 1 } else { x[i] }).collect()
        };
        let canvas = Canvas::infill(tokens.into(), joint.mask()).unwrap();
        let law = exact_law(&ending(&joint), &canvas).unwrap();
        let whole = joint.given(&tokens).unwrap();
        assert!(law.total_variation(&whole.map(padded)) < ZERO, "{tokens:?}");
        assert!(law.total_variation(&whole) > 0.05, "{tokens:?}");
    }
}
