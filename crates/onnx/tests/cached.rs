//! Runs whose forwards use cached keys and values.

mod common;

use std::num::NonZeroU32;
use std::sync::Arc;

use common::{OPERATORS, exported_as, max_difference, open, uneven};
use conjoint_core::cache::{Delayed, Dual, DynCachePolicy, Prefix, Vicinity};
use conjoint_core::denoiser::{Changed, Request, SequenceId, SequenceInput, Session};
use conjoint_core::order::Entropy;
use conjoint_core::schedule::TokensPerStep;
use conjoint_core::strategy::Strategy;
use conjoint_core::unmasker::{ExactSequential, LearnedJoint, Marginal, VerifiedJoint};
use conjoint_core::{Canvas, Denoiser, DenseRows, Generator, RowId, SamplerLayer};
use conjoint_export::{Operators, SamplerForm};
use conjoint_onnx::{OnnxDenoiser, OnnxSamplerLayer};
use conjoint_testkit::conformance;
use tempfile::TempDir;

/// The kernels for different batch sizes round differently.
const ROUNDING: f32 = 2e-5;
const FORMS: [SamplerForm; 2] = [SamplerForm::Sequence, SamplerForm::Rows];

/// `dream-tiny` has a shift and a sampler layer, the others have neither.
fn opened(name: &str, operators: Operators, passes: SamplerForm) -> (TempDir, OnnxDenoiser) {
    let sampler = (name == "dream-tiny").then_some("adjust-dream-tiny");
    let folder = exported_as(name, sampler, operators, sampler.map(|_| passes));
    let model = open(folder.path()).unwrap();
    (folder, model)
}

fn canvases(mask: u32) -> Vec<Canvas> {
    vec![
        Canvas::new(&[5, 17, 80, 3], 7, mask).unwrap().in_block(4..8).unwrap(),
        Canvas::new(&[42], 6, mask).unwrap().in_block(1..5).unwrap(),
        Canvas::infill(vec![mask, 7, mask, mask, 9, 9, 9, 9, 9, 9, mask, 1, 2], mask).unwrap(),
        Canvas::unconditional(6, mask).unwrap().in_block(3..6).unwrap(),
    ]
}

fn policies() -> Vec<(&'static str, Box<dyn DynCachePolicy>)> {
    let twice = NonZeroU32::new(2).unwrap();
    vec![
        ("prefix", Prefix::new().boxed()),
        ("dual", Dual::new().boxed()),
        ("dual:2", Dual::new().refresh_every(twice).boxed()),
        ("vicinity", Vicinity::new(1).boxed()),
        ("delayed", Delayed::new(1).unwrap().boxed()),
        ("every", every_step().boxed()),
    ]
}

/// Computes all positions in each forward, through the pool.
fn every_step() -> Dual {
    Dual::new().refresh_every(NonZeroU32::MIN)
}

#[test]
fn sessions_conform() {
    for name in ["dream-tiny", "llada-tiny", "modernbert-tiny"] {
        for operators in OPERATORS {
            for (policy, cache) in policies() {
                let (_folder, model) = opened(name, operators, SamplerForm::Rows);
                let canvases = canvases(model.vocabulary().mask());
                let model: Arc<dyn Denoiser> = Arc::new(model.with_cache(cache));
                let label = format!("{name} {operators:?} {policy}");
                conformance::session(&label, &model, &canvases, ROUNDING).unwrap();
            }
        }
    }
}

/// Sequences whose lengths differ so much that a forward has several calls.
#[test]
fn sessions_of_sequences_of_very_different_lengths_conform() {
    for operators in OPERATORS {
        for (policy, cache) in policies() {
            let (_folder, model) = opened("dream-tiny", operators, SamplerForm::Rows);
            let canvases = uneven(model.vocabulary().mask());
            let model: Arc<dyn Denoiser> = Arc::new(model.with_cache(cache));
            conformance::session(policy, &model, &canvases, ROUNDING).unwrap();
        }
    }
}

/// All keys are cached, and no row is requested.
#[test]
fn a_forward_with_nothing_to_compute_returns_no_rows() {
    let (_folder, model) = opened("dream-tiny", OPERATORS[0], SamplerForm::Rows);
    let mask = model.vocabulary().mask();
    let model: Arc<dyn Denoiser> = Arc::new(model.with_cache(Prefix::new()));
    let mut session = Arc::clone(&model).open_session().unwrap().unwrap();
    let canvas = Canvas::infill(vec![5, mask, 7, 9], mask).unwrap().in_block(0..2).unwrap();
    for changed in [Changed::All, Changed::Positions(vec![])] {
        let input = SequenceInput { id: Some(SequenceId(0)), canvas: &canvas, changed: &changed };
        let answer = session.forward(&Request::new(&[input], &[])).unwrap();
        answer.rows.expect_shape(0, model.vocabulary().size()).unwrap();
    }
    assert!(session.forward(&Request::new(&[], &[])).is_err());
}

