//! The law of `VerifiedJoint` under every setting.

use std::sync::Arc;

use super::{noisy, verified};
use crate::common::{Squaring, ZERO, blank, cases, distance, oracle, orders, parity};
use conjoint_core::denoiser::{Answer, Request};
use conjoint_core::draw::Argmax;
use conjoint_core::filter::{CreditDecoding, Filter, RepetitionPenalty, Temperature, TopP};
use conjoint_core::guidance::ClassifierFree;
use conjoint_core::order::{Entropy, LeftToRight};
use conjoint_core::schedule::TokensPerStep;
use conjoint_core::top_k_rows::Rows;
use conjoint_core::unmasker::{ExactSequential, LearnedJoint};
use conjoint_core::{
    Canvas, Denoiser, DenseRows, Error, Generator, Order, SamplerLayer, Vocabulary,
};
use conjoint_testkit::{ExactRefiner, Law, StaleRefiner, TabularDenoiser, TabularJoint, exact_law};
use proptest::prelude::*;

/// The largest distance of two samplers of the same rows. They differ only by the rounding of float32 coins.
const SAME: f64 = 1e-7;

/// Layers from exact to useless.
fn layers() -> Vec<(&'static str, Arc<dyn SamplerLayer>)> {
    vec![
        ("exact", Arc::new(ExactRefiner)),
        ("noisy", Arc::new(noisy())),
        ("stale", Arc::new(StaleRefiner)),
    ]
}

/// A model whose conditionals are not those of a joint, so its law depends on the order.
struct Inconsistent(TabularDenoiser);

impl Denoiser for Inconsistent {
    fn vocabulary(&self) -> &Vocabulary {
        self.0.vocabulary()
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let answer = self.0.forward(request)?;
        let Rows::Dense(dense) = answer.rows else { unreachable!("the oracle is dense") };
        let rows = request.rows.iter().enumerate().flat_map(|(n, id)| {
            let tokens = request.batch[id.sequence].canvas.tokens();
            let mut hash = id.position as u32 + 1;
            tokens.iter().for_each(|&token| hash = hash.wrapping_mul(31).wrapping_add(token));
            let bend = move |(token, &logit): (usize, &f32)| {
                let noise = hash.wrapping_mul(2_654_435_761).rotate_left(7 * token as u32) % 1000;
                logit + noise as f32 / 500.0
            };
            dense.logits(n).iter().enumerate().map(bend).collect::<Vec<_>>()
        });
        let shape = (request.rows.len(), self.vocabulary().size());
        let logits = ndarray::Array2::from_shape_vec(shape, rows.collect()).unwrap();
        Ok(Answer { rows: DenseRows::from_logits(logits).into(), ..answer })
    }
}

fn law(generator: &Generator, canvas: &Canvas) -> Law {
    let law = exact_law(generator, canvas).unwrap();
    assert!((law.total() - 1.0).abs() < 1e-9, "{}", law.total());
    law
}

/// Fails unless every layer and K has the law of one token a forward in the same order.
fn assert_sequential(settings: &Generator, canvas: &Canvas, order: impl Order + Clone + 'static) {
    let sequential = settings.clone().unmasker(ExactSequential::new(order.clone()));
    let expected = law(&sequential, canvas);
    for (name, layer) in layers() {
        for k in 2..=4 {
            let unmasker = verified(layer.clone(), k).order(order.clone());
            let got = law(&settings.clone().unmasker(unmasker), canvas);
            let distance = got.total_variation(&expected);
            assert!(distance < SAME, "{name} layer, K = {k}: {distance}");
        }
    }
}

fn sharpened() -> impl Filter + Clone {
    Temperature::new(0.6).unwrap().then(TopP::new(0.85).unwrap())
}

