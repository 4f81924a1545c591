//! A run taken step by step: what it reports, and how sequences join it, leave it and fail in it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use conjoint_core::denoiser::{Answer, Changed, Request, SequenceId, Session};
use conjoint_core::order::Entropy;
use conjoint_core::policy::{EarlyCommit, Ranked, Selection};
use conjoint_core::schedule::{LladaEven, TokensPerStep};
use conjoint_core::unmasker::{Control, Marginal, Next};
use conjoint_core::{
    CancelToken, Canvas, Denoiser, DenseRows, Error, Event, FinishReason, Generator, Observation,
    Policy, Row, State, StepRequest, Unmasker, View, Vocabulary, reviser,
};
use ndarray::Array2;

const MASK: u32 = 4;

/// Every token is as likely as any other; rows of canvases that begin with token 3 are NaN from the second step on.
#[derive(Default)]
struct Model {
    calls: AtomicUsize,
}

impl Denoiser for Model {
    fn vocabulary(&self) -> &Vocabulary {
        static VOCABULARY: std::sync::OnceLock<Vocabulary> = std::sync::OnceLock::new();
        VOCABULARY.get_or_init(|| Vocabulary::new(5, MASK).unwrap().with_eos(0).unwrap())
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let mut logits = Array2::zeros((request.rows.len(), 5));
        for (mut row, id) in logits.rows_mut().into_iter().zip(request.rows) {
            let canvas = request.batch[id.sequence].canvas;
            let known = canvas.tokens().iter().filter(|&&token| token != MASK).count();
            if canvas.tokens()[0] == 3 && known > 1 {
                row.fill(f32::NAN);
            }
        }
        Ok(Answer::new(DenseRows::from_logits(logits), State::new(())))
    }
}

fn generator() -> Generator {
    Generator::new(Model::default())
}

fn canvas(first: u32, length: usize) -> Canvas {
    Canvas::new(&[first], length, MASK).unwrap()
}

/// Steps to the end and returns every event of each step.
fn events(run: &mut conjoint_core::Run) -> Vec<Vec<Event>> {
    let mut all = Vec::new();
    while !run.is_done() {
        all.push(run.step().unwrap().to_vec());
    }
    all
}

