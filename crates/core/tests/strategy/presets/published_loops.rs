//! Presets have the law of the published loops that they are named after. The rows are large enough to tell raw scores from
//! filtered ones, and top-p before top-k from top-k before top-p. Each mistake gives another law.

use crate::common::ZERO;
use conjoint_core::filter::{Filter, Temperature, TopK, TopP};
use conjoint_core::guidance::ClassifierFree;
use conjoint_core::order::{Entropy, LeftToRight, Margin, MaxProb, Raw};
use conjoint_core::presets::{
    Adjust, Dream, DreamAlgorithm, FastDllm, Llada, adjust, dream, fast_dllm, llada,
};
use conjoint_core::schedule::{DreamLinear, LladaEven, Threshold};
use conjoint_core::strategy::Strategy;
use conjoint_core::unmasker::{Confidence, LearnedJoint, Marginal, Score};
use conjoint_core::{Canvas, Generator, Order, TokenId};
use conjoint_testkit::{Law, exact_law};

use super::loops::{self, BOS, MASK, PAD, Rows};

/// The smallest distance that counts as another law: about a thousand times the rounding of float32.
const APART: f64 = 1e-3;

fn law(generator: &Generator, tokens: &[TokenId]) -> Law {
    let canvas = Canvas::infill(tokens.to_vec(), MASK).unwrap();
    exact_law(generator, &canvas).unwrap()
}

