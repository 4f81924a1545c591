//! `LocalAutoregression` (CoDiLA): the law of a span is the chain of its decoder, which is the joint if the decoder is exact.

use std::sync::{Arc, Mutex};

use crate::common::{Reveals, ZERO, blank, cases, distance, generator, law, oracle};
use conjoint_core::order::MaxProb;
use conjoint_core::span_decoder::{Span, SpanDecoder};
use conjoint_core::unmasker::{ExactSequential, LocalAutoregression};
use conjoint_core::{Canvas, Error, Generator, TokenId};
use conjoint_testkit::{MarginalAutoregressive, TabularAutoregressive, TabularJoint};
use proptest::prelude::*;

fn spans(decoder: impl SpanDecoder + 'static, length: usize) -> LocalAutoregression {
    LocalAutoregression::new(decoder, length).unwrap()
}

fn exact(joint: &TabularJoint) -> TabularAutoregressive {
    TabularAutoregressive::new(joint.clone())
}

fn marginals(joint: &TabularJoint) -> MarginalAutoregressive {
    MarginalAutoregressive::new(joint.clone())
}

/// The positions of each step of a run.
fn steps(joint: &TabularJoint, strategy: LocalAutoregression) -> Vec<Vec<usize>> {
    let mut reveals = Reveals::default();
    generator(joint, 1, strategy).run(vec![blank(joint)], &mut reveals).unwrap();
    let mut steps: Vec<Vec<usize>> = Vec::new();
    for reveal in reveals.0 {
        steps.resize(steps.len().max(reveal.step + 1), Vec::new());
        steps[reveal.step].push(reveal.position);
    }
    steps
}

/// Independent bits, 1 with these probabilities.
fn independent(ones: &[f64]) -> TabularJoint {
    let cell = |cell: usize| -> f64 {
        let bit = |i: usize| cell >> (ones.len() - 1 - i) & 1;
        (0..ones.len()).map(|i| if bit(i) == 1 { ones[i] } else { 1.0 - ones[i] }).product()
    };
    let weights: Vec<f64> = (0..1 << ones.len()).map(cell).collect();
    TabularJoint::new(ones.len(), 2, &weights).unwrap()
}

proptest! {
    #![proptest_config(cases(32))]

    #[test]
    fn an_exact_decoder_samples_the_joint(
        length in 1usize..6, bound in 0.0f64..1.2, alpha in 0.05f64..2.0, known in 0usize..4, seed: u64,
    ) {
        let joint = TabularJoint::random(4, 2, alpha, seed).unwrap();
        let (mut tokens, sample) = (joint.masked(), joint.law());
        let (likely, _) = sample.iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        let whole = generator(&joint, 1, spans(exact(&joint), length));
        prop_assert!(distance(&whole, &joint, &tokens) < ZERO);
        let part = spans(exact(&joint), length).bound(bound).unwrap();
        let part = generator(&joint, 1, part);
        prop_assert!(distance(&part, &joint, &tokens) < ZERO);
        // One known position with holes on both sides.
        tokens[known] = likely[known];
        prop_assert!(distance(&part, &joint, &tokens) < ZERO);
        prop_assert!(distance(&whole, &joint, &tokens) < ZERO);
    }

    #[test]
    fn a_decoder_of_marginals_alone_gives_their_product(alpha in 0.1f64..2.0, seed: u64) {
        let joint = TabularJoint::random(3, 3, alpha, seed).unwrap();
        let law = law(&generator(&joint, 1, spans(marginals(&joint), 3)), &joint);
        prop_assert!(law.total_variation(&joint.product_of_marginals()) < ZERO);
    }
}

/// A decoder that ignores the tokens it drew is far from the joint.
#[test]
fn a_decoder_that_ignores_its_tokens_is_detected() {
    let coins = TabularJoint::new(2, 2, &[1.0, 0.0, 0.0, 1.0]).unwrap();
    for (length, expected) in [(1, 0.0), (2, 0.5)] {
        let product = generator(&coins, 1, spans(marginals(&coins), length));
        let distance = distance(&product, &coins, &coins.masked());
        assert!((distance - expected).abs() < ZERO, "{length}: {distance}");
    }
}

/// A decoder that always fails.
struct Failing;

impl SpanDecoder for Failing {
    fn row(&self, _: &Span<'_>, _: &[TokenId]) -> Result<Vec<f32>, Error> {
        Err(Error::model("the decoder is down"))
    }
}