#[test]
fn stepping_is_running() {
    let generator = generator().seed(5).batch_size(2).unwrap();
    let canvases = || (0..5).map(|n| canvas(1, 3 + n)).collect::<Vec<_>>();
    let expected = generator.run(canvases(), &mut ()).unwrap();
    let mut run = generator.start(canvases()).unwrap();
    let events = events(&mut run);
    assert_eq!(events[0][..2], [Event::Begin { sequence: 0 }, Event::Begin { sequence: 1 }]);
    // Events rebuild the tokens.
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
fn sequences_join_a_run_and_are_as_they_would_be_alone() {
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
    // Settings of its own, and settings that do not fit.
    let pairs = generator.clone().unmasker(Marginal::default());
    let pairs = pairs.schedule(TokensPerStep::new(2).unwrap());
    assert_eq!(run.add_with(canvas(1, 4), &pairs).unwrap(), 3);
    assert!(matches!(
        run.add(Canvas::unconditional(2, 1).unwrap()),
        Err(Error::MaskMismatch { .. })
    ));
    let stranger = Generator::new(Model::default());
    assert!(matches!(
        run.add_with(canvas(1, 4), &stranger),
        Err(Error::ModelMismatch { sequence: 4 })
    ));
    assert_eq!(events(&mut run).len(), 2);
    assert_eq!(run.take(3).unwrap().unwrap().denoiser_calls, 2);
}

#[test]
fn a_sequence_that_is_cancelled_gives_out_what_it_has() {
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
fn a_sequence_that_fails_leaves_the_others_alone() {
    let canvases = || vec![canvas(1, 4), canvas(3, 4), canvas(2, 4)];
    let generator = generator().seed(9);
    let well = generator.run(vec![canvas(1, 4), canvas(1, 4), canvas(2, 4)], &mut ()).unwrap();
    let outcomes = generator.run_all(canvases(), &mut ()).unwrap();
    assert_eq!(outcomes[0].as_ref().unwrap(), &well[0]);
    assert_eq!(outcomes[2].as_ref().unwrap(), &well[2]);
    let error = outcomes[1].as_ref().unwrap_err();
    assert!(matches!(error, Error::NonFinite { sequence: 1, .. }), "{error}");
    // Run as one, the first failure ends it.
    assert!(matches!(
        generator.run(canvases(), &mut ()),
        Err(Error::NonFinite { sequence: 1, .. })
    ));
    // A run reports it in the step in which it happens.
    let mut run = generator.start(canvases()).unwrap();
    let steps = events(&mut run);
    assert!(steps[1].contains(&Event::Fail { sequence: 1 }));
    assert!(run.take(1).unwrap().is_err());
    // All may fail.
    let outcomes = generator.run_all(vec![canvas(3, 4); 2], &mut ()).unwrap();
    assert!(outcomes.iter().all(Result::is_err));
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
fn why_a_sequence_ended() {
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

#[test]
fn settings_that_would_be_ignored_are_refused() {
    /// A model without an end-of-sequence id.
    struct StepLimitExceeded(Vocabulary);
    impl Denoiser for StepLimitExceeded {
        fn vocabulary(&self) -> &Vocabulary {
            &self.0
        }
        fn forward(&self, _: &Request<'_>) -> Result<Answer, Error> {
            Err(Error::model("never asked"))
        }
    }
    let endless = || Generator::new(StepLimitExceeded(Vocabulary::new(5, MASK).unwrap()));
    let error = endless().stop_at_eos(true).check(&[]).unwrap_err().to_string();
    assert!(error.contains("end-of-sequence"), "{error}");
    // A schedule beside the default unmasker, which reveals one position a step.
    let error = generator().schedule(TokensPerStep::new(4).unwrap()).generate(&[1], 8);
    assert!(matches!(error, Err(Error::Combination { unmasker: "ExactSequential", .. })));
    let even = generator().schedule(LladaEven::new(2).unwrap());
    assert!(even.start(vec![]).is_err());
}

/// What a session was shown of each sequence.
type Log = Arc<Mutex<Vec<(SequenceId, Changed, usize)>>>;

/// A model with a memory: it keeps a log of what it is shown, and of who has ended.
struct Remembering {
    model: Arc<Model>,
    log: Log,
    ended: Arc<Mutex<Vec<SequenceId>>>,
}

struct Memory(Arc<Remembering>);

impl Denoiser for Remembering {
    fn vocabulary(&self) -> &Vocabulary {
        self.model.vocabulary()
    }

    fn forward(&self, _: &Request<'_>) -> Result<Answer, Error> {
        Err(Error::model("a run asks the session"))
    }

    fn open_session(self: Arc<Self>) -> Result<Option<Box<dyn Session>>, Error> {
        Ok(Some(Box::new(Memory(self))))
    }
}

impl Session for Memory {
    fn forward(&mut self, request: &Request<'_>) -> Result<Answer, Error> {
        let mut log = self.0.log.lock().unwrap();
        for shown in request.batch {
            let id = shown.id.ok_or_else(|| Error::model("a canvas without an id"))?;
            log.push((id, shown.changed.clone(), shown.region().end));
        }
        self.0.model.forward(request)
    }

    fn end(&mut self, sequence: SequenceId) {
        self.0.ended.lock().unwrap().push(sequence);
    }

    fn is_exact(&self) -> bool {
        false
    }
}

#[test]
fn a_session_follows_its_sequences() {
    let (log, ended): (Log, _) = (Log::default(), Arc::new(Mutex::new(Vec::new())));
    let model = Remembering { model: Arc::default(), log: log.clone(), ended: ended.clone() };
    let generator = Generator::new(model).batch_size(2).unwrap();
    let mut run = generator.start(vec![canvas(1, 3), canvas(3, 3), canvas(2, 3)]).unwrap();
    assert!(!run.is_exact());
    let mut revealed: Vec<Vec<usize>> = vec![Vec::new(); 3];
    while !run.is_done() {
        for event in run.step().unwrap() {
            if let Event::Reveal(reveal) = event {
                revealed[reveal.sequence].push(reveal.position);
            }
        }
    }
    let log = log.lock().unwrap();
    for sequence in [0, 2] {
        let seen = log.iter().filter(|(id, ..)| *id == SequenceId(sequence as u64));
        let changed: Vec<&Changed> = seen.map(|(_, changed, _)| changed).collect();
        let expected: Vec<Changed> = [Changed::All]
            .into_iter()
            .chain(revealed[sequence][..2].iter().map(|&p| Changed::Positions(vec![p])))
            .collect();
        assert_eq!(changed, expected.iter().collect::<Vec<_>>(), "sequence {sequence}");
    }
    assert!(log.iter().all(|(.., end)| *end == 4));
    // The one that failed is reported as well.
    let mut ended = ended.lock().unwrap();
    ended.sort();
    assert_eq!(*ended, [SequenceId(0), SequenceId(1), SequenceId(2)]);
}

#[test]
fn a_run_that_is_dropped_ends_its_sequences() {
    let ended = Arc::new(Mutex::new(Vec::new()));
    let model = Remembering { model: Arc::default(), log: Log::default(), ended: ended.clone() };
    let generator = Generator::new(model).batch_size(2).unwrap();
    let mut run = generator.start(vec![canvas(1, 3); 3]).unwrap();
    run.step().unwrap();
    run.cancel(1).unwrap();
    drop(run);
    assert_eq!(*ended.lock().unwrap(), [SequenceId(1), SequenceId(0)]);
}

/// A policy that selects these.
#[derive(Clone)]
struct Selecting(Vec<usize>);

impl Policy for Selecting {
    fn select(&mut self, _: &mut Observation<'_>, selection: &mut Selection) -> Result<(), Error> {
        selection.all_of(self.0.iter().copied().map(Row::candidate));
        Ok(())
    }
}

#[test]
fn bad_selections_are_named() {
    let run = |selected: &[usize]| {
        let generator = generator().unmasker(Marginal::default());
        let generator = generator.policy(Selecting(selected.to_vec()));
        generator.run(vec![canvas(1, 3)], &mut ()).map(|_| ())
    };
    for (selected, reason) in [(vec![0, 3], "only 3 candidates"), (vec![1, 0, 1], "already")] {
        let error = run(&selected).unwrap_err();
        let named = matches!(error, Error::BadSelection { sequence: 0, by: "Selecting", .. });
        assert!(named && error.to_string().contains(reason), "{error}");
    }
    // Nothing selected, and no total of steps.
    assert!(matches!(run(&[]), Err(Error::NoProgress { sequence: 0, step: 0 })));
    // One revised to death: what it selects is checked as well.
    let rcr = generator().unmasker(Marginal::default()).policy(Selecting(vec![0, 0, 0, 0]));
    let error = rcr.reviser(reviser::Rcr::default()).run(vec![canvas(1, 3)], &mut ());
    assert!(matches!(error, Err(Error::BadSelection { .. })));
}

#[test]
fn a_window_beyond_the_sequence_is_an_error() {
    let one = Ranked::new(Entropy, TokensPerStep::ONE);
    let commit = EarlyCommit::new(one, 2..6).unwrap();
    let generator = generator().unmasker(Marginal::default()).policy(commit);
    assert!(generator.run(vec![canvas(1, 5)], &mut ()).is_ok());
    let error = generator.run(vec![canvas(1, 4)], &mut ()).unwrap_err().to_string();
    assert!(error.contains("answer window") && error.contains("0..5"), "{error}");
}

#[test]
fn a_cancelled_sequence_is_reported_even_if_it_was_taken() {
    let mut run = generator().start(vec![canvas(1, 4); 2]).unwrap();
    run.step().unwrap();
    run.cancel(1).unwrap();
    assert_eq!(run.take(1).unwrap().unwrap().drawn, 1);
    assert_eq!(run.step().unwrap()[0], Event::Finish { sequence: 1 });
}

/// A model that fails from a call on, or whose hidden states have as many rows as it says.
struct Failing {
    model: Model,
    from: usize,
    hidden: Option<usize>,
}

impl Denoiser for Failing {
    fn vocabulary(&self) -> &Vocabulary {
        self.model.vocabulary()
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let answer = self.model.forward(request)?;
        if self.model.calls.load(Ordering::Relaxed) > self.from {
            return Err(Error::model("out of memory"));
        }
        let hidden = |rows| request.batch.iter().map(move |_| Array2::zeros((rows, 2))).collect();
        let hidden = self.hidden.filter(|_| request.hidden).map(hidden);
        Ok(Answer { hidden: hidden.unwrap_or_default(), ..answer })
    }
}

#[test]
fn what_was_finished_outlives_a_model_that_fails() {
    let model = Failing { model: Model::default(), from: 2, hidden: None };
    let mut run = Generator::new(model).start(vec![canvas(1, 2), canvas(1, 4)]).unwrap();
    assert!(matches!(run.finish_all(&mut ()), Err(Error::Model(_))));
    assert_eq!(run.take(0).unwrap().unwrap().finish, FinishReason::Length);
    run.cancel(1).unwrap();
    assert_eq!(run.take(1).unwrap().unwrap().drawn, 2);
}

/// Selects one candidate; asks for hidden states or not, and notes whether it was shown any.
#[derive(Clone)]
struct Hidden {
    asks: bool,
    shown: Arc<Mutex<Vec<(usize, bool)>>>,
}

impl Policy for Hidden {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        if self.asks {
            request.request_hidden();
        }
        Ok(())
    }

    fn select(
        &mut self,
        rows: &mut Observation<'_>,
        selection: &mut Selection,
    ) -> Result<(), Error> {
        self.shown.lock().unwrap().push((rows.sequence(), rows.hidden().is_some()));
        selection.all_of(rows.rows().take(1));
        Ok(())
    }
}

#[test]
fn hidden_states_are_shown_to_those_who_asked() {
    let run = |hidden| {
        let shown = Arc::new(Mutex::new(Vec::new()));
        let model = Failing { model: Model::default(), from: 9, hidden };
        let generator = Generator::new(model).unmasker(Marginal::default());
        let with = |asks| generator.clone().policy(Hidden { asks, shown: shown.clone() });
        let requests = [false, true].map(|asks| (canvas(1, 1), with(asks)));
        let mut run = generator.start_each(requests.into()).unwrap();
        let outcome = run.finish_all(&mut ());
        let shown = shown.lock().unwrap().clone();
        (outcome, shown)
    };
    let (outcome, shown) = run(Some(2));
    assert!(outcome.unwrap().iter().all(Result::is_ok));
    assert_eq!(shown, [(0, false), (1, true)]);
    // A model without: only the one that asked fails.
    let (outcome, shown) = run(None);
    let outcome = outcome.unwrap();
    assert!(outcome[0].is_ok() && matches!(outcome[1], Err(Error::NoHiddenStates)));
    assert_eq!(shown, [(0, false)]);
    let (outcome, _) = run(Some(1));
    assert!(outcome.unwrap_err().to_string().contains("1 hidden states: expected 2"));
}

/// Decides alone: ranks the candidates once and reveals all that it may.
#[derive(Clone)]
struct Alone;

impl Unmasker for Alone {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        view.rank(&Entropy)?;
        for rank in 0..view.quota() {
            let row = view.ranked(rank);
            let drawn = view.draw(row)?;
            view.reveal(row, drawn);
        }
        Ok(Next::EndStep)
    }

    fn control(&self) -> Control {
        Control::Alone
    }
}

#[test]
fn an_unmasker_that_decides_alone_may_reveal_all_beside_any_neighbour() {
    let generator = generator().unmasker(Alone);
    let one = generator.clone().unmasker(Marginal::default());
    let requests = vec![(canvas(1, 3), one), (canvas(1, 3), generator.clone())];
    let outputs = generator.run_each(requests, &mut ()).unwrap();
    assert_eq!((outputs[0].steps, outputs[1].steps), (3, 1));
}

/// Draws one token, then narrows the rest of the step to nothing.
#[derive(Clone)]
struct Narrow;

impl Unmasker for Narrow {
    fn decide(&mut self, view: &mut View<'_>) -> Result<Next, Error> {
        let row = view.ranked(0);
        let drawn = view.draw(row)?;
        view.reveal(row, drawn);
        view.narrow_to([]);
        Ok(Next::Refine)
    }
}

#[test]
fn a_step_narrowed_to_nothing_is_over() {
    let generator = generator().unmasker(Narrow).schedule(TokensPerStep::new(3).unwrap());
    let output = generator.run(vec![canvas(1, 3)], &mut ()).unwrap().remove(0);
    assert_eq!((output.steps, output.sampler_calls), (3, 0));
}

#[test]
fn credits_are_those_of_the_masked_positions_alone() {
    // Questions are no new rows: an early commit that never comes changes nothing, with credits either.
    let one = || Ranked::new(Entropy, TokensPerStep::ONE);
    let commit = EarlyCommit::new(one(), 1..5).unwrap().gaps([f64::INFINITY; 3]).unwrap();
    let model = conjoint_core::filter::CreditDecoding::default();
    let generator = Generator::new(Skewed).unmasker(Marginal::default()).filter(model);
    let run = |generator: Generator| generator.run(vec![canvas(1, 5); 4], &mut ()).unwrap();
    let tokens = |outputs: Vec<conjoint_core::Output>| {
        outputs.into_iter().map(|output| output.tokens).collect::<Vec<_>>()
    };
    let plain = tokens(run(generator.clone().policy(one())));
    assert_eq!(tokens(run(generator.clone().policy(commit))), plain);
}

/// Rows that depend on the position and on what is known; some have one possible token.
struct Skewed;

impl Denoiser for Skewed {
    fn vocabulary(&self) -> &Vocabulary {
        static VOCABULARY: std::sync::OnceLock<Vocabulary> = std::sync::OnceLock::new();
        VOCABULARY.get_or_init(|| Vocabulary::new(5, MASK).unwrap())
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let mut logits = Array2::zeros((request.rows.len(), 5));
        for (mut row, id) in logits.rows_mut().into_iter().zip(request.rows) {
            let known: u32 = request.batch[id.sequence].canvas.tokens().iter().sum();
            row[(id.position + known as usize) % 4] = 1.0 + id.position as f32 / 8.0;
        }
        Ok(Answer::new(DenseRows::from_logits(logits), State::new(())))
    }
}
