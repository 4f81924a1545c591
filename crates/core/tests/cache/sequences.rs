//! A cache belongs to one sequence: a batch gives the tokens of its sequences alone, and nothing is left of those that ended.

use std::sync::{Arc, Mutex};

use conjoint_core::cache::{CachePolicy, CacheView, Dual, Recompute};
use conjoint_core::denoiser::Changed;
use conjoint_core::schedule::TokensPerStep;
use conjoint_core::unmasker::Marginal;
use conjoint_core::{Canvas, Denoiser, Generator};
use conjoint_testkit::conformance;

use crate::{all, canvases, generators, model, outputs};

/// Sequences of a small batch end and are replaced by others.
#[test]
fn a_batch_is_its_sequences_alone() {
    for (name, policy) in all() {
        for (what, generator) in generators(model(5).with_cache(policy)) {
            for seed in 0..4 {
                let alone = outputs(&generator, seed, 1);
                for batch in [2, 3, 16] {
                    let together = outputs(&generator, seed, batch);
                    assert_eq!(together, alone, "{name}, {what}, seed {seed}, batches of {batch}");
                }
            }
        }
    }
}

#[test]
fn sequences_that_are_added_and_cancelled_leave_the_others_alone() {
    for (name, policy) in all() {
        let generator = Generator::new(model(6).with_cache(policy)).unmasker(Marginal::default());
        let generator = generator.schedule(TokensPerStep::new(1).unwrap()).seed(9);
        let mut expected =
            generator.clone().batch_size(1).unwrap().run(canvases(), &mut ()).unwrap();
        let mut canvases = canvases().into_iter();
        let mut run =
            generator.batch_size(3).unwrap().start(canvases.by_ref().take(2).collect()).unwrap();
        run.step().unwrap();
        run.add(canvases.next().unwrap()).unwrap();
        run.step().unwrap();
        run.cancel(0).unwrap();
        for canvas in canvases {
            run.add(canvas).unwrap();
            run.step().unwrap();
        }
        let outputs = run.finish_or_fail(&mut ()).unwrap();
        assert_ne!(outputs[0], expected[0], "{name}: the first one was cancelled");
        expected[0] = outputs[0].clone();
        assert_eq!(outputs, expected, "{name}");
    }
}

/// A policy that counts its sequences: each sees its first forward as new, with nothing cached.
#[derive(Clone)]
struct Counting {
    inner: Dual,
    has_begun: bool,
    begun: Arc<Mutex<usize>>,
}

impl CachePolicy for Counting {
    fn select(&mut self, sequence: &CacheView<'_>) -> Recompute {
        let is_new = !std::mem::replace(&mut self.has_begun, true);
        assert_eq!(is_new, *sequence.changed == Changed::All);
        assert_eq!(is_new, sequence.ages.iter().all(Option::is_none));
        *self.begun.lock().unwrap() += usize::from(is_new);
        self.inner.select(sequence)
    }
}

#[test]
fn each_sequence_has_its_own_policy_and_begins_without_a_cache() {
    let begun = Arc::default();
    let policy = Counting { inner: Dual::new(), has_begun: false, begun: Arc::clone(&begun) };
    let generator = Generator::new(model(6).with_cache(policy)).batch_size(2).unwrap();
    generator.run([canvases(), canvases()].concat(), &mut ()).unwrap();
    assert_eq!(*begun.lock().unwrap(), 2 * canvases().len());
}

#[test]
fn sessions_pass_the_conformance_suite() {
    for (name, policy) in all() {
        let model = model(7).block_causal(2).unwrap().with_cache(policy);
        let model: Arc<dyn Denoiser> = Arc::new(model);
        let canvases: Vec<Canvas> =
            canvases().into_iter().filter(|canvas| canvas.masked().count() > 2).collect();
        assert_eq!(canvases.len(), 5);
        conformance::session(name, &model, &canvases, 0.0).unwrap();
    }
}