#[test]
fn spans_of_one_are_sequential_token_for_token() {
    let joint = TabularJoint::random(5, 3, 0.5, 3).unwrap();
    let sequential = ExactSequential::new(MaxProb);
    for seed in 0..20 {
        let run = |generator: Generator| generator.seed(seed).run(vec![blank(&joint)], &mut ());
        let expected = run(generator(&joint, 1, sequential.clone())).unwrap();
        let one = generator(&joint, 1, spans(Failing, 1));
        let none = generator(&joint, 1, spans(Failing, 5).bound(0.0).unwrap());
        assert_eq!(run(one).unwrap(), expected);
        assert_eq!(run(none).unwrap(), expected);
    }
    let error = generator(&joint, 1, spans(Failing, 2)).run(vec![blank(&joint)], &mut ());
    assert!(error.unwrap_err().to_string().contains("is down"));
}

#[test]
fn the_most_certain_span_is_first_and_a_bound_shortens_it() {
    // Entropies .69, .50, .33, .06 nats.
    let joint = independent(&[0.5, 0.2, 0.1, 0.01]);
    assert_eq!(steps(&joint, spans(exact(&joint), 2)), [[2, 3], [0, 1]]);
    assert_eq!(steps(&joint, spans(exact(&joint), 3)), [vec![0, 1, 2], vec![3]]);
    let within = |length, bound| steps(&joint, spans(exact(&joint), length).bound(bound).unwrap());
    // Means of the left-hand parts of the whole: .69, .60, .51, .39.
    assert_eq!(within(4, 0.38), [[3], [2], [1], [0]]);
    assert_eq!(within(4, 0.45), [[0, 1, 2, 3]]);
    // Only the mean of 2 and 3 is within the bound.
    assert_eq!(within(2, 0.3), [vec![2, 3], vec![1], vec![0]]);
}

/// The tokens on the left, and the marginals.
type DecoderInput = (Vec<TokenId>, Vec<f32>);

/// Records the inputs of a decoder.
struct Recording(Arc<Mutex<Vec<DecoderInput>>>);

impl SpanDecoder for Recording {
    fn row(&self, span: &Span<'_>, before: &[TokenId]) -> Result<Vec<f32>, Error> {
        assert_eq!(span.positions, 0..3);
        let marginals = span.marginals.iter().copied().collect();
        self.0.lock().unwrap().push((before.to_vec(), marginals));
        Ok(vec![0.0, f32::NEG_INFINITY])
    }
}

/// The marginals of the whole span, one-hot where it is known. An id without a logit of the decoder is not drawn.
#[test]
fn the_decoder_gets_the_span() {
    let joint = independent(&[0.25, 0.5, 0.125]);
    let inputs = Arc::default();
    let canvas = Canvas::infill(vec![2, 1, 2], 2).unwrap();
    let generator = generator(&joint, 1, spans(Recording(Arc::clone(&inputs)), 3));
    let output = generator.run(vec![canvas], &mut ()).unwrap().remove(0);
    assert_eq!(output.tokens, [0, 1, 0]);
    let inputs = inputs.lock().unwrap();
    let before: Vec<&[TokenId]> = inputs.iter().map(|(before, _)| before.as_slice()).collect();
    assert_eq!(before, [&[][..], &[0, 1]]);
    let expected = [0.75, 0.25, 0.0, 0.0, 1.0, 0.0, 0.875, 0.125, 0.0];
    for (_, marginals) in inputs.iter() {
        assert!(
            marginals.iter().zip(expected).all(|(got, p)| (got - p).abs() < 1e-6),
            "{marginals:?}"
        );
    }
}

#[test]
fn wrong_rows_of_the_decoder_are_errors() {
    struct Fixed(Vec<f32>);
    impl SpanDecoder for Fixed {
        fn row(&self, _: &Span<'_>, _: &[TokenId]) -> Result<Vec<f32>, Error> {
            Ok(self.0.clone())
        }
    }
    let joint = independent(&[0.5, 0.5]);
    let run = |row: Vec<f32>| {
        let generator = Generator::new(oracle(&joint)).unmasker(spans(Fixed(row), 2));
        generator.run(vec![blank(&joint)], &mut ()).map(|outputs| outputs[0].tokens.clone())
    };
    for bad in [f32::NAN, f32::INFINITY] {
        let error = run(vec![0.0, bad]).unwrap_err().to_string();
        assert!(error.contains("position 0") && error.contains("NaN"), "{error}");
    }
    for nothing in
        [vec![], vec![f32::NEG_INFINITY; 3], vec![f32::NEG_INFINITY, f32::NEG_INFINITY, 0.0]]
    {
        let error = run(nothing).unwrap_err();
        assert!(matches!(error, Error::EmptyRow { sequence: 0, position: 0 }), "{error}");
    }
    // The mask and ids outside the vocabulary are never drawn.
    assert_eq!(run(vec![f32::NEG_INFINITY, 0.0, 50.0, 50.0]).unwrap(), [1, 1]);
}