proptest! {
    #![proptest_config(cases(16))]

    /// Every model has a law of one token a forward, even if its conditionals are not those of a joint.
    #[test]
    fn exact_order_is_exact_sequential(
        length in 2usize..=4, alpha in 0.2f64..2.0, seed: u64, filtered: bool,
    ) {
        let joint = TabularJoint::random(length, 2, alpha, seed).unwrap();
        let mut settings = Generator::new(Inconsistent(oracle(&joint)));
        if filtered {
            settings = settings.filter(sharpened());
        }
        assert_sequential(&settings, &blank(&joint), Entropy);
    }

    #[test]
    fn exact_order_is_exact_sequential_over_three_symbols(alpha in 0.2f64..2.0, seed: u64, filtered: bool) {
        let joint = TabularJoint::random(3, 3, alpha, seed).unwrap();
        let mut settings = Generator::new(Inconsistent(oracle(&joint)));
        if filtered {
            settings = settings.filter(sharpened());
        }
        assert_sequential(&settings, &blank(&joint), Entropy);
    }

    /// With the conditionals of a joint both modes sample it, with and without a prompt.
    #[test]
    fn both_modes_sample_the_joint(alpha in 0.2f64..2.0, seed: u64, given in 0u32..=2) {
        let joint = TabularJoint::random(4, 2, alpha, seed).unwrap();
        let mut tokens = joint.masked();
        tokens[2] = given;
        for (name, layer) in layers() {
            for k in 2..=4 {
                let exact = verified(layer.clone(), k);
                for unmasker in [exact.clone(), exact.any_order()] {
                    let generator = Generator::new(oracle(&joint)).unmasker(unmasker);
                    let distance = distance(&generator, &joint, &tokens);
                    prop_assert!(distance < ZERO, "{name} layer, K = {k}: {distance}");
                }
            }
        }
    }

    /// If the order does not depend on rows, the two modes have one law.
    #[test]
    fn a_fixed_order_has_one_law(alpha in 0.2f64..2.0, seed: u64) {
        let joint = TabularJoint::random(4, 2, alpha, seed).unwrap();
        let settings = Generator::new(Inconsistent(oracle(&joint))).filter(sharpened());
        let settings = settings.order(LeftToRight);
        let expected = law(&settings.clone().unmasker(ExactSequential::default()), &blank(&joint));
        for k in 2..=4 {
            let any = settings.clone().unmasker(verified(noisy(), k).any_order());
            let distance = law(&any, &blank(&joint)).total_variation(&expected);
            prop_assert!(distance < SAME, "K = {k}: {distance}");
        }
    }
}

#[test]
fn over_strict_dependencies() {
    assert_sequential(&Generator::new(oracle(&parity())), &blank(&parity()), Entropy);
}

#[test]
fn in_every_order() {
    let joint = TabularJoint::random(3, 2, 0.5, 5).unwrap();
    let settings = Generator::new(Inconsistent(oracle(&joint)));
    for (_, order) in orders() {
        assert_sequential(&settings, &blank(&joint), order);
    }
}

/// A filter that reads the canvas reads the one on which the token is settled. A filter with a memory stores each
/// canvas once.
#[test]
fn with_filters_that_read_the_canvas_or_have_a_memory() {
    let joint = TabularJoint::random(4, 2, 0.7, 8).unwrap();
    let settings = || Generator::new(Inconsistent(oracle(&joint)));
    let repetition = settings().filter(RepetitionPenalty::new(1.7).unwrap());
    assert_sequential(&repetition, &blank(&joint), Entropy);
    let credits = settings().filter(CreditDecoding::new(2.0, 0.5, 1.0).unwrap());
    assert_sequential(&credits, &blank(&joint), Entropy);
    let blocks = credits.block_length(2).unwrap();
    assert_sequential(&blocks, &blank(&joint), Entropy);
}

