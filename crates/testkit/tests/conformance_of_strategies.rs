//! The conformance suite of strategies: for every check, a broken strategy that it detects.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use conjoint_core::schedule::LladaEven;
use conjoint_core::unmasker::{Drawn, Marginal};
use conjoint_core::{Error, Next, Row, TokenId, Unmasker, View};
use conjoint_testkit::conformance::{self, Suite, Violation};

/// A strategy that decides with a function. Its clones share the memory.
#[derive(Clone)]
struct Broken<M> {
    memory: M,
    decide: fn(&M, &mut View<'_>) -> Result<Next, Error>,
}

impl<M: Clone + Send + Sync> Unmasker for Broken<M> {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        (self.decide)(&self.memory, view)
    }
}

/// The verdict on a strategy without memory.
fn verdict(decide: fn(&(), &mut View<'_>) -> Result<Next, Error>) -> Result<(), Violation> {
    conformance::strategy("broken", || Broken { memory: (), decide })
}

/// Reveals the leftmost candidate, as a right strategy may.
fn leftmost(view: &mut View<'_>) -> Result<Next, Error> {
    reveal(view, Row::candidate(0))
}

fn reveal(view: &mut View<'_>, candidate: Row) -> Result<Next, Error> {
    let drawn = view.draw(candidate)?;
    view.reveal(candidate, drawn);
    Ok(Next::EndStep)
}

/// The error inside a failed run.
fn failure(verdict: Result<(), Violation>) -> Error {
    match verdict {
        Err(Violation::Failed { source, .. }) => *source,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_right_strategy_passes() {
    verdict(|(), view| leftmost(view)).unwrap();
}

#[test]
fn no_progress_is_detected() {
    let no_reveal = verdict(|(), _| Ok(Next::EndStep));
    assert!(matches!(failure(no_reveal), Error::NoProgress { .. }));
}

#[test]
fn masking_all_other_positions_again_is_detected() {
    // Two positions are never known at once, so it never ends.
    let remask = |(): &(), view: &mut View<'_>| {
        let canvas = view.canvas();
        let is_known = |&p: &usize| !canvas.is_masked(p) && !canvas.is_given(p);
        let known: Vec<usize> = canvas.block().filter(is_known).collect();
        known.into_iter().for_each(|position| view.remask(position));
        leftmost(view)
    };
    assert!(matches!(verdict(remask), Err(Violation::StepLimitExceeded { .. })));
}

#[test]
fn illegal_moves_are_detected() {
    let twice = verdict(|(), view| {
        let _ = leftmost(view)?;
        leftmost(view)
    });
    let masks_the_prompt = verdict(|(), view| {
        let given = (0..view.canvas().len()).find(|&p| view.canvas().is_given(p));
        given.into_iter().for_each(|position| view.remask(position));
        leftmost(view)
    });
    let reveals_the_mask = verdict(|(), view| {
        let token = view.canvas().mask();
        view.reveal(Row::candidate(0), Drawn { token, probability: 1.0 });
        Ok(Next::EndStep)
    });
    for illegal in [twice, masks_the_prompt, reveals_the_mask] {
        assert!(matches!(failure(illegal), Error::IllegalMove { .. }));
    }
    let refines = verdict(|(), view| leftmost(view).map(|_| Next::Refine));
    assert!(matches!(failure(refines), Error::NoSamplerLayer));
}

#[test]
fn forbidden_tokens_are_detected() {
    // The most probable token of the unfiltered row except the mask, banned or not.
    let unfiltered = verdict(|(), view| {
        let mask = view.canvas().mask() as usize;
        let logits = view.logits(Row::candidate(0))?;
        let tokens = (0..logits.len()).filter(|&token| token != mask);
        let token = tokens.max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap_or(0);
        view.reveal(Row::candidate(0), Drawn { token: token as TokenId, probability: 1.0 });
        Ok(Next::EndStep)
    });
    let run = match unfiltered {
        Err(Violation::ForbiddenToken { run, token: 0, .. }) => run,
        other => panic!("{other:?}"),
    };
    assert!(run.contains("ForbiddenFirst"), "{run}");
    let unknown = verdict(|(), view| {
        view.reveal(Row::candidate(0), Drawn { token: 99, probability: 1.0 });
        Ok(Next::EndStep)
    });
    assert!(matches!(failure(unknown), Error::UnknownToken { token: 99, .. }));
}

#[test]
fn other_randomness_is_detected() {
    let calls = Arc::new(AtomicUsize::new(0));
    let decide = |calls: &Arc<AtomicUsize>, view: &mut View<'_>| {
        let n = view.candidates().len();
        reveal(view, Row::candidate(calls.fetch_add(7, Ordering::Relaxed) / 3 % n))
    };
    let verdict = conformance::strategy("broken", || Broken { memory: calls.clone(), decide });
    match verdict {
        Err(Violation::OutputChanged { how, .. }) => assert_eq!(how, "run again"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn memory_shared_by_a_batch_is_detected() {
    // The position depends on whether the last token of any sequence was even.
    let decide = |last: &Arc<Mutex<TokenId>>, view: &mut View<'_>| {
        let mut last = last.lock().unwrap();
        let candidate = Row::candidate(*last as usize % 2 * (view.candidates().len() - 1));
        let drawn = view.draw(candidate)?;
        view.reveal(candidate, drawn);
        *last = drawn.token;
        Ok(Next::EndStep)
    };
    let verdict = conformance::strategy("broken", || Broken { memory: Arc::default(), decide });
    match verdict {
        Err(Violation::OutputChanged { how, .. }) => assert_eq!(how, "one at a time"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn ignoring_an_empty_row_is_detected() {
    let ignores = verdict(|(), view| {
        let drawn = view.draw(Row::candidate(0)).unwrap_or(Drawn { token: 1, probability: 1.0 });
        view.reveal(Row::candidate(0), drawn);
        Ok(Next::EndStep)
    });
    match ignores {
        Err(Violation::MissedError { run, expected, .. }) => {
            assert!(run.contains("OnlyMask") && expected.contains("EmptyRow"), "{run}: {expected}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_strategy_that_fails_on_a_row_is_detected() {
    let fails = verdict(|(), view| {
        if view.candidates()[0].stats.p2 == 0.0 {
            return Err(Error::NothingMasked("only one token is possible"));
        }
        leftmost(view)
    });
    assert!(matches!(failure(fails), Error::NothingMasked(_)));
}

/// A strategy that remasks positions on purpose passes with more moves.
#[test]
fn a_strategy_that_remasks_needs_more_moves() {
    #[derive(Clone, Default)]
    struct RemasksOnce {
        remasked: bool,
    }
    impl Unmasker for RemasksOnce {
        fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
            let canvas = view.canvas();
            let is_known = |&p: &usize| !canvas.is_masked(p) && !canvas.is_given(p);
            let first = canvas.block().find(is_known).filter(|_| !self.remasked);
            if let Some(position) = first {
                view.remask(position);
                self.remasked = true;
            }
            leftmost(view)
        }
    }
    let make = || RemasksOnce::default();
    assert!(matches!(
        conformance::strategy("twice", make),
        Err(Violation::StepLimitExceeded { .. })
    ));
    Suite::default().moves_per_position(2).strategy("twice", make).unwrap();
}

/// The suite runs with an added schedule, which fails if it has fewer steps than a layout has blocks.
#[test]
fn schedules_can_be_added() {
    let with = |steps| {
        let schedule = LladaEven::new(steps).unwrap();
        Suite::default().schedule("mine", schedule).strategy("marginal", Marginal::default)
    };
    with(16).unwrap();
    assert!(matches!(failure(with(1)), Error::TooFewSteps { steps: 1, .. }));
}
