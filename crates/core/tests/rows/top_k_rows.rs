//! Top-K rows change no law: every strategy and filter has the law that it has with dense rows.

use crate::common::{ZERO, blank, law, oracle, orders, scheduled};
use conjoint_core::denoiser::{Answer, Request};
use conjoint_core::draw::Argmax;
use conjoint_core::filter::{
    Ban, Constrain, Filter, Identity, MinLength, MinP, Penalty, Temperature, TopK, TopP,
};
use conjoint_core::order::{Entropy, Raw};
use conjoint_core::policy::Klass;
use conjoint_core::schedule::TokensPerStep;
use conjoint_core::strategy::{self, Strategy};
use conjoint_core::top_k_rows::{TopKArrays, TopKRows};
use conjoint_core::unmasker::{
    Confidence, EnergyResampling, ExactSequential, LearnedJoint, Marginal, Score,
};
use conjoint_core::{Denoiser, DenseRows, Error, Generator, Output, Vocabulary};
use conjoint_testkit::{
    ExactRefiner, StaleRefiner, TabularAutoregressive, TabularDenoiser, TabularJoint, TopKModel,
};
use ndarray::Array2;
use std::sync::Arc;

/// Two positions of five symbols: rows of six logits.
fn joint(seed: u64) -> TabularJoint {
    TabularJoint::random(2, 5, 0.7, seed).unwrap()
}

/// A model that gives the mask a weight, so the ban on it matters.
fn with_mask_weight(joint: &TabularJoint, weight: f64) -> TabularDenoiser {
    oracle(joint).with_mask_weight(weight).unwrap()
}

fn over(model: impl Denoiser + 'static, k: usize, strategy: impl Into<Strategy>) -> Generator {
    let generator = Generator::new(model).unmasker(strategy);
    scheduled(&generator, TokensPerStep::new(k).unwrap())
}

#[test]
fn exact_strategies_stay_exact() {
    for (seed, mask_weight) in [(1, 0.0), (2, 0.3), (3, 30.0)] {
        let joint = joint(seed);
        for top in [2, 5, 6] {
            let model = TopKModel::new(with_mask_weight(&joint, mask_weight), top);
            let layer = TopKModel::new(ExactRefiner, top);
            for (name, order) in orders() {
                let sequential = ExactSequential::new(order.clone());
                let refined = LearnedJoint::new(layer.clone()).order(order);
                for generator in [
                    over(model.clone(), 1, sequential),
                    over(model.clone(), 2, refined.clone()),
                    over(model.clone(), 2, refined.window(1).unwrap()),
                ] {
                    let distance = joint.total_variation(&law(&generator, &joint));
                    assert!(distance < ZERO, "{name}, top {top}, seed {seed}: {distance}");
                }
            }
            // The mask is among the top if it has any weight.
            let outside = top < if mask_weight > 0.0 { 6 } else { 5 };
            assert_eq!(model.fetched() > 0, outside, "top {top}, mask {mask_weight}");
        }
    }
}

#[test]
fn every_kind_of_strategy_keeps_its_law() {
    let joint = joint(4);
    let ar = TabularAutoregressive::new(joint.clone());
    let strategies: Vec<(&str, usize, Strategy)> = vec![
        ("marginal", 2, Marginal::default().into()),
        ("marginal, raw order", 1, Marginal::new(Raw(Entropy)).into()),
        ("confidence, raw", 1, Confidence::new(Score::Raw).into()),
        ("confidence, filtered", 1, Confidence::new(Score::Filtered).into()),
        ("stale layer", 2, LearnedJoint::new(TopKModel::new(StaleRefiner, 2)).into()),
        ("full rows", 1, strategy::klass(Klass::default())),
        ("full rows, scored", 1, EnergyResampling::new(ar).completions(2).unwrap().into()),
        ("queries", 1, strategy::wino(0.3, 0.6).unwrap()),
    ];
    for (name, k, strategy) in strategies {
        for temperature in [1.0, 0.6, 2.0] {
            let filter = Temperature::new(temperature).unwrap();
            let dense = over(with_mask_weight(&joint, 0.2), k, strategy.clone()).filter(filter);
            let expected = law(&dense, &joint);
            for top in [2, 4] {
                let model = TopKModel::new(with_mask_weight(&joint, 0.2), top);
                let top_k = over(model, k, strategy.clone()).filter(filter);
                let distance = law(&top_k, &joint).total_variation(&expected);
                assert!(distance < ZERO, "{name}, T {temperature}, top {top}: {distance}");
            }
        }
    }
}

