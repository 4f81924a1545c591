//! `ClippedJoint`: exact with an exact layer, and at most twice as far from the joint as the layer without clipping.

use std::sync::Arc;

use crate::common::{ZERO, blank, cases, distance, generator, law, oracle, orders, parity};
use conjoint_core::strategy::Strategy;
use conjoint_core::unmasker::{ClippedJoint, ExactSequential, LearnedJoint};
use conjoint_core::{Error, Generator, Next, Row, SamplerLayer, Unmasker, View};
use conjoint_testkit::{ExactRefiner, NoisyRefiner, StaleRefiner, TabularJoint};
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(32))]

    #[test]
    fn an_exact_layer_is_never_clipped(
        symbols in 2usize..=3, alpha in 0.2f64..2.0, seed: u64, k in 1usize..=3,
    ) {
        let joint = TabularJoint::random(3, symbols, alpha, seed).unwrap();
        for (name, order) in orders() {
            let strategy = ClippedJoint::new(ExactRefiner).order(order);
            let distance = distance(&generator(&joint, k, strategy), &joint, &joint.masked());
            prop_assert!(distance < ZERO, "{name}, K = {k}: {distance}");
        }
    }

    #[test]
    fn a_stale_layer_is_never_clipped(alpha in 0.2f64..2.0, seed: u64, k in 1usize..=3) {
        let joint = TabularJoint::random(3, 3, alpha, seed).unwrap();
        let clipped = law(&generator(&joint, k, ClippedJoint::new(StaleRefiner)), &joint);
        let plain = law(&generator(&joint, k, LearnedJoint::new(StaleRefiner)), &joint);
        prop_assert!(clipped.total_variation(&plain) < ZERO);
    }

    /// At K = 2, for any layer.
    #[test]
    fn never_more_than_twice_as_far_off(
        alpha in 0.2f64..2.0, seed: u64, scale in 0.0f32..6.0, length in 2usize..=3,
    ) {
        let joint = TabularJoint::random(length, 3, alpha, seed).unwrap();
        let layer = NoisyRefiner::new(scale, seed).unwrap();
        let off = |generator| distance(&generator, &joint, &joint.masked());
        let plain = off(generator(&joint, 2, LearnedJoint::new(layer)));
        let clipped = off(generator(&joint, 2, ClippedJoint::new(layer)));
        prop_assert!(clipped <= 2.0 * plain + ZERO, "{clipped} against {plain}");
    }
}

#[test]
fn strict_dependencies_and_prompts() {
    for tokens in [[2, 2, 2], [2, 1, 2]] {
        let three = generator(&parity(), 3, ClippedJoint::new(ExactRefiner));
        assert!(distance(&three, &parity(), &tokens) < ZERO);
    }
}

/// On average over joints, at every K.
#[test]
fn a_bad_layer_is_brought_nearer_the_joint() {
    for k in [2, 3] {
        let (mut plain, mut clipped) = (0.0, 0.0);
        for seed in 0..40 {
            let joint = TabularJoint::random(3, 3, 0.5, seed).unwrap();
            let layer = NoisyRefiner::new(4.0, seed).unwrap();
            let off = |generator| distance(&generator, &joint, &joint.masked());
            plain += off(generator(&joint, k, LearnedJoint::new(layer)));
            clipped += off(generator(&joint, k, ClippedJoint::new(layer)));
        }
        assert!(clipped < 0.98 * plain, "K = {k}: {clipped} against {plain}");
    }
}

#[test]
fn one_token_a_step_is_sequential_token_for_token() {
    let joint = TabularJoint::random(4, 3, 0.5, 6).unwrap();
    let run = |strategy: Strategy| {
        let generator = Generator::new(oracle(&joint)).unmasker(strategy).seed(4);
        generator.run(vec![blank(&joint); 50], &mut ()).unwrap()
    };
    let layer = NoisyRefiner::new(3.0, 1).unwrap();
    assert_eq!(run(ClippedJoint::new(layer).into()), run(ExactSequential::default().into()));
}

/// Broken on purpose: uses the probability of the last token instead of the probability of the path.
#[derive(Clone)]
struct LastTokenOnly {
    layer: Arc<dyn SamplerLayer>,
    base: Vec<(usize, Vec<f64>)>,
    last: f64,
}

impl Unmasker for LastTokenOnly {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let softmax = |row: &[f32]| -> Vec<f64> {
            let weights: Vec<f64> = row.iter().map(|&l| f64::from(l).exp()).collect();
            let sum: f64 = weights.iter().sum();
            weights.iter().map(|w| w / sum).collect()
        };
        if view.round() == 0 {
            self.base.clear();
            for candidate in view.rows() {
                let position = view.row(candidate).position;
                self.base.push((position, softmax(view.filtered(candidate)?)));
            }
        }
        let position = view.candidates()[0].position;
        let base = &self.base.iter().find(|(p, _)| *p == position).unwrap().1;
        let p = if view.round() == 0 { 1.0 } else { self.last };
        let refined = softmax(view.filtered(Row::candidate(0))?);
        let clip = |(&r, &b): (&f64, &f64)| r.max((b - 1.0 + p) / p).min(b / p).ln() as f32;
        let mut logits: Vec<f32> = refined.iter().zip(base).map(clip).collect();
        let drawn = view.draw_from(Row::candidate(0), &mut logits)?;
        self.last = drawn.probability;
        view.reveal(Row::candidate(0), drawn);
        Ok(Next::Refine)
    }

    fn sampler_layer(&self) -> Option<&Arc<dyn SamplerLayer>> {
        Some(&self.layer)
    }
}

#[test]
fn a_path_of_one_token_is_detected() {
    let mut mean = 0.0;
    for seed in 0..8 {
        let joint = TabularJoint::random(3, 3, 0.3, seed).unwrap();
        let layer = Arc::new(ExactRefiner);
        let last_token_only =
            generator(&joint, 3, LastTokenOnly { layer, base: Vec::new(), last: 1.0 });
        mean += distance(&last_token_only, &joint, &joint.masked()) / 8.0;
    }
    assert!(mean > 0.02, "{mean}");
}
