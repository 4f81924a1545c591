//! A custom model with a cache computes less and generates the same tokens.

use std::sync::Arc;

use conjoint::prelude::*;
use conjoint::strategy::{self, Strategy};
use conjoint_outside::{CachedModel, Counts, KlassRule, NarrowOut, klass, wino};
use conjoint_testkit::conformance;

const SIZE: usize = 12;

fn model() -> CachedModel {
    CachedModel::new(SIZE).unwrap()
}

/// Twenty sequences of several lengths, with prompts and with holes.
fn canvases() -> Vec<Canvas> {
    let mask = SIZE as TokenId - 1;
    let prompted = |n: u32| Canvas::new(&[n % 7, n % 5, 3], 8 + n as usize, mask).unwrap();
    let holes = |n: u32| {
        let tokens = (0..12 + n).map(|i| if i % (3 + n % 2) == 0 { i % 9 } else { mask });
        Canvas::infill(tokens.collect(), mask).unwrap()
    };
    (0..10).flat_map(|n| [prompted(n), holes(n)]).collect()
}

/// The outputs in batches of this size, and the model's counts.
fn run(
    model: CachedModel,
    batch: usize,
    set: impl Fn(Generator) -> Generator,
) -> (Vec<Output>, Counts) {
    let counts = model.counts();
    let generator = set(Generator::new(model).seed(4)).batch_size(batch).unwrap();
    (generator.run(canvases(), &mut ()).unwrap(), counts)
}

/// Runs a strategy with and without sessions and compares the outputs. Returns the share of embeddings that
/// are still computed with sessions.
fn computed_share(name: &str, set: impl Fn(Generator) -> Generator) -> f64 {
    let (expected, all) = run(model().without_sessions(), 16, &set);
    let mut most = 0;
    for batch in [1, 2, 16] {
        let (outputs, counts) = run(model(), batch, &set);
        assert_eq!(outputs, expected, "{name} in batches of {batch}");
        assert_eq!(counts.cached_sequences(), 0, "{name} in batches of {batch}");
        most = most.max(counts.embeddings());
    }
    most as f64 / all.embeddings() as f64
}

/// How many positions are masked again.
fn remasked(set: impl Fn(Generator) -> Generator) -> usize {
    let mut run = set(Generator::new(model()).seed(4)).start(canvases()).unwrap();
    let mut count = 0;
    while !run.is_done() {
        let events = run.step().unwrap().iter();
        count += events.filter(|event| matches!(event, Event::Remask { .. })).count();
    }
    count
}

#[test]
fn sessions_save_work_and_keep_the_tokens() {
    let two = || TokensPerStep::new(2).unwrap();
    assert!(computed_share("one token a step", |g| g) < 0.2);
    assert!(computed_share("two", |g| g.unmasker(Marginal::default()).schedule(two())) < 0.3);
    let settled = || klass(KlassRule::new(0.6, 0.1, 1, TokensPerStep::ONE).unwrap());
    assert!(computed_share("KLASS", |g| g.unmasker(settled())) < 0.3);
}

/// A remasked position counts as changed. The canvases of WINO's queries have no sequence id and leave the
/// cache alone.
#[test]
fn remasking_strategies_keep_the_tokens() {
    let wino = || wino(0.2, 0.6);
    assert!(remasked(|g| g.unmasker(wino())) > 0);
    assert!(computed_share("WINO", |g| g.unmasker(wino())) < 1.0);
    let narrow_out = |g: Generator| {
        let g = g.unmasker(Marginal::default()).reviser(NarrowOut::new(0.6));
        g.schedule(TokensPerStep::new(3).unwrap())
    };
    assert!(remasked(narrow_out) > 0);
    assert!(computed_share("narrow out", narrow_out) < 1.0);
    let rcr = |g: Generator| {
        let rcr: Strategy = strategy::rcr(conjoint::unmasker::Score::Filtered);
        g.unmasker(rcr).schedule(Threshold::new(0.5).unwrap())
    };
    assert!(computed_share("RCR", rcr) < 1.0);
}

#[test]
fn the_model_conforms() {
    conformance::denoiser("with sessions", &model(), &canvases(), 0.0).unwrap();
    conformance::denoiser("without sessions", &model().without_sessions(), &canvases(), 0.0)
        .unwrap();
}

#[test]
fn the_cache_drops_cancelled_sequences() {
    let model = Arc::new(model());
    let mut run = Generator::new(model.clone()).start(canvases()).unwrap();
    run.step().unwrap();
    assert_eq!(model.counts().cached_sequences(), 16);
    run.cancel(0).unwrap();
    run.cancel(1).unwrap();
    assert_eq!(model.counts().cached_sequences(), 14);
    drop(run);
    assert_eq!(model.counts().cached_sequences(), 0);
}
