//! A run taken step by step: its events, and sequences that join it, leave it and fail in it.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::model::{MASK, Model, canvas, events, generator};
use conjoint_core::denoiser::{Answer, Request};
use conjoint_core::schedule::TokensPerStep;
use conjoint_core::unmasker::Marginal;
use conjoint_core::{
    CancelToken, Canvas, Denoiser, Error, Event, FinishReason, Generator, Vocabulary,
};

#[test]
fn steps_give_the_outputs_of_a_run() {
    let generator = generator().seed(5).batch_size(2).unwrap();
    let canvases = || (0..5).map(|n| canvas(1, 3 + n)).collect::<Vec<_>>();
    let expected = generator.run(canvases(), &mut ()).unwrap();
    let mut run = generator.start(canvases()).unwrap();
    let events = events(&mut run);
    assert_eq!(events[0][..2], [Event::Begin { sequence: 0 }, Event::Begin { sequence: 1 }]);
    // The events give the tokens.
    let mut tokens: Vec<Vec<u32>> = canvases().iter().map(|c| c.tokens().to_vec()).collect();
    let mut finished = Vec::new();
    for event in events.into_iter().flatten() {
        match event {
            Event::Reveal(reveal) => tokens[reveal.sequence][reveal.position] = reveal.token,
            Event::Finish { sequence } => finished.push(sequence),
            _ => {}
        }
    }
    assert_eq!(finished.len(), 5);
    for (sequence, expected) in expected.iter().enumerate() {
        assert_eq!(tokens[sequence], expected.tokens);
        assert_eq!(&run.take(sequence).unwrap().unwrap(), expected);
        assert_eq!(expected.finish, FinishReason::Length);
        assert!(run.take(sequence).is_none());
    }
    assert!(run.step().unwrap().is_empty());
}

#[test]
fn a_sequence_that_joins_a_run_does_not_depend_on_the_others() {
    let generator = generator().seed(2).batch_size(2).unwrap();
    let all = generator.run(vec![canvas(1, 4), canvas(2, 6), canvas(0, 5)], &mut ()).unwrap();
    let mut run = generator.start(vec![canvas(1, 4)]).unwrap();
    run.step().unwrap();
    assert_eq!(run.add(canvas(2, 6)).unwrap(), 1);
    run.step().unwrap();
    assert_eq!(run.add(canvas(0, 5)).unwrap(), 2);
    assert!(run.canvas(2).is_some() && run.canvas(3).is_none());
    events(&mut run);
    for (sequence, expected) in all.iter().enumerate() {
        assert_eq!(&run.take(sequence).unwrap().unwrap(), expected);
    }
    // A sequence with its own settings, and settings that do not fit the run.
    let pairs = generator.clone().unmasker(Marginal::default());
    let pairs = pairs.schedule(TokensPerStep::new(2).unwrap());
    assert_eq!(run.add_with(canvas(1, 4), &pairs).unwrap(), 3);
    assert!(matches!(
        run.add(Canvas::unconditional(2, 1).unwrap()),
        Err(Error::MaskMismatch { .. })
    ));
    let other_model = Generator::new(Model::default());
    assert!(matches!(
        run.add_with(canvas(1, 4), &other_model),
        Err(Error::ModelMismatch { sequence: 4 })
    ));
    assert_eq!(events(&mut run).len(), 2);
    assert_eq!(run.take(3).unwrap().unwrap().denoiser_calls, 2);
}

#[test]
fn a_cancelled_sequence_returns_its_tokens_so_far() {
    let mut run = generator().batch_size(2).unwrap().start(vec![canvas(1, 4); 3]).unwrap();
    run.step().unwrap();
    run.cancel(0).unwrap();
    run.cancel(2).unwrap();
    assert!(matches!(run.cancel(0), Err(Error::NoSuchSequence { sequence: 0 })));
    // The next step reports both.
    let reported = [Event::Finish { sequence: 0 }, Event::Finish { sequence: 2 }];
    assert_eq!(run.step().unwrap()[..2], reported);
    for (sequence, masked) in [(0, 3), (2, 4)] {
        let output = run.take(sequence).unwrap().unwrap();
        assert!(output.finish == FinishReason::Cancelled && output.finish.is_early());
        assert_eq!(output.tokens.iter().filter(|&&token| token == MASK).count(), masked);
    }
    events(&mut run);
    assert_eq!(run.take(1).unwrap().unwrap().finish, FinishReason::Length);
}

#[test]
fn a_cancelled_sequence_is_reported_even_if_it_was_taken() {
    let mut run = generator().start(vec![canvas(1, 4); 2]).unwrap();
    run.step().unwrap();
    run.cancel(1).unwrap();
    assert_eq!(run.take(1).unwrap().unwrap().drawn, 1);
    assert_eq!(run.step().unwrap()[0], Event::Finish { sequence: 1 });
}

