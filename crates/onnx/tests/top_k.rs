//! The top-K head: correct values, the same tokens, and fewer bytes.

mod common;

use std::sync::Arc;

use common::{ENCODERS, OPERATORS, all_rows, fixture, max_difference};
use conjoint_core::denoiser::{Form, Request, SequenceInput};
use conjoint_core::draw::Argmax;
use conjoint_core::filter::{Filter, Temperature, TopK, TopP};
use conjoint_core::schedule::TokensPerStep;
use conjoint_core::strategy::Strategy;
use conjoint_core::top_k_rows::{Rows, TopKArrays, TopKRequest, TopKRows};
use conjoint_core::unmasker::{Confidence, LearnedJoint};
use conjoint_core::{Canvas, Denoiser, DenseRows, Generator, Output, RowId, SamplerLayer, State};
use conjoint_export::{ExportOptions, Manifest, Operators, export};
use conjoint_onnx::{
    Error, ExecutionProvider, HeadChoice, OnnxDenoiser, OnnxOptions, RuntimeStats, runtime,
};
use conjoint_testkit::{conformance, top_k_model::top_k_arrays};
use tempfile::TempDir;

/// Tolerance of sums of exponentials in float32, compared with the definition in float64.
const ROUNDING: f32 = 2e-5;

/// Exports a fixture with a top-K head of K tokens, and opens it with the dense and the top-K head.
fn both(name: &str, k: usize, operators: Operators) -> (TempDir, [Arc<OnnxDenoiser>; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let mut options = ExportOptions::new(fixture(name));
    options.sampler = (name == "dream-tiny").then(|| fixture("adjust-dream-tiny"));
    (options.out, options.head_top) = (Some(folder.path().to_owned()), Some(k));
    options.operators = operators;
    export(&options).unwrap();
    let open = |head| Arc::new(open(&folder, head).unwrap());
    let models = [HeadChoice::Dense, HeadChoice::TopK].map(open);
    (folder, models)
}

fn open(folder: &TempDir, head: HeadChoice) -> Result<OnnxDenoiser, Error> {
    runtime::ensure().unwrap();
    OnnxDenoiser::open(folder.path(), OnnxOptions::new(ExecutionProvider::Cpu).head(head))
}

fn canvases(model: &OnnxDenoiser) -> Vec<Canvas> {
    let mask = model.vocabulary().mask();
    vec![
        Canvas::new(&[5, 17, 80, 3], 5, mask).unwrap(),
        Canvas::new(&[42], 2, mask).unwrap(),
        Canvas::unconditional(6, mask).unwrap(),
    ]
}

/// The request of a generator with a temperature, and two more tokens.
fn top_k_request() -> TopKRequest {
    let mut request = TopKRequest::default();
    assert!(Temperature::new(0.6).unwrap().request_top_k(&mut request));
    [3, 90].into_iter().for_each(|token| request.require_token(token));
    request
}

/// The rows of a forward pass that may return top-K rows, and its state.
fn by_top(model: &OnnxDenoiser, batch: &[&Canvas], rows: &[RowId]) -> (Rows, State) {
    let (inputs, top_k) = (SequenceInput::stateless_batch(batch), top_k_request());
    let request = Request { form: Form::TopK(&top_k), ..Request::new(&inputs, rows) };
    let answer = model.forward(&request).unwrap();
    (answer.rows, answer.state)
}

fn top_k_rows(rows: Rows) -> Box<TopKRows> {
    match rows {
        Rows::TopK(rows) => rows,
        _ => panic!("dense rows"),
    }
}

/// Asserts that top-K rows match `dense`.
fn assert_matches(what: &str, rows: &TopKRows, dense: &DenseRows, k: usize) {
    let request = top_k_request();
    let TopKArrays { top, ids, requested, mass, entropy } = top_k_arrays(dense, k, &request);
    assert_eq!(rows.rows(), dense.rows(), "{what}");
    for row in 0..dense.rows() {
        let (logits, tokens): (Vec<f32>, Vec<u32>) = rows.top(row).unzip();
        assert_eq!(tokens, ids.row(row).to_vec(), "{what}, row {row}");
        assert!(max_difference(&logits, top.row(row)) < ROUNDING, "{what}, row {row}");
        for (column, &token) in request.tokens().iter().enumerate() {
            let got = rows.logit(row, token).unwrap();
            assert!((got - requested[(row, column)]).abs() < ROUNDING, "{what}, row {row}");
        }
        for (at, &temperature) in request.temperatures().iter().enumerate() {
            let (m, h) = rows.measured(row, temperature).unwrap();
            let (mass, entropy) = (f64::from(mass[(at, row)]), f64::from(entropy[(at, row)]));
            assert!((m / mass - 1.0).abs() < ROUNDING.into(), "{what}, row {row}: {m} {mass}");
            assert!((h - entropy).abs() < ROUNDING.into(), "{what}, row {row}: {h} {entropy}");
        }
        let whole = rows.whole(row).unwrap();
        assert!(max_difference(whole, dense.logits(row)) < ROUNDING, "{what}, row {row}");
    }
}

#[test]
fn models() {
    let decoders = ["dream-tiny", "dream-tied-bf16-sharded", "llada-tiny"];
    for name in decoders.into_iter().chain(ENCODERS) {
        for operators in OPERATORS {
            let (_folder, [dense, model]) = both(name, 7, operators);
            let canvases = canvases(&model);
            let batch: Vec<_> = canvases.iter().collect();
            let rows = all_rows(&batch);
            let (expected, _) = dense.denoise(&batch, &rows).unwrap();
            let (answer, _) = by_top(&model, &batch, &rows);
            assert_matches(name, &top_k_rows(answer), &expected, 7);
            let (answer, _) = by_top(&dense, &batch, &rows);
            assert!(matches!(answer, Rows::Dense(_)));
            // Both heads return dense rows to requests for them.
            conformance::denoiser(name, &model, &canvases, ROUNDING).unwrap();
        }
    }
}

/// A pass over a part of the batch does not change rows returned before it.
#[test]
fn the_sampler_layer() {
    let (_folder, [dense, model]) = both("dream-tiny", 7, OPERATORS[0]);
    let layers = [&dense, &model].map(|model| model.sampler_layer().unwrap());
    let mut canvases = canvases(&model);
    let before = canvases.clone();
    let first: Vec<_> = before.iter().collect();
    let rows = all_rows(&first);
    let (expected, mut state) = dense.denoise(&first, &rows).unwrap();
    let (answer, mut top_k_state) = by_top(&model, &first, &rows);
    for canvas in &mut canvases {
        let position = canvas.masked().next().unwrap();
        canvas.reveal(position, 11).unwrap();
    }
    let batch: Vec<_> = canvases.iter().collect();
    let some: Vec<_> = rows.iter().copied().filter(|row| row.sequence != 1).collect();
    let refined = layers[0].refine(&mut state, &batch, &some).unwrap();
    let mut pass = |rows: &[RowId]| {
        let (inputs, top_k) = (SequenceInput::stateless_batch(&batch), top_k_request());
        let request = Request { form: Form::TopK(&top_k), ..Request::new(&inputs, rows) };
        layers[1].pass(&mut top_k_state, &request).unwrap()
    };
    assert_matches("refined", &top_k_rows(pass(&some)), &refined, 7);
    assert_matches("before the pass", &top_k_rows(answer), &expected, 7);
    pass(&[]).expect_shape(0, model.vocabulary().size()).unwrap();
}

fn outputs(generator: &Generator, model: &OnnxDenoiser) -> Vec<Output> {
    generator.run(canvases(model), &mut ()).unwrap()
}

/// If the top holds every token that may be drawn, the tokens for each seed equal those of the dense head.
#[test]
fn tokens_equal_those_of_the_dense_head() {
    let every = usize::MAX; // reduced to the vocabulary's 96
    for k in [7, every] {
        let (_folder, models) = both("dream-tiny", k, OPERATORS[0]);
        let generators = models.each_ref().map(|model| {
            let layer = LearnedJoint::new(model.sampler_layer().unwrap());
            let generator = Generator::new(model.clone()).schedule(TokensPerStep::new(2).unwrap());
            [Strategy::from(layer), Confidence::default().into()]
                .map(|strategy| generator.clone().unmasker(strategy))
        });
        let [dense, top_k] = generators;
        let before = models[1].stats();
        for (dense, top_k) in dense.into_iter().zip(top_k) {
            for seed in 0..4 {
                let [dense, top_k] = [&dense, &top_k].map(|generator| generator.clone().seed(seed));
                let same = |name: &str, change: &dyn Fn(Generator) -> Generator| {
                    let [dense, top_k] = [&dense, &top_k].map(|g| change(g.clone()));
                    let (dense, top_k) = (outputs(&dense, &models[0]), outputs(&top_k, &models[1]));
                    assert_eq!(top_k, dense, "{name}, K {k}, seed {seed}");
                };
                same("argmax", &|g| g.draw(Argmax));
                same("top-k", &|g| g.filter(TopK::new(5).unwrap()));
                if k == every {
                    let hot = Temperature::new(1.5).unwrap().then(TopP::new(0.9).unwrap());
                    same("all", &|g| g);
                    same("nucleus", &|g| g.filter(hot));
                }
            }
        }
        assert_eq!((models[1].stats() - before).fetches.calls, 0, "K {k}");
    }
}

/// Counted are rows of K logits, K ids, mass and entropy, and dense rows where a draw fell outside of the top.
#[test]
fn bytes_are_counted() {
    const K: usize = 7;
    let (_folder, models) = both("dream-tiny", K, OPERATORS[0]);
    let vocabulary = models[0].vocabulary().size();
    let stats = |model: &Arc<OnnxDenoiser>, argmax: bool| -> RuntimeStats {
        let layer = LearnedJoint::new(model.sampler_layer().unwrap());
        let generator = Generator::new(model.clone()).unmasker(layer);
        let generator = generator.schedule(TokensPerStep::new(2).unwrap());
        let generator = if argmax { generator.draw(Argmax) } else { generator };
        let before = model.stats();
        let canvas = Canvas::unconditional(6, model.vocabulary().mask()).unwrap();
        generator.run(vec![canvas], &mut ()).unwrap();
        model.stats() - before
    };
    // Forward passes have 6, 4 and 2 masked positions, sampler passes 5, 3 and 1.
    let (forwards, passes) = (12, 9);
    let dense_row = 4 * vocabulary as u64;
    let dense = stats(&models[0], true);
    assert_eq!(
        (dense.forwards.bytes, dense.passes.bytes),
        (forwards * dense_row, passes * dense_row)
    );
    // The mask's logit, and mass and entropy at temperature 1.
    let row = (4 + 8) * K as u64 + 4 + 2 * 4;
    for argmax in [true, false] {
        let top_k = stats(&models[1], argmax);
        let bytes = (top_k.forwards.bytes, top_k.passes.bytes);
        assert_eq!(bytes, (forwards * row, passes * row));
        let fetches = top_k.fetches;
        assert_eq!(fetches.bytes, fetches.calls * dense_row);
        assert_eq!(fetches.calls == 0, argmax, "{fetches:?}");
    }
    assert_eq!(dense.fetches.calls, 0);
}

#[test]
fn the_options_choose_the_head() {
    let (folder, [_, model]) = both("dream-tiny", 7, OPERATORS[0]);
    let is_top_k = |model: &OnnxDenoiser| {
        let canvases = canvases(model);
        let batch: Vec<_> = canvases.iter().collect();
        let rows = all_rows(&batch);
        let (answer, _) = by_top(model, &batch, &rows);
        answer.top_k().is_some()
    };
    assert!(is_top_k(&model));
    // On a CPU the dense head is the faster one.
    assert!(!is_top_k(&open(&folder, HeadChoice::Auto).unwrap()));
    // An export without a top-K head works, unless the options require the head.
    export(&ExportOptions::new(folder.path())).unwrap();
    assert_eq!(Manifest::read(folder.path()).unwrap().graphs.head_top, None);
    assert!(!folder.path().join("head-top.onnx").exists());
    assert!(!is_top_k(&open(&folder, HeadChoice::Auto).unwrap()));
    let error = open(&folder, HeadChoice::TopK).err().unwrap();
    assert!(matches!(error, Error::NoTopKHead { .. }), "{error}");
    assert!(error.to_string().contains("export --head-top"), "{error}");
}