/// Makes a strategy for a model.
type Make<'a> = &'a dyn Fn(&OnnxDenoiser) -> Strategy;

/// Tokens of runs with a strategy, in blocks of 3.
fn tokens(
    model: &Arc<OnnxDenoiser>,
    strategy: &dyn Fn(&OnnxDenoiser) -> Strategy,
    k: usize,
) -> Vec<Vec<u32>> {
    let mask = model.vocabulary().mask();
    let canvases = vec![
        Canvas::new(&[5, 17, 80, 3], 12, mask).unwrap(),
        Canvas::new(&[42], 6, mask).unwrap(),
        Canvas::unconditional(9, mask).unwrap(),
        Canvas::new(&[7, 7], 3, mask).unwrap(),
    ];
    let mut all = Vec::new();
    for seed in 0..5 {
        let generator = Generator::new(Arc::clone(model)).unmasker(strategy(model)).seed(seed);
        let generator = generator.batch_size(3).unwrap().block_length(3).unwrap();
        let generator = match k {
            1 => generator,
            _ => generator.schedule(TokensPerStep::new(k).unwrap()),
        };
        let outputs = generator.run(canvases.clone(), &mut ()).unwrap();
        all.extend(outputs.into_iter().map(|output| output.tokens.to_vec()));
    }
    all
}

fn joint(model: &OnnxDenoiser) -> Strategy {
    LearnedJoint::new(model.sampler_layer().unwrap()).into()
}