#[test]
fn a_token_cancelled_on_another_thread_ends_the_run_within_a_step() {
    let token = CancelToken::new();
    let mut run = generator().start(vec![canvas(1, 30); 2]).unwrap().cancelled_by(token.clone());
    run.step().unwrap();
    std::thread::spawn(move || token.cancel()).join().unwrap();
    let events = run.step().unwrap();
    assert_eq!(events, [Event::Finish { sequence: 0 }, Event::Finish { sequence: 1 }]);
    assert!(run.is_done());
    let output = run.take(0).unwrap().unwrap();
    assert_eq!((output.finish, output.steps, output.drawn), (FinishReason::Cancelled, 1, 1));
}

#[test]
fn a_deadline_ends_the_run_within_a_step() {
    let past = Instant::now();
    let mut run = generator().start(vec![canvas(1, 30)]).unwrap().deadline(past);
    run.step().unwrap();
    assert_eq!(run.take(0).unwrap().unwrap().finish, FinishReason::Deadline);
    let far = Instant::now() + Duration::from_secs(3600);
    let mut run = generator().start(vec![canvas(1, 3)]).unwrap().deadline(far);
    events(&mut run);
    assert_eq!(run.take(0).unwrap().unwrap().finish, FinishReason::Length);
}

#[test]
fn a_sequence_that_fails_does_not_change_the_others() {
    let canvases = || vec![canvas(1, 4), canvas(3, 4), canvas(2, 4)];
    let generator = generator().seed(9);
    let expected = generator.run(vec![canvas(1, 4), canvas(1, 4), canvas(2, 4)], &mut ()).unwrap();
    let outcomes = generator.run_all(canvases(), &mut ()).unwrap();
    assert_eq!(outcomes[0].as_ref().unwrap(), &expected[0]);
    assert_eq!(outcomes[2].as_ref().unwrap(), &expected[2]);
    let error = outcomes[1].as_ref().unwrap_err();
    assert!(matches!(error, Error::NonFinite { sequence: 1, .. }), "{error}");
    // `run` returns the first failure.
    assert!(matches!(
        generator.run(canvases(), &mut ()),
        Err(Error::NonFinite { sequence: 1, .. })
    ));
    // A stepped run reports the failure in its step.
    let mut run = generator.start(canvases()).unwrap();
    let steps = events(&mut run);
    assert!(steps[1].contains(&Event::Fail { sequence: 1 }));
    assert!(run.take(1).unwrap().is_err());
    // All may fail.
    let outcomes = generator.run_all(vec![canvas(3, 4); 2], &mut ()).unwrap();
    assert!(outcomes.iter().all(Result::is_err));
}

/// Fails in every call after the second.
struct FailsAfterTwoCalls(Model);

impl Denoiser for FailsAfterTwoCalls {
    fn vocabulary(&self) -> &Vocabulary {
        self.0.vocabulary()
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let answer = self.0.forward(request)?;
        match self.0.calls.load(Ordering::Relaxed) {
            0..=2 => Ok(answer),
            _ => Err(Error::model("out of memory")),
        }
    }
}

#[test]
fn finished_outputs_remain_when_the_model_fails() {
    let model = FailsAfterTwoCalls(Model::default());
    let mut run = Generator::new(model).start(vec![canvas(1, 2), canvas(1, 4)]).unwrap();
    assert!(matches!(run.finish_all(&mut ()), Err(Error::Model(_))));
    assert_eq!(run.take(0).unwrap().unwrap().finish, FinishReason::Length);
    run.cancel(1).unwrap();
    assert_eq!(run.take(1).unwrap().unwrap().drawn, 2);
}

#[test]
fn a_run_can_be_moved_to_another_thread() {
    let mut run = generator().start(vec![canvas(1, 6)]).unwrap();
    run.step().unwrap();
    let mut run = std::thread::spawn(move || {
        events(&mut run);
        run
    })
    .join()
    .unwrap();
    assert!(run.take(0).unwrap().is_ok());
}

#[test]
fn an_output_has_the_reason_of_its_end() {
    let finish = |seed: u64| {
        let generator = generator().seed(seed).stop_at_eos(true);
        generator.run(vec![canvas(1, 6)], &mut ()).unwrap().remove(0)
    };
    let ends: Vec<_> = (0..20).map(finish).collect();
    for output in &ends {
        let stops = output.tokens.contains(&0);
        let expected = if stops { FinishReason::EndOfSequence } else { FinishReason::Length };
        assert_eq!(output.finish, expected);
    }
    assert!(ends.iter().any(|output| output.finish == FinishReason::Length));
    assert!(ends.iter().any(|output| output.finish == FinishReason::EndOfSequence));
}
