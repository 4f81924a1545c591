//! A model of one's own with memory: it computes less, and what is generated stays the same.

use std::sync::Arc;

use conjoint::prelude::*;
use conjoint::strategy::{self, Strategy};
use conjoint_outside::{Counts, KlassRule, NarrowOut, Remembering, klass, wino};
use conjoint_testkit::conformance;

const SIZE: usize = 12;

fn model() -> Remembering {
    Remembering::new(SIZE).unwrap()
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

/// The outputs in batches of this size, and what the model has done.
fn run(
    model: Remembering,
    batch: usize,
    set: impl Fn(Generator) -> Generator,
) -> (Vec<Output>, Counts) {
    let counts = model.counts();
    let generator = set(Generator::new(model).seed(4)).batch_size(batch).unwrap();
    (generator.run(canvases(), &mut ()).unwrap(), counts)
}

/// Compares a strategy with and without memory; returns the share of embeddings that memory leaves to be computed.
fn share(name: &str, set: impl Fn(Generator) -> Generator) -> f64 {
    let (expected, all) = run(model().forgetful(), 16, &set);
    let mut most = 0;
    for batch in [1, 2, 16] {
        let (outputs, counts) = run(model(), batch, &set);
        assert_eq!(outputs, expected, "{name} in batches of {batch}");
        assert_eq!(counts.remembered(), 0, "{name} in batches of {batch}");
        most = most.max(counts.computed());
    }
    most as f64 / all.computed() as f64
}

/// How many positions are masked again.
fn masked_again(set: impl Fn(Generator) -> Generator) -> usize {
    let mut run = set(Generator::new(model()).seed(4)).start(canvases()).unwrap();
    let mut count = 0;
    while !run.is_done() {
        let events = run.step().unwrap().iter();
        count += events.filter(|event| matches!(event, Event::Remask { .. })).count();
    }
    count
}

#[test]
fn the_same_tokens_with_less_work() {
    let two = || TokensPerStep::new(2).unwrap();
    assert!(share("one token a step", |g| g) < 0.2);
    assert!(share("two", |g| g.unmasker(Marginal::default()).schedule(two())) < 0.3);
    let settled = || klass(KlassRule::new(0.6, 0.1, 1, TokensPerStep::ONE).unwrap());
    assert!(share("KLASS", |g| g.unmasker(settled())) < 0.3);
}

/// A token that is masked again has changed as much as one that is revealed. What WINO asks with positions hidden is of
/// no sequence, and leaves its memory alone.
#[test]
fn the_same_tokens_where_some_are_taken_back() {
    let wino = || wino(0.2, 0.6);
    assert!(masked_again(|g| g.unmasker(wino())) > 0);
    assert!(share("WINO", |g| g.unmasker(wino())) < 1.0);
    let narrow_out = |g: Generator| {
        let g = g.unmasker(Marginal::default()).reviser(NarrowOut::new(0.6));
        g.schedule(TokensPerStep::new(3).unwrap())
    };
    assert!(masked_again(narrow_out) > 0);
    assert!(share("narrow out", narrow_out) < 1.0);
    let rcr = |g: Generator| {
        let rcr: Strategy = strategy::rcr(conjoint::unmasker::Score::Filtered);
        g.unmasker(rcr).schedule(Threshold::new(0.5).unwrap())
    };
    assert!(share("RCR", rcr) < 1.0);
}

#[test]
fn it_conforms() {
    conformance::denoiser("remembering", &model(), &canvases(), 0.0).unwrap();
    conformance::denoiser("forgetful", &model().forgetful(), &canvases(), 0.0).unwrap();
}

#[test]
fn a_sequence_that_is_cancelled_is_forgotten() {
    let model = Arc::new(model());
    let mut run = Generator::new(model.clone()).start(canvases()).unwrap();
    run.step().unwrap();
    assert_eq!(model.counts().remembered(), 16);
    run.cancel(0).unwrap();
    run.cancel(1).unwrap();
    assert_eq!(model.counts().remembered(), 14);
    drop(run);
    assert_eq!(model.counts().remembered(), 0);
}