/// Filters by name, and whether the top 3 suffice for every row, if that is known.
fn filters() -> Vec<(&'static str, Option<bool>, Arc<dyn Filter>)> {
    let t = |t| Temperature::new(t).unwrap();
    let (top_k, top_p) = (|k| TopK::new(k).unwrap(), |p| TopP::new(p).unwrap());
    let min_p = |m| MinP::new(m).unwrap();
    vec![
        ("none", None, Arc::new(Identity)),
        ("top-k", Some(true), Arc::new(top_k(2))),
        ("top-k beyond the top", Some(false), Arc::new(top_k(4))),
        ("top-p", None, Arc::new(top_p(0.6))),
        ("min-p", None, Arc::new(min_p(0.3))),
        ("min-p of 0", None, Arc::new(min_p(0.0))),
        ("temperature, top-p", None, Arc::new(t(0.5).then(top_p(0.8)))),
        ("top-p, temperature", None, Arc::new(top_p(0.6).then(t(2.0)))),
        ("top-k, temperature, top-p", Some(true), Arc::new(top_k(2).then(t(0.3)).then(top_p(0.7)))),
        ("two temperatures", None, Arc::new(t(0.5).then(t(3.0)))),
        ("a ban", None, Arc::new(Ban::new([0, 3, 99]).then(t(0.5)))),
        ("a ban after top-k", Some(true), Arc::new(top_k(2).then(Ban::new([5])))),
        ("length", None, Arc::new(MinLength::new(1, [1, 2]))),
        ("a penalty", Some(false), Arc::new(Penalty::new([1, 2], 0.7).unwrap())),
        ("several", Some(true), Arc::new(vec![top_k(2), top_k(1)])),
    ]
}

#[test]
fn every_filter_keeps_its_law() {
    for seed in 5..7 {
        let joint = joint(seed);
        for (name, enough, filter) in filters() {
            let dense = over(with_mask_weight(&joint, 0.2), 1, ExactSequential::default());
            let expected = law(&dense.filter(filter.clone()), &joint);
            for top in 2..=6 {
                let model = TopKModel::new(with_mask_weight(&joint, 0.2), top);
                let generator = over(model.clone(), 1, ExactSequential::default());
                let law = law(&generator.filter(filter.clone()), &joint);
                let distance = law.total_variation(&expected);
                assert!(distance < ZERO, "{name}, top {top}, seed {seed}: {distance}");
                if let Some(enough) = enough.filter(|_| top == 3) {
                    let is_dense = name == "a penalty";
                    assert_eq!(model.fetched() == 0, enough || is_dense, "{name}: fetched");
                }
            }
        }
    }
}

fn outputs(generator: &Generator, joint: &TabularJoint) -> Vec<Output> {
    generator.run(vec![blank(joint); 100], &mut ()).unwrap()
}

/// If all possible tokens are in the top, draws are those from dense rows.
#[test]
fn the_same_seed_gives_the_same_tokens_where_the_top_holds_all() {
    let joint = TabularJoint::random(4, 5, 0.7, 9).unwrap();
    let strategies: [Strategy; 2] =
        [Confidence::default().into(), ExactSequential::default().into()];
    for strategy in strategies {
        let dense = over(oracle(&joint), 1, strategy.clone());
        let model = |top| TopKModel::new(oracle(&joint), top);
        let top_2 = TopK::new(2).unwrap();
        let (two, all) = (model(2), model(6));
        let top_k_rows = |model: &TopKModel<_>| over(model.clone(), 1, strategy.clone());
        for seed in 0..10 {
            let expected = outputs(&dense.clone().seed(seed), &joint);
            assert_eq!(outputs(&top_k_rows(&all).seed(seed), &joint), expected);
            let expected = outputs(&dense.clone().seed(seed).filter(top_2), &joint);
            assert_eq!(outputs(&top_k_rows(&two).seed(seed).filter(top_2), &joint), expected);
            let expected = outputs(&dense.clone().seed(seed).draw(Argmax), &joint);
            assert_eq!(outputs(&top_k_rows(&two).seed(seed).draw(Argmax), &joint), expected);
        }
        assert_eq!((two.fetched(), all.fetched()), (0, 0));
    }
}

