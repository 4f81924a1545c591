//! Every strategy passes the suite, and for every check there is a broken one that does not.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::{orders, together};
use conjoint_core::influence::GiniBound;
use conjoint_core::policy::{Demask, Dilated, Klass, Origin, SlowFast};
use conjoint_core::schedule::LladaEven;
use conjoint_core::strategy::{self, Strategy};
use conjoint_core::unmasker::{
    AdaptiveJoint, Bound, Confidence, Drawn, ExactSequential, LearnedJoint, LocalAutoregression,
    Marginal, Score,
};
use conjoint_core::{Error, Next, Order, Row, TokenId, Unmasker, View};
use conjoint_testkit::conformance::{self, ProbeLayer, ProbeScorer, Suite, Violation};

/// A strategy, what the suite must be told of it, and how it is made.
type Line<Make> = (&'static str, Suite, Make);
type Ordered = fn(Arc<dyn Order>) -> Strategy;
type Unordered = fn() -> Strategy;

/// Every strategy that takes an order, one line each.
fn ordered() -> [Line<Ordered>; 6] {
    let suite = Suite::default;
    [
        ("sequential", suite(), |order| ExactSequential::new(order).into()),
        ("marginal", suite(), |order| Marginal::new(order).into()),
        ("learned joint", suite(), |order| LearnedJoint::new(ProbeLayer).order(order).into()),
        ("learned joint in a window", suite(), |order| {
            LearnedJoint::new(ProbeLayer).order(order).window(1).unwrap().into()
        }),
        ("DEMASK", suite(), |order| together(Demask::new(GiniBound, 2.0).unwrap().order(order))),
        ("adaptive joint", suite().moves_per_position(2), |order| {
            adaptive(Bound::Entropy(1.0)).order(order).into()
        }),
    ]
}

/// Every strategy that does not, one line each.
fn unordered() -> [Line<Unordered>; 10] {
    let suite = Suite::default;
    [
        ("confidence, raw", suite(), || Confidence::new(Score::Raw).into()),
        ("confidence, filtered", suite(), || Confidence::new(Score::Filtered).into()),
        ("KLASS", suite(), || strategy::klass(Klass::new(0.3, 1.0, 1).unwrap())),
        ("SlowFast", suite(), || strategy::slow_fast(SlowFast::new(2, 0.3, 0.5).unwrap())),
        ("dilated", suite(), || together(Dilated::default())),
        ("dilated by three", suite(), || together(Dilated::new(3).unwrap())),
        ("CoDiLA", suite(), || LocalAutoregression::new(ProbeScorer, 3).unwrap().into()),
        ("CoDiLA within a bound", suite(), || {
            LocalAutoregression::new(ProbeScorer, 4).unwrap().bound(1.2).unwrap().into()
        }),
        ("origin", suite(), || together(Origin::new(8).unwrap())),
        ("adaptive joint by confidence", suite().moves_per_position(2), || {
            adaptive(Bound::Confidence(0.4)).into()
        }),
    ]
}

fn adaptive(bound: Bound) -> AdaptiveJoint {
    AdaptiveJoint::new(ProbeLayer, bound).unwrap()
}

#[test]
fn every_strategy_in_every_order_passes() {
    for (name, suite, make) in ordered() {
        for (order_name, order) in orders() {
            suite.strategy(&format!("{name}, {order_name}"), || make(order.clone())).unwrap();
        }
    }
    for (name, suite, make) in unordered() {
        suite.strategy(name, make).unwrap();
    }
}

/// A strategy of one function, with a memory that its clones share.
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

/// What the suite says of a strategy without memory.
fn verdict(decide: fn(&(), &mut View<'_>) -> Result<Next, Error>) -> Result<(), Violation> {
    conformance::strategy("broken", || Broken { memory: (), decide })
}

/// Reveals the leftmost candidate, as a right strategy would.
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
fn the_harness_itself_is_not_what_breaks() {
    verdict(|(), view| leftmost(view)).unwrap();
}

#[test]
fn no_progress() {
    let idle = verdict(|(), _| Ok(Next::EndStep));
    assert!(matches!(failure(idle), Error::NoProgress { .. }));
}

#[test]
fn undoing_all_that_was_done() {
    // Masks again all but what it just revealed, so that two positions are never known at once.
    let undo = |(): &(), view: &mut View<'_>| {
        let canvas = view.canvas();
        let known = |&p: &usize| !canvas.is_masked(p) && !canvas.is_given(p);
        let again: Vec<usize> = canvas.block().filter(known).collect();
        again.into_iter().for_each(|position| view.remask(position));
        leftmost(view)
    };
    assert!(matches!(verdict(undo), Err(Violation::StepLimitExceeded { .. })));
}

#[test]
fn illegal_moves() {
    let twice = verdict(|(), view| {
        leftmost(view)?;
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
fn forbidden_tokens() {
    // The most probable token of the unfiltered row, banned or not, mask aside.
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
    assert!(run.contains("Tempting"), "{run}");
    let unknown = verdict(|(), view| {
        view.reveal(Row::candidate(0), Drawn { token: 99, probability: 1.0 });
        Ok(Next::EndStep)
    });
    assert!(matches!(failure(unknown), Error::UnknownToken { token: 99, .. }));
}

#[test]
fn randomness_of_its_own() {
    let calls = Arc::new(AtomicUsize::new(0));
    let decide = |calls: &Arc<AtomicUsize>, view: &mut View<'_>| {
        let n = view.candidates().len();
        reveal(view, Row::candidate(calls.fetch_add(7, Ordering::Relaxed) / 3 % n))
    };
    let verdict = conformance::strategy("broken", || Broken { memory: calls.clone(), decide });
    match verdict {
        Err(Violation::OutputChanged { how, .. }) => assert_eq!(how, "the same again"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn memory_shared_by_a_batch() {
    // Whether the last token revealed, of whichever sequence, was even decides where.
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
fn swallowing_an_empty_row() {
    let swallow = verdict(|(), view| {
        let drawn = view.draw(Row::candidate(0)).unwrap_or(Drawn { token: 1, probability: 1.0 });
        view.reveal(Row::candidate(0), drawn);
        Ok(Next::EndStep)
    });
    match swallow {
        Err(Violation::MissedError { run, expected, .. }) => {
            assert!(run.contains("OnlyMask") && expected.contains("EmptyRow"), "{run}: {expected}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_row_it_cannot_handle() {
    let picky = verdict(|(), view| {
        if view.candidates()[0].stats.p2 == 0.0 {
            return Err(Error::NothingMasked("only one token is possible"));
        }
        leftmost(view)
    });
    assert!(matches!(failure(picky), Error::NothingMasked(_)));
}

/// A strategy that masks again on purpose is let through with more moves.
#[test]
fn second_thoughts_need_more_moves() {
    #[derive(Clone, Default)]
    struct SecondThoughts {
        undone: bool,
    }
    impl Unmasker for SecondThoughts {
        fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
            let canvas = view.canvas();
            let known = |&p: &usize| !canvas.is_masked(p) && !canvas.is_given(p);
            let first = canvas.block().find(known).filter(|_| !self.undone);
            if let Some(position) = first {
                view.remask(position);
                self.undone = true;
            }
            leftmost(view)
        }
    }
    let make = || SecondThoughts::default();
    assert!(matches!(
        conformance::strategy("twice", make),
        Err(Violation::StepLimitExceeded { .. })
    ));
    Suite::default().moves_per_position(2).strategy("twice", make).unwrap();
}

/// A schedule of one's own is tested with; one that does not divide over the blocks shows that.
#[test]
fn schedules_can_be_added() {
    let with = |steps| {
        let schedule = LladaEven::new(steps).unwrap();
        Suite::default().schedule("mine", schedule).strategy("marginal", Marginal::default)
    };
    with(16).unwrap();
    assert!(matches!(failure(with(3)), Error::StepsNotDivisible { steps: 3, .. }));
}
