//! Steps that reveal nothing: they cost no forward and no question to the strategy, and change no law.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{ZERO, blank, cases, oracle};
use conjoint_core::observer::{History, Reveal};
use conjoint_core::order::Entropy;
use conjoint_core::policy::{DynPolicy, Origin, Ranked, Selection};
use conjoint_core::schedule::{Cosine, DreamLinear, Linear, LladaEven, Progress};
use conjoint_core::strategy::Strategy as Unmasking;
use conjoint_core::unmasker::Control;
use conjoint_core::{
    Canvas, Error, Generator, Next, Observation, Observer, Policy, Schedule, StepRequest, TokenId,
    Unmasker, View,
};
use conjoint_testkit::{Enumerator, Law, TabularJoint};
use proptest::prelude::*;

/// Dream's `origin` as its loop has it: a coin for each masked position in every step.
#[derive(Clone, Default)]
struct Coins(Vec<usize>);

impl Unmasker for Coins {
    fn control(&self) -> Control {
        Control::Steps
    }

    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        let Progress { step, steps, .. } = *request.progress();
        let t = |step: usize| 1.0 - (1.0 - 1e-3) * step as f64 / steps as f64;
        let p = if step + 1 == steps { 1.0 } else { 1.0 - t(step + 1) / t(step) };
        let canvas = request.canvas();
        self.0 = canvas.masked().filter(|_| request.stream().chance(p)).collect();
        request.skip_forward(usize::from(self.0.is_empty()));
        Ok(())
    }

    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        common::reveal(view, &self.0)
    }
}

/// In which step each position was revealed.
struct Times(Vec<TokenId>);

impl Observer for Times {
    fn on_reveal(&mut self, reveal: &Reveal) {
        self.0[reveal.position] = reveal.step as TokenId;
    }
}

/// The law of the steps in which positions are revealed and of what is revealed, together.
fn timed_law(generator: &Generator, joint: &TabularJoint) -> Law {
    let law = Enumerator::default().law_of(|stream| {
        let replaying = generator.clone().streams(move |_| Box::new(stream.clone()));
        let mut times = Times(vec![0; joint.length()]);
        let outputs = replaying.run(vec![blank(joint)], &mut times)?;
        Ok([times.0, outputs[0].tokens.clone()].concat())
    });
    law.unwrap()
}

/// By lot or by coins, in one block or in several: when, what, and both together.
#[test]
fn lots_are_coins() {
    let joint = TabularJoint::random(3, 2, 0.5, 2).unwrap();
    for (steps, block) in [(1, 3), (2, 3), (4, 3), (6, 1)] {
        let generator = |strategy: Unmasking| {
            let generator = Generator::new(oracle(&joint)).unmasker(strategy);
            let linear = Linear::new(steps).unwrap();
            common::scheduled(&generator, linear).block_length(block).unwrap()
        };
        let origin = common::together(Origin::new(steps).unwrap());
        let lots = timed_law(&generator(origin), &joint);
        let coins = timed_law(&generator(Coins::default().into()), &joint);
        assert!((lots.total() - 1.0).abs() < 1e-9);
        assert!(lots.total_variation(&coins) < ZERO, "{steps} steps in blocks of {block}");
        if (steps, block) == (4, 3) {
            let even = timed_law(&generator(common::EvenChance::default().into()), &joint);
            assert!(even.total_variation(&lots) > 0.05, "{}", even.total_variation(&lots));
        }
    }
}

/// A policy that takes idle steps one at a time, as the generator once did, and counts how often it is asked.
#[derive(Clone)]
struct Walking(Box<dyn DynPolicy>, Arc<AtomicUsize>, bool);

impl Policy for Walking {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.plan(request)?;
        if self.2 && request.skipped() > 1 {
            request.skip_forward(1);
        }
        Ok(())
    }

    fn select(
        &mut self,
        rows: &mut Observation<'_>,
        selection: &mut Selection,
    ) -> Result<(), Error> {
        self.0.select(rows, selection)
    }

    fn steps(&self) -> Option<usize> {
        self.0.steps()
    }
}