/// Neighbours that need full rows, or rows at other temperatures, change nothing.
#[test]
fn a_sequence_does_not_depend_on_its_batch() {
    let joint = TabularJoint::random(3, 5, 0.7, 10).unwrap();
    let plain =
        over(TopKModel::new(with_mask_weight(&joint, 0.2), 3), 1, ExactSequential::default());
    let hot = plain.clone().filter(Temperature::new(2.0).unwrap());
    let whole = plain.clone().filter(Penalty::new([1], 1.0).unwrap());
    let followed = plain.clone().unmasker(strategy::klass(Klass::default()));
    let constrained = plain
        .clone()
        .filter(Constrain::new([(1, [0, 2])]).unwrap())
        .unmasker(Confidence::default());
    let settings = [plain.clone(), hot, whole, followed, constrained];
    let requests = |n: usize| (0..n).map(|i| (blank(&joint), settings[i % 5].clone())).collect();
    let together = plain.clone().batch_size(16).unwrap().run_each(requests(40), &mut ()).unwrap();
    let alone = plain.batch_size(1).unwrap().run_each(requests(40), &mut ()).unwrap();
    assert_eq!(together, alone);
}

/// Answers rows changed by a function.
struct Flawed<F>(TabularDenoiser, F);

impl<F: Fn(&mut TopKArrays) + Send + Sync> Denoiser for Flawed<F> {
    fn vocabulary(&self) -> &Vocabulary {
        self.0.vocabulary()
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let Some(top_k) = request.top_k() else { return self.0.forward(request) };
        let (dense, state) = self.0.denoise(&request.canvases(), request.rows)?;
        let mut arrays = conjoint_testkit::top_k_model::top_k_arrays(&dense, 2, top_k);
        (self.1)(&mut arrays);
        let source = move |rows: &[usize]| {
            let logits: Vec<f32> = rows.iter().flat_map(|&n| dense.logits(n).to_vec()).collect();
            let logits = Array2::from_shape_vec((rows.len(), 6), logits).map_err(Error::model)?;
            Ok(DenseRows::from_logits(logits))
        };
        Ok(Answer::new(TopKRows::new(arrays, top_k, 6, source)?, state))
    }
}

/// A head that computes a wrong mass has another law.
#[test]
fn a_wrong_mass_is_detected() {
    let joint = joint(11);
    let distance = |by: f32| {
        let model = Flawed(oracle(&joint), move |arrays: &mut TopKArrays| arrays.mass *= by);
        joint.total_variation(&law(&over(model, 1, ExactSequential::default()), &joint))
    };
    assert!(distance(1.0) < ZERO);
    assert!(distance(1.2) > 0.01, "{}", distance(1.2));
}

#[test]
fn errors_name_the_row() {
    let joint = joint(12);
    let canvas = blank(&joint);
    let model = |logit: f32| {
        let weight = if logit.is_nan() { 1.0 } else { 0.5 };
        Flawed(with_mask_weight(&joint, weight), move |arrays: &mut TopKArrays| {
            arrays.mass.fill(logit)
        })
    };
    // The full rows are right, so they are used instead.
    let generator = over(model(f32::NAN), 1, ExactSequential::default());
    assert!(joint.total_variation(&law(&generator, &joint)) < ZERO);
    let banned = TopKModel::new(oracle(&joint), 3);
    let generator = over(banned, 1, ExactSequential::default()).ban(0..6);
    let error = generator.run(vec![canvas], &mut ()).unwrap_err();
    assert!(matches!(error, Error::EmptyRow { sequence: 0, position: 0 }), "{error}");
}
