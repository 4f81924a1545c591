//! Runs with `VerifiedJoint`: their cost, their events, and the settings it rejects.

use super::{noisy, verified};
use crate::common::{blank, oracle, orders, parity};
use conjoint_core::denoiser::{Answer, Request};
use conjoint_core::order::Random;
use conjoint_core::reviser::{Edit, Wino};
use conjoint_core::schedule::TokensPerStep;
use conjoint_core::top_k_rows::Rows;
use conjoint_core::unmasker::{ExactSequential, VerifiedJoint};
use conjoint_core::{
    Canvas, Denoiser, Error, Event, Generator, Output, SamplerLayer, State, TokenId, Vocabulary,
};
use conjoint_testkit::{ExactRefiner, NoisyRefiner, TabularDenoiser, TabularJoint, TopKModel};

fn outputs(generator: &Generator, canvases: &[Canvas]) -> Vec<Output> {
    generator.run(canvases.to_vec(), &mut ()).unwrap()
}

#[test]
fn one_token_a_round_is_exact_sequential() {
    let joint = TabularJoint::random(5, 4, 0.5, 8).unwrap();
    let canvases = vec![blank(&joint); 50];
    let dense = Generator::new(oracle(&joint));
    let top_k = Generator::new(TopKModel::new(oracle(&joint), 2));
    for settings in [dense, top_k] {
        for (name, order) in orders() {
            let exact = ExactSequential::new(order.clone());
            let expected = outputs(&settings.clone().unmasker(exact), &canvases);
            let one = verified(noisy(), 1).order(order);
            for one in [one.clone(), one.any_order()] {
                let got = outputs(&settings.clone().unmasker(one), &canvases);
                assert_eq!(got, expected, "{name}");
            }
        }
    }
}

/// With an exact layer every draft is kept: K tokens a round after the first, and no draft for the last position.
#[test]
fn an_exact_layer_loses_no_draft() {
    let joint = TabularJoint::random(8, 2, 0.5, 9).unwrap();
    let settings = Generator::new(oracle(&joint));
    for (k, rounds, canvases, drafts) in [(2, 5, 8, 3), (3, 4, 8, 4), (4, 3, 8, 5), (9, 2, 8, 6)] {
        for unmasker in [verified(ExactRefiner, k), verified(ExactRefiner, k).any_order()] {
            let all = outputs(&settings.clone().unmasker(unmasker), &vec![blank(&joint); 50]);
            for output in all {
                let got = (output.steps, output.denoiser_calls, output.sampler_calls);
                assert_eq!(got, (rounds, canvases, drafts), "K = {k}");
                assert_eq!(output.drawn - output.steps, drafts, "K = {k}");
            }
        }
    }
}

/// With any layer, a draft costs a pass and one more canvas, and a kept draft saves a round.
#[test]
fn a_kept_draft_saves_a_round() {
    let joint = TabularJoint::random(8, 2, 1.0, 9).unwrap();
    let settings = Generator::new(oracle(&joint));
    let kept = |unmasker: VerifiedJoint| -> f64 {
        let all = outputs(&settings.clone().unmasker(unmasker), &vec![blank(&joint); 200]);
        let sum = |of: &dyn Fn(&Output) -> usize| all.iter().map(of).sum::<usize>() as f64;
        assert!(all.iter().all(|o| o.drawn == 8));
        assert!(all.iter().all(|o| o.denoiser_calls == o.steps + o.sampler_calls));
        sum(&|o| o.drawn - o.steps) / sum(&|o| o.sampler_calls)
    };
    let mild = NoisyRefiner::new(0.3, 1).unwrap();
    let shares = [verified(mild, 4).any_order(), verified(mild, 4), verified(noisy(), 4)].map(kept);
    assert!(shares.is_sorted_by(|a, b| a > b) && shares[0] > 0.8, "{shares:?}");
}