proptest! {
    #![proptest_config(cases(32))]

    /// Every canvas, every count and every token is the same, and told, whether idle steps are walked or not.
    #[test]
    fn idle_steps_are_told_one_by_one(
        steps in 1usize..40, length in 1usize..6, kind in 0usize..5, origin: bool, seed: u64,
    ) {
        let joint = TabularJoint::random(length, 2, 1.0, seed).unwrap();
        let schedule: Arc<dyn Schedule> = match kind {
            0 => Arc::new(DreamLinear::new(steps).unwrap()),
            1 => Arc::new(LladaEven::new(steps).unwrap()),
            2 => Arc::new(Linear::new(steps).unwrap()),
            3 => Arc::new(Cosine::new(steps).unwrap()),
            _ => Arc::new(Cosine::floor(steps).unwrap()),
        };
        let run = |walks: bool| {
            let asked = Arc::new(AtomicUsize::new(0));
            let inner = match origin {
                true => Origin::new(steps).unwrap().boxed(),
                false => Ranked::new(Entropy, schedule.clone()).boxed(),
            };
            let policy = Walking(inner, asked.clone(), walks);
            let generator = Generator::new(oracle(&joint)).unmasker(common::together(policy));
            let generator = generator.seed(seed);
            let mut history = History::default();
            let output = generator.run(vec![blank(&joint)], &mut history).unwrap().remove(0);
            (output, history, asked.load(Ordering::Relaxed))
        };
        let ((walked, told, asked), (output, history, less)) = (run(true), run(false));
        prop_assert_eq!(&walked, &output);
        prop_assert_eq!(&told, &history);
        prop_assert_eq!(history.of(0).len(), output.steps);
        prop_assert_eq!(asked, output.steps);
        // Once for every forward, and at most once for the idle steps before each.
        prop_assert!(less <= 2 * output.denoiser_calls, "{} for {}", less, output.denoiser_calls);
    }
}

/// A million steps for eight positions: as many forwards as there are steps into which a position falls,
/// and the strategy is asked but twice for each.
#[test]
fn a_million_steps_cost_a_forward_a_reveal() {
    let joint = TabularJoint::random(8, 2, 1.0, 1).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let generator = Generator::new(oracle(&joint));
    let policy = Walking(Origin::new(1_000_000).unwrap().boxed(), asked.clone(), false);
    let strategy = common::together(policy);
    let output = generator.unmasker(strategy).run(vec![blank(&joint)], &mut ()).unwrap().remove(0);
    assert!(output.denoiser_calls <= 8 && output.steps <= 1_000_000, "{output:?}");
    assert!(asked.load(Ordering::Relaxed) <= 2 * output.denoiser_calls);
}

/// A strategy that claims more idle steps than there are is held to the last step, which must reveal.
#[test]
fn the_last_step_is_never_idle() {
    #[derive(Clone)]
    struct Lazy(usize);
    impl Unmasker for Lazy {
        fn control(&self) -> Control {
            Control::Steps
        }
        fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
            request.skip_forward(self.0);
            Ok(())
        }
        fn decide(&mut self, _: &mut View<'_>) -> Result<Next, Error> {
            Ok(Next::EndStep)
        }
    }
    let joint = TabularJoint::random(2, 2, 1.0, 1).unwrap();
    for idle in [0, 1, 3, usize::MAX] {
        let generator = Generator::new(oracle(&joint)).schedule(Linear::new(5).unwrap());
        let mut history = History::default();
        let canvas = Canvas::unconditional(2, joint.mask()).unwrap();
        let outcome = generator.unmasker(Lazy(idle)).run(vec![canvas], &mut history);
        assert!(matches!(outcome, Err(Error::NoProgress { step: 4, .. })), "{outcome:?}");
        assert_eq!(history.of(0).len(), 4);
    }
}
