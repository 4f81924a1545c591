//! Steps that reveal nothing. They cost no forward and no plan of the strategy, and leave the law unchanged.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{blank, cases, oracle, together};
use crate::flat::Flat;
use crate::model::MASK;
use conjoint_core::Policy;
use conjoint_core::observer::History;
use conjoint_core::order::Entropy;
use conjoint_core::policy::{DynPolicy, Origin, Ranked, Selection};
use conjoint_core::schedule::{Cosine, DreamLinear, Linear, LladaEven};
use conjoint_core::unmasker::{Control, Marginal};
use conjoint_core::{
    Canvas, Error, Generator, Next, Observation, Schedule, StepRequest, Unmasker, View,
};
use conjoint_testkit::TabularJoint;
use proptest::prelude::*;

/// Counts the plans of a policy. If the flag is set, it skips one step at a time.
#[derive(Clone)]
struct CountingPlans(Box<dyn DynPolicy>, Arc<AtomicUsize>, bool);

impl Policy for CountingPlans {
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

    /// Steps skipped at once give the same canvases, counts and tokens, and the same events, as steps skipped one by one.
    #[test]
    fn skipped_steps_are_reported_one_by_one(
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
        let run = |one_by_one: bool| {
            let plans = Arc::new(AtomicUsize::new(0));
            let inner = match origin {
                true => Origin::new(steps).unwrap().boxed(),
                false => Ranked::new(Entropy, schedule.clone()).boxed(),
            };
            let policy = CountingPlans(inner, plans.clone(), one_by_one);
            let generator = Generator::new(oracle(&joint)).unmasker(together(policy));
            let generator = generator.seed(seed);
            let mut history = History::default();
            let output = generator.run(vec![blank(&joint)], &mut history).unwrap().remove(0);
            (output, history, plans.load(Ordering::Relaxed))
        };
        let ((slow, slow_history, slow_plans), (output, history, plans)) = (run(true), run(false));
        prop_assert_eq!(&slow, &output);
        prop_assert_eq!(&slow_history, &history);
        prop_assert_eq!(history.of(0).len(), output.steps);
        prop_assert_eq!(slow_plans, output.steps);
        // One plan for every forward, and at most one for the skipped steps before it.
        prop_assert!(plans <= 2 * output.denoiser_calls, "{} for {}", plans, output.denoiser_calls);
    }
}

/// A million steps for eight positions: a forward for each step that reveals, and at most two plans for each forward.
#[test]
fn a_million_steps_cost_one_forward_a_reveal() {
    let joint = TabularJoint::random(8, 2, 1.0, 1).unwrap();
    let plans = Arc::new(AtomicUsize::new(0));
    let generator = Generator::new(oracle(&joint));
    let policy = CountingPlans(Origin::new(1_000_000).unwrap().boxed(), plans.clone(), false);
    let strategy = together(policy);
    let output = generator.unmasker(strategy).run(vec![blank(&joint)], &mut ()).unwrap().remove(0);
    assert!(output.denoiser_calls <= 8 && output.steps <= 1_000_000, "{output:?}");
    assert!(plans.load(Ordering::Relaxed) <= 2 * output.denoiser_calls);
}

/// A strategy may skip all steps but the last, which must reveal.
#[test]
fn the_last_step_is_not_skipped() {
    #[derive(Clone)]
    struct SkipsAll(usize);
    impl Unmasker for SkipsAll {
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
    for steps in [0, 1, 3, usize::MAX] {
        let generator = Generator::new(oracle(&joint)).schedule(Linear::new(5).unwrap());
        let mut history = History::default();
        let canvas = Canvas::unconditional(2, joint.mask()).unwrap();
        let outcome = generator.unmasker(SkipsAll(steps)).run(vec![canvas], &mut history);
        assert!(matches!(outcome, Err(Error::NoProgress { step: 4, .. })), "{outcome:?}");
        assert_eq!(history.of(0).len(), 4);
    }
}

#[test]
fn skipped_steps_are_in_the_history() {
    let generator = Generator::new(Flat::new())
        .unmasker(Marginal::default())
        .schedule(DreamLinear::new(8).unwrap());
    let mut history = History::default();
    let outputs =
        generator.run(vec![Canvas::unconditional(8, MASK).unwrap()], &mut history).unwrap();
    assert_eq!((outputs[0].steps, outputs[0].denoiser_calls), (8, 7));
    assert_eq!(history.of(0).len(), 8);
    assert_eq!(history.of(0)[0], [MASK; 8]);
    assert_eq!(history.of(0)[7], outputs[0].tokens);
}
