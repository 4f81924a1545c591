//! Classifier-free guidance: the law that its docs claim, from left to right and with a sampler layer.

use crate::common::{ZERO, blank, cases, oracle, over, parity};
use conjoint_core::guidance::ClassifierFree;
use conjoint_core::order::LeftToRight;
use conjoint_core::schedule::TokensPerStep;
use conjoint_core::unmasker::{ExactSequential, LearnedJoint};
use conjoint_core::{Canvas, Denoiser, Error, Generator, TokenId};
use conjoint_testkit::{
    ExactRefiner, Law, NoisyRefiner, TabularDenoiser, TabularJoint, conformance, exact_law,
};
use proptest::prelude::*;

type Guided = ClassifierFree<TabularDenoiser>;

fn guided(joint: &TabularJoint, w: f64) -> Guided {
    ClassifierFree::new(oracle(joint), w).unwrap()
}

fn sequential(model: impl Denoiser + 'static) -> Generator {
    Generator::new(model).unmasker(ExactSequential::new(LeftToRight))
}

/// p(x_i) ∝ p(x_i | all known)^(w + 1) / p(x_i | generated tokens)^w, from left to right.
fn defined(joint: &TabularJoint, tokens: &[TokenId], w: f64) -> Law {
    let mask = joint.mask();
    let mut reached = vec![(tokens.to_vec(), 1.0)];
    for i in (0..tokens.len()).filter(|&i| tokens[i] == mask) {
        let mut next = Vec::new();
        for (known, p) in reached {
            let generated = known
                .iter()
                .zip(tokens)
                .map(|(&now, &given)| if given == mask { now } else { mask });
            let with = joint.conditional(&known, i).unwrap();
            let without = joint.conditional(&generated.collect::<Vec<_>>(), i).unwrap();
            let weight = |v: usize| match with[v] {
                0.0 => 0.0,
                with => with.powf(w + 1.0) / without[v].powf(w),
            };
            let total: f64 = (0..joint.symbols()).map(weight).sum();
            for v in 0..joint.symbols() {
                let mut longer = known.clone();
                longer[i] = v as TokenId;
                next.push((longer, p * weight(v) / total));
            }
        }
        reached = next;
    }
    reached.into_iter().filter(|(_, p)| *p > 0.0).collect()
}

fn law_given(generator: &Generator, tokens: &[TokenId], joint: &TabularJoint) -> Law {
    let canvas = Canvas::infill(tokens.to_vec(), joint.mask()).unwrap();
    exact_law(generator, &canvas).unwrap()
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn the_law_is_as_defined(alpha in 0.2f64..2.0, seed: u64, w in 0.0f64..3.0, seen in 0u32..2) {
        let joint = TabularJoint::random(4, 2, alpha, seed).unwrap();
        let mask = joint.mask();
        for tokens in [[seen, mask, mask, mask], [seen, mask, 1, mask], [mask, seen, mask, 0]] {
            let got = law_given(&sequential(guided(&joint, w)), &tokens, &joint);
            let distance = got.total_variation(&defined(&joint, &tokens, w));
            prop_assert!(distance < 10.0 * ZERO, "{tokens:?}: {distance}");
        }
    }

    /// With a layer that refines both passes exactly, K tokens a step have the law of one.
    #[test]
    fn the_layer_is_guided_too(alpha in 0.2f64..2.0, seed: u64, w in 0.0f64..3.0, k in 2usize..=3) {
        let joint = TabularJoint::random(4, 2, alpha, seed).unwrap();
        let tokens = [1, joint.mask(), joint.mask(), joint.mask()];
        let model = guided(&joint, w);
        let layer = model.sampler_layer(ExactRefiner);
        let refined = Generator::new(model)
            .unmasker(LearnedJoint::new(layer).order(LeftToRight))
            .schedule(TokensPerStep::new(k).unwrap());
        let got = law_given(&refined, &tokens, &joint);
        prop_assert!(got.total_variation(&defined(&joint, &tokens, w)) < 10.0 * ZERO);
    }
}

#[test]
fn impossible_tokens_stay_impossible() {
    let got = law_given(&sequential(guided(&parity(), 2.0)), &[1, 2, 2], &parity());
    assert!(got.total_variation(&parity().given(&[1, 2, 2]).unwrap()) < ZERO);
}

#[test]
fn a_scale_of_0_is_the_plain_model_and_others_cost_two_passes() {
    let joint = TabularJoint::random(4, 3, 0.5, 2).unwrap();
    let canvases = || vec![Canvas::new(&[1], 3, joint.mask()).unwrap(); 20];
    let refined = |model: Guided| {
        let layer = model.sampler_layer(NoisyRefiner::new(1.0, 1).unwrap());
        Generator::new(model)
            .unmasker(LearnedJoint::new(layer))
            .schedule(TokensPerStep::new(3).unwrap())
    };
    let plain = over(oracle(&joint), 3, LearnedJoint::new(NoisyRefiner::new(1.0, 1).unwrap()));
    let run = |generator: Generator| generator.run(canvases(), &mut ()).unwrap();
    let expected = run(plain);
    assert_eq!(run(refined(guided(&joint, 0.0))), expected);
    let doubled = run(refined(guided(&joint, 1.0)));
    assert!(doubled.iter().all(|output| output.denoiser_calls == 2));
    assert!(expected.iter().all(|output| output.denoiser_calls == 1));
}

#[test]
fn an_unguided_layer_is_rejected() {
    let joint = TabularJoint::random(3, 2, 0.5, 2).unwrap();
    let generator = Generator::new(guided(&joint, 1.0))
        .unmasker(LearnedJoint::new(ExactRefiner))
        .schedule(TokensPerStep::new(2).unwrap());
    let error = generator.run(vec![blank(&joint)], &mut ()).unwrap_err();
    assert!(matches!(error, Error::ForeignState { .. }), "{error}");
}

#[test]
fn bad_scales_are_rejected() {
    let joint = TabularJoint::random(2, 2, 0.5, 2).unwrap();
    for bad in [-0.1, f64::NAN, f64::INFINITY, 1e300] {
        assert!(ClassifierFree::new(oracle(&joint), bad).is_err(), "{bad}");
    }
}

#[test]
fn rows_do_not_depend_on_the_batch() {
    let joint = TabularJoint::random(4, 3, 0.5, 2).unwrap();
    let mask = joint.mask();
    let canvas = |tokens: [TokenId; 4]| Canvas::infill(tokens.to_vec(), mask).unwrap();
    let canvases = vec![canvas([0, mask, mask, 1]), canvas([mask; 4]), canvas([2, 1, mask, mask])];
    let model = guided(&joint, 1.5);
    conformance::denoiser("guided", &model, &canvases, 0.0).unwrap();
    let layer = model.sampler_layer(ExactRefiner);
    conformance::sampler_layer("guided", &model, &layer, &canvases, 0.0).unwrap();
}

/// Another scale has another law. With a visible condition the law is that of scale 0.
#[test]
fn other_scales_are_detected() {
    let joint = TabularJoint::random(4, 2, 0.5, 3).unwrap();
    let tokens = [1, joint.mask(), joint.mask(), joint.mask()];
    let got = law_given(&sequential(guided(&joint, 1.0)), &tokens, &joint);
    for wrong in [0.0, 2.0] {
        assert!(got.total_variation(&defined(&joint, &tokens, wrong)) > 0.02, "{wrong}");
    }
}