#[test]
fn in_blocks_and_overlapping_blocks() {
    let joint = TabularJoint::random(4, 2, 0.5, 3).unwrap();
    let settings = Generator::new(Inconsistent(oracle(&joint)));
    for block in [1, 2] {
        let settings = settings.clone().block_length(block).unwrap();
        assert_sequential(&settings, &blank(&joint), Entropy);
        for share in [0.0, 0.5, 1.0] {
            let overlapping = settings.clone().open_next_block_at(share).unwrap();
            assert_sequential(&overlapping, &blank(&joint), Entropy);
        }
    }
}

/// A block that opens in the middle of a round ends it.
#[test]
fn in_blocks_that_open_within_a_round() {
    let joint = TabularJoint::random(6, 2, 0.5, 3).unwrap();
    let settings = Generator::new(Inconsistent(oracle(&joint))).block_length(3).unwrap();
    let settings = settings.open_next_block_at(0.6).unwrap();
    let expected = law(&settings.clone().unmasker(ExactSequential::default()), &blank(&joint));
    let got = law(&settings.unmasker(verified(noisy(), 3)), &blank(&joint));
    assert!(got.total_variation(&expected) < SAME);
}

/// A drafted end has no effect before it is settled.
#[test]
fn with_an_early_end() {
    for eos in [0, 1] {
        let joint = TabularJoint::random(4, 2, 0.5, 4).unwrap();
        let model = oracle(&joint).with_eos(eos).unwrap();
        let settings = Generator::new(Inconsistent(model)).stop_at_eos(true);
        assert_sequential(&settings, &blank(&joint), Entropy);
        let given = Canvas::infill(vec![2, eos, 2, 2], 2).unwrap();
        assert_sequential(&settings, &given, Entropy);
        assert_sequential(&settings.block_length(2).unwrap(), &blank(&joint), Entropy);
    }
}

/// Draws other than a softmax.
#[test]
fn with_every_draw() {
    let joint = TabularJoint::random(4, 2, 0.5, 6).unwrap();
    let settings = || Generator::new(Inconsistent(oracle(&joint)));
    assert_sequential(&settings().draw(Squaring), &blank(&joint), Entropy);
    assert_sequential(&settings().draw(Argmax), &blank(&joint), Entropy);
}

/// The mask's weight is not given to any token, whether the ban or the draw excludes the mask.
#[test]
fn a_model_that_prefers_the_mask() {
    let joint = TabularJoint::random(3, 2, 0.5, 5).unwrap();
    let settings = Generator::new(oracle(&joint).with_mask_weight(2.0).unwrap());
    assert_sequential(&settings, &blank(&joint), Entropy);
    assert_sequential(&settings.ban([]), &blank(&joint), Entropy);
}

#[test]
fn with_guidance() {
    let joint = TabularJoint::random(4, 2, 0.5, 2).unwrap();
    let model = ClassifierFree::new(oracle(&joint), 1.5).unwrap();
    let layer = model.sampler_layer(noisy());
    let canvas = Canvas::infill(vec![1, 2, 2, 2], 2).unwrap();
    let settings = Generator::new(model);
    let expected = law(&settings.clone().unmasker(ExactSequential::default()), &canvas);
    let got = law(&settings.unmasker(verified(layer, 3)), &canvas);
    assert!(got.total_variation(&expected) < SAME);
}

/// The same measure detects drafts that are not verified, and another order.
#[test]
fn broken_variants_are_detected() {
    let joint = TabularJoint::random(4, 2, 0.5, 3).unwrap();
    let settings = Generator::new(Inconsistent(oracle(&joint))).filter(sharpened());
    let expected = law(&settings.clone().unmasker(ExactSequential::default()), &blank(&joint));
    let unverified = settings.clone().schedule(TokensPerStep::new(3).unwrap());
    let unverified = law(&unverified.unmasker(LearnedJoint::new(noisy())), &blank(&joint));
    assert!(unverified.total_variation(&expected) > 0.05);
    let any = law(&settings.unmasker(verified(noisy(), 3).any_order()), &blank(&joint));
    assert!(any.total_variation(&expected) > 0.005);
}