/// A pass continues from the state of the branch that the round has reached: it sees one more token each time.
#[test]
fn passes_continue_from_the_branch() {
    struct Tracking(TabularDenoiser);
    struct Canvases(Vec<Vec<TokenId>>, State);
    #[derive(Clone)]
    struct Layer;

    impl Denoiser for Tracking {
        fn vocabulary(&self) -> &Vocabulary {
            self.0.vocabulary()
        }

        fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
            let Answer { rows, state, hidden } = self.0.forward(request)?;
            let canvases = request.batch.iter().map(|input| input.canvas.tokens().to_vec());
            let state = State::new(Canvases(canvases.collect(), state));
            Ok(Answer { rows, state, hidden })
        }
    }

    impl SamplerLayer for Layer {
        fn pass(&self, state: &mut State, request: &Request<'_>) -> Result<Rows, Error> {
            let Canvases(before, inner) = state.downcast_mut()?;
            for slot in request.rows.iter().map(|row| row.sequence) {
                let now = request.batch[slot].canvas.tokens();
                let new = before[slot].iter().zip(now).filter(|(old, new)| old != new);
                if new.clone().count() > 1 || new.clone().any(|(&old, _)| old != 2) {
                    return Err(Error::model(format!("{:?} after {:?}", now, before[slot])));
                }
                before[slot] = now.to_vec();
            }
            noisy().pass(inner, request)
        }
    }

    let joint = TabularJoint::random(8, 2, 1.0, 9).unwrap();
    for unmasker in [verified(Layer, 4), verified(Layer, 4).any_order()] {
        let generator = Generator::new(Tracking(oracle(&joint))).unmasker(unmasker);
        assert_eq!(outputs(&generator, &vec![blank(&joint); 100]).len(), 100);
    }
}

/// Rows behind a drafted end are not requested from the layer or on the branches.
#[test]
fn rows_behind_a_drafted_end_are_not_requested() {
    #[derive(Clone)]
    struct RejectsRowsBehindTheEnd<M>(M);

    fn check(request: &Request<'_>) -> Result<(), Error> {
        let behind = |row: &conjoint_core::RowId| {
            request.batch[row.sequence].canvas.tokens()[..row.position].contains(&0)
        };
        match request.rows.iter().any(behind) {
            true => Err(Error::model("a row behind the end")),
            false => Ok(()),
        }
    }

    impl Denoiser for RejectsRowsBehindTheEnd<TabularDenoiser> {
        fn vocabulary(&self) -> &Vocabulary {
            self.0.vocabulary()
        }

        fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
            check(request)?;
            self.0.forward(request)
        }
    }

    impl SamplerLayer for RejectsRowsBehindTheEnd<NoisyRefiner> {
        fn pass(&self, state: &mut State, request: &Request<'_>) -> Result<Rows, Error> {
            check(request)?;
            self.0.pass(state, request)
        }
    }

    let joint = TabularJoint::random(8, 2, 1.0, 9).unwrap();
    let model = RejectsRowsBehindTheEnd(oracle(&joint).with_eos(0).unwrap());
    let exact = verified(RejectsRowsBehindTheEnd(noisy()), 4);
    for unmasker in [exact.clone(), exact.any_order()] {
        let generator = Generator::new(model.clone()).unmasker(unmasker).stop_at_eos(true);
        let stopped = outputs(&generator, &vec![blank(&joint); 100]);
        assert!(stopped.iter().filter(|output| output.drawn < 8).count() > 20);
    }
}

/// Observers see settled tokens only.
#[test]
fn no_draft_is_reported() {
    let joint = TabularJoint::random(8, 2, 1.0, 9).unwrap();
    let generator = Generator::new(oracle(&joint)).unmasker(verified(noisy(), 4));
    let mut run = generator.start(vec![blank(&joint); 50]).unwrap();
    let mut reveals = 0;
    while !run.is_done() {
        for event in run.step().unwrap() {
            assert!(!matches!(event, Event::Remask { .. }), "{event:?}");
            reveals += usize::from(matches!(event, Event::Reveal(_)));
        }
    }
    assert_eq!(reveals, 50 * 8);
}

#[test]
fn settings_that_would_break_its_law_are_rejected() {
    let joint = parity();
    let generator = || Generator::new(oracle(&joint)).unmasker(verified(ExactRefiner, 2));
    assert!(generator().order(Random).check(&[]).is_ok());
    for generator in [
        generator().reviser(Wino::new(0.9).unwrap()),
        generator().reviser(Edit::new(0.5).unwrap()),
        generator().schedule(TokensPerStep::new(2).unwrap()),
        generator().policy(conjoint_core::policy::Dilated::default()),
    ] {
        let error = generator.check(&[]).unwrap_err();
        assert!(matches!(error, Error::Combination { .. }), "{error}");
    }
    let error = VerifiedJoint::new(ExactRefiner, 0).err().unwrap();
    assert!(error.to_string().contains("at least 1"), "{error}");
}