/// A cache that is refreshed in every forward changes no token, with any strategy and either form of passes.
#[test]
fn refreshing_in_every_forward_equals_no_cache() {
    for form in FORMS {
        let (_folder, plain) = opened("dream-tiny", Operators::Fused, form);
        let (_other, cached) = opened("dream-tiny", Operators::Fused, form);
        let (plain, cached) = (Arc::new(plain), Arc::new(cached.with_cache(every_step())));
        let verified = |model: &OnnxDenoiser| {
            VerifiedJoint::new(model.sampler_layer().unwrap(), 3).unwrap().into()
        };
        let exact = |_: &OnnxDenoiser| ExactSequential::new(Entropy).into();
        let marginal = |_: &OnnxDenoiser| Marginal::new(Entropy).into();
        let strategies: [(Make<'_>, usize); 5] =
            [(&exact, 1), (&marginal, 2), (&joint, 2), (&joint, 3), (&verified, 1)];
        for (number, (strategy, k)) in strategies.into_iter().enumerate() {
            let (expected, got) = (tokens(&plain, strategy, k), tokens(&cached, strategy, k));
            assert_eq!(got, expected, "{form:?}, strategy {number}");
        }
    }
}

/// A dual cache changes tokens: otherwise the test above would show nothing.
#[test]
fn a_dual_cache_is_an_approximation() {
    let (_folder, plain) = opened("dream-tiny", Operators::Fused, SamplerForm::Rows);
    let (_other, cached) = opened("dream-tiny", Operators::Fused, SamplerForm::Rows);
    let (plain, cached) = (Arc::new(plain), Arc::new(cached.with_cache(Dual::new())));
    let exact = |_: &OnnxDenoiser| ExactSequential::new(Entropy).into();
    assert_ne!(tokens(&plain, &exact, 1), tokens(&cached, &exact, 1));
    let generator = Generator::new(Arc::clone(&cached));
    let run = generator.start(vec![Canvas::unconditional(4, plain.vocabulary().mask()).unwrap()]);
    assert!(!run.unwrap().is_exact());
}

fn all_logits(rows: &DenseRows, count: usize) -> Vec<f32> {
    (0..count).flat_map(|row| rows.logits(row).to_vec()).collect()
}

/// A session and its canvases, which are changed step by step.
struct Driven {
    session: Box<dyn Session>,
    layer: OnnxSamplerLayer,
    canvases: Vec<Canvas>,
    changed: Vec<Changed>,
    _folder: TempDir,
}

impl Driven {
    fn open(form: SamplerForm, cache: impl DynCachePolicy) -> Self {
        let (_folder, model) = opened("dream-tiny", Operators::Fused, form);
        let model = model.with_cache(cache);
        let canvases = canvases(model.vocabulary().mask());
        let layer = model.sampler_layer().unwrap();
        let session = Arc::new(model).open_session().unwrap().unwrap();
        let changed = vec![Changed::All; canvases.len()];
        Self { session, layer, canvases, changed, _folder }
    }

    /// The open masked rows of the sequences that still have one.
    fn rows(&self) -> Vec<RowId> {
        let of = |(sequence, canvas): (usize, &Canvas)| {
            canvas.masked().map(move |position| RowId { sequence, position }).collect::<Vec<_>>()
        };
        self.canvases.iter().enumerate().flat_map(of).collect()
    }

    /// One forward, and the rows of the first sampler pass after a token was revealed in each sequence.
    fn step(&mut self, step: u32) -> [Vec<f32>; 2] {
        let rows = self.rows();
        let input = |(number, (canvas, changed))| SequenceInput {
            id: Some(SequenceId(number)),
            canvas,
            changed,
        };
        let inputs = (0..).zip(self.canvases.iter().zip(&self.changed)).map(input);
        let inputs: Vec<_> = inputs.collect();
        let answer = self.session.forward(&Request::new(&inputs, &rows)).unwrap();
        let forward = all_logits(&answer.rows.into_dense().unwrap(), rows.len());
        let mut state = answer.state;
        for (canvas, changed) in self.canvases.iter_mut().zip(&mut self.changed) {
            let position = canvas.masked().nth(usize::from(canvas.masked().count() > 1));
            position.iter().for_each(|&position| canvas.reveal(position, 11 + step).unwrap());
            *changed = Changed::Positions(position.into_iter().collect());
        }
        let rows = self.rows();
        let batch: Vec<&Canvas> = self.canvases.iter().collect();
        let pass = self.layer.refine(&mut state, &batch, &rows).unwrap();
        [forward, all_logits(&pass, rows.len())]
    }
}

/// Passes over rows keep keys and values from step to step. Passes over sequences compute them anew from all hidden
/// states, which are those of the last forward that computed each.
#[test]
fn kept_contexts_equal_new_ones() {
    for (name, cache) in policies() {
        let mut rows = Driven::open(SamplerForm::Rows, cache.clone());
        let mut sequences = Driven::open(SamplerForm::Sequence, cache);
        for step in 0..3 {
            let ([forward, pass], [same, expected]) = (rows.step(step), sequences.step(step));
            assert!(max_difference(&forward, &same) <= ROUNDING, "{name}");
            let difference = max_difference(&pass, &expected);
            assert!(difference <= ROUNDING, "{name}, step {step}: {difference}");
        }
    }
}

/// Without a change, cached keys and values are those of a full forward.
#[test]
fn an_unchanged_sequence_has_the_rows_of_a_full_forward() {
    for name in ["dream-tiny", "llada-tiny", "bert-tiny", "albert-tiny", "modernbert-biased"] {
        for operators in OPERATORS {
            let (_folder, model) = opened(name, operators, SamplerForm::Rows);
            let model = Arc::new(model.with_cache(Dual::new()));
            let canvases = canvases(model.vocabulary().mask());
            let mut session = Arc::clone(&model).open_session().unwrap().unwrap();
            let rows: Vec<RowId> = canvases
                .iter()
                .enumerate()
                .flat_map(|(sequence, canvas)| {
                    canvas.masked().map(move |position| RowId { sequence, position })
                })
                .collect();
            let batch: Vec<&Canvas> = canvases.iter().collect();
            let (expected, _) = model.denoise(&batch, &rows).unwrap();
            for changed in [Changed::All, Changed::Positions(Vec::new())] {
                let input = |(number, canvas)| SequenceInput {
                    id: Some(SequenceId(number)),
                    canvas,
                    changed: &changed,
                };
                let inputs: Vec<_> = (0..).zip(&canvases).map(input).collect();
                let before = model.stats().forwards.rows;
                let answer = session.forward(&Request::new(&inputs, &rows)).unwrap();
                let computed = model.stats().forwards.rows - before;
                let got = answer.rows.into_dense().unwrap();
                let [got, expected] = [&got, &expected].map(|rows_| all_logits(rows_, rows.len()));
                let difference = max_difference(&got, &expected);
                assert!(difference <= ROUNDING, "{name} {operators:?}: {difference}");
                // The second forward computes blocks of 4, 4, 11 and 3 positions; with a shift, those before them too.
                let all = canvases.iter().map(Canvas::len).sum::<usize>();
                let shift = if model.manifest().shift { 3 } else { 0 };
                let positions = if changed == Changed::All { all } else { 22 + shift };
                assert_eq!(computed, positions as u64, "{name}");
            }
        }
    }
}