/// A loop's law, the preset, and mistakes by name.
type Case = (Law, Generator, Vec<(&'static str, Generator)>);

/// Fails unless the preset has the law of the loop for every one of several models, and no mistake has.
fn compare(tokens: &[TokenId], case: impl Fn(u64) -> Case) {
    let mut largest: Vec<(&str, f64)> = Vec::new();
    for salt in 0..4 {
        let (expected, preset, mistakes) = case(salt);
        assert!((expected.total() - 1.0).abs() < 1e-9);
        let distance = law(&preset, tokens).total_variation(&expected);
        assert!(distance < ZERO, "model {salt}: {distance}");
        largest.resize(mistakes.len(), ("", 0.0));
        for ((name, mistake), largest) in mistakes.iter().zip(&mut largest) {
            let distance = law(mistake, tokens).total_variation(&expected);
            *largest = (name, largest.1.max(distance));
        }
    }
    for (mistake, distance) in largest {
        assert!(distance > APART, "{mistake}: {distance} at most");
    }
}

fn temperature(temperature: f64) -> Temperature {
    Temperature::new(temperature).unwrap()
}

#[test]
fn llada_is_its_loop() {
    let start = [2, MASK, MASK, MASK, MASK];
    let with = Llada { steps: 2, block_length: 4, temperature: 0.4, ..Llada::default() };
    compare(&start, |salt| {
        let preset = llada(Rows::new(salt), with).unwrap();
        let mistakes = vec![
            ("tempered confidence", preset.clone().unmasker(Confidence::new(Score::Filtered))),
            ("no temperature", preset.clone().without_filters().filter(temperature(1.0))),
            ("Dream's schedule", preset.clone().schedule(DreamLinear::new(2).unwrap())),
            ("blocks of two", preset.clone().block_length(2).unwrap()),
        ];
        (loops::llada(&Rows::new(salt), &start, 1, with), preset, mistakes)
    });
}

#[test]
fn llada_in_guided_blocks_is_its_loop() {
    let start = [3, 1, MASK, MASK, MASK, MASK];
    let with = Llada { steps: 4, block_length: 2, temperature: 0.8, ..Llada::default() };
    let with = Llada { cfg_scale: 0.5, ..with };
    compare(&start, |salt| {
        let scaled = |scale: f64| {
            let model = ClassifierFree::new(Rows::new(salt), scale).unwrap();
            let generator = Generator::new(model).ban([]).filter(temperature(0.8));
            let generator = generator.unmasker(Confidence::default()).block_length(2).unwrap();
            generator.schedule(LladaEven::new(4).unwrap())
        };
        let mistakes = vec![("no guidance", scaled(0.0)), ("a scale of w + 1", scaled(1.5))];
        let preset = llada(Rows::new(salt), with).unwrap();
        (loops::llada(&Rows::new(salt), &start, 2, with), preset, mistakes)
    });
}

fn by(order: impl Order + 'static) -> Strategy {
    Marginal::new(order).into()
}

#[test]
fn dream_is_its_loop() {
    let start = [MASK; 4];
    let (t, p, k) = (0.7, 0.9, 3);
    let (top_p, top_k) = (|| TopP::new(p).unwrap(), || TopK::new(k).unwrap());
    for (algorithm, steps, raw, other) in [
        (DreamAlgorithm::MaskgitPlus, 2, Confidence::new(Score::Raw).into(), by(MaxProb)),
        (DreamAlgorithm::TopkMargin, 4, by(Raw(Margin)), by(Entropy)),
        (DreamAlgorithm::Entropy, 4, by(Raw(Entropy)), by(Margin)),
    ] {
        let with = Dream { steps, algorithm, temperature: t, ..Dream::default() };
        let with = Dream { top_p: Some(p), top_k: Some(k), ..with };
        compare(&start, |salt| {
            let preset = dream(Rows::new(salt), with).unwrap();
            let t = || temperature(t);
            let mistakes = vec![
                ("scores of raw rows", preset.clone().unmasker(raw.clone())),
                ("another score", preset.clone().unmasker(other.clone())),
                (
                    "k before p",
                    preset.clone().without_filters().filter(t().then(top_k()).then(top_p())),
                ),
                (
                    "p before T",
                    preset.clone().without_filters().filter(top_p().then(t()).then(top_k())),
                ),
                ("no p", preset.clone().without_filters().filter(t().then(top_k()))),
                ("no k", preset.clone().without_filters().filter(t().then(top_p()))),
                ("a banned mask", preset.clone().ban([MASK])),
                ("LLaDA's schedule", preset.clone().schedule(LladaEven::new(steps).unwrap())),
            ];
            (loops::dream(&Rows::new(salt), &start, with), preset, mistakes)
        });
    }
}

#[test]
fn dream_with_an_algorithm_temperature_is_its_loop() {
    let start = [MASK; 3];
    for algorithm in
        [DreamAlgorithm::MaskgitPlus, DreamAlgorithm::TopkMargin, DreamAlgorithm::Entropy]
    {
        let with = Dream { steps: 2, algorithm, temperature: 0.7, ..Dream::default() };
        let with = Dream { algorithm_temperature: Some(0.4), ..with };
        compare(&start, |salt| {
            let of = |algorithm_temperature| {
                dream(Rows::new(salt), Dream { algorithm_temperature, ..with }).unwrap()
            };
            let mistakes = vec![("the best", of(None)), ("another temperature", of(Some(1.5)))];
            (loops::dream(&Rows::new(salt), &start, with), of(Some(0.4)), mistakes)
        });
    }
}

#[test]
fn fast_dllm_is_its_loop() {
    let start = [MASK; 4];
    let with = FastDllm { threshold: 0.3, block_length: 2, temperature: 0.7 };
    compare(&start, |salt| {
        let preset = fast_dllm(Rows::new(salt), with).unwrap();
        let mistakes = vec![
            ("the tempered row", preset.clone().unmasker(Confidence::new(Score::Filtered))),
            ("p₁ for confidence", preset.clone().unmasker(Marginal::new(Raw(MaxProb)))),
            ("one token a step", preset.clone().schedule(Threshold::new(1.0).unwrap())),
            ("no temperature", preset.clone().without_filters().filter(temperature(1.0))),
        ];
        (loops::fast_dllm(&Rows::new(salt), &start, with), preset, mistakes)
    });
}

#[test]
fn adjust_is_its_loop() {
    let start = [MASK; 5];
    let with = Adjust { steps: 2, temperature: 0.8, top_p: Some(0.8), ..Adjust::default() };
    let p = || TopP::new(0.8).unwrap();
    compare(&start, |salt| {
        let (base, layer) = (Rows::new(salt), Rows::new(salt + 100));
        let preset = adjust(base.clone(), layer.clone(), with).unwrap();
        let joint = || LearnedJoint::new(layer.clone());
        let mistakes = vec![
            ("raw entropy", preset.clone().unmasker(joint().order(Raw(Entropy)))),
            ("left to right", preset.clone().unmasker(joint().order(LeftToRight))),
            ("no layer", preset.clone().unmasker(Marginal::default())),
            ("the base for the layer", preset.clone().unmasker(LearnedJoint::new(base.clone()))),
            ("no ban", preset.clone().ban([MASK])),
            ("no ban of bos", preset.clone().ban([MASK, PAD])),
            ("no ban of pad", preset.clone().ban([MASK, BOS])),
            ("p before T", preset.clone().without_filters().filter(p().then(temperature(0.8)))),
            ("no p", preset.clone().without_filters().filter(temperature(0.8))),
        ];
        (loops::adjust(&base, &layer, &start, with), preset, mistakes)
    });
}
