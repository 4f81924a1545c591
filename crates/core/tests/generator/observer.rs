//! Events reported to observers.

use crate::common::{Reveals, blank, generator};
use conjoint_core::Canvas;
use conjoint_core::observer::{History, Reveal};
use conjoint_core::unmasker::{ExactSequential, LearnedJoint};
use conjoint_testkit::{ExactRefiner, TabularJoint};

#[test]
fn reveals_give_the_output_and_the_history_ends_with_it() {
    let joint = TabularJoint::random(5, 3, 0.5, 1).unwrap();
    let prompt = Canvas::infill(vec![3, 1, 3, 3, 3], 3).unwrap();
    let canvases = vec![blank(&joint), prompt.clone(), blank(&joint)];
    let generator = generator(&joint, 3, LearnedJoint::new(ExactRefiner)).batch_size(2).unwrap();
    let (mut reveals, mut history) = (Reveals::default(), History::default());
    let outputs = generator.run(canvases.clone(), &mut (&mut reveals, &mut history)).unwrap();
    for (sequence, output) in outputs.iter().enumerate() {
        let reported: Vec<&Reveal> = reveals.0.iter().filter(|r| r.sequence == sequence).collect();
        let mut canvas = canvases[sequence].clone();
        reported.iter().for_each(|reveal| canvas.reveal(reveal.position, reveal.token).unwrap());
        assert_eq!(canvas.tokens(), output.tokens);
        assert_eq!(history.of(sequence).last(), Some(&output.tokens));
        assert_eq!(history.of(sequence).len(), output.steps);
        let passes = reported.iter().filter(|reveal| reveal.round > 0).count();
        assert_eq!(passes, output.sampler_calls);
        assert_eq!(reported.len() - passes, output.denoiser_calls);
    }
    // The joint given position 1: two steps of three and one tokens.
    assert_eq!((outputs[1].denoiser_calls, outputs[1].sampler_calls), (2, 2));
    assert!(history.of(3).is_empty());
}

/// The reported probability is that of the token in the row from which it was drawn. With one token a step, the product
/// is the probability of the sequence.
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
