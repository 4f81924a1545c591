//! Sessions of a run: what they are given, when sequences end, and that memory changes no token.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::model::{Model, canvas};
use conjoint_core::Error;
use conjoint_core::denoiser::{Answer, Changed, Request, SequenceId, Session};
use conjoint_core::schedule::TokensPerStep;
use conjoint_core::unmasker::Marginal;
use conjoint_core::{
    Canvas, Denoiser, DenseRows, Event, Generator, State, TokenId, Vocabulary, reviser,
};
use ndarray::Array2;

/// The id, the changed positions and the end of the region of each input.
type Log = Arc<Mutex<Vec<(SequenceId, Changed, usize)>>>;

/// A model whose sessions log their inputs and the sequences that ended.
struct Logging {
    model: Arc<Model>,
    log: Log,
    ended: Arc<Mutex<Vec<SequenceId>>>,
}

impl Denoiser for Logging {
    fn vocabulary(&self) -> &Vocabulary {
        self.model.vocabulary()
    }

    fn forward(&self, _: &Request<'_>) -> Result<Answer, Error> {
        Err(Error::model("a run uses the session"))
    }

    fn open_session(self: Arc<Self>) -> Result<Option<Box<dyn Session>>, Error> {
        Ok(Some(Box::new(LoggingSession(self))))
    }
}

struct LoggingSession(Arc<Logging>);

impl Session for LoggingSession {
    fn forward(&mut self, request: &Request<'_>) -> Result<Answer, Error> {
        let mut log = self.0.log.lock().unwrap();
        for input in request.batch {
            let id = input.id.ok_or_else(|| Error::model("a canvas without an id"))?;
            log.push((id, input.changed.clone(), input.open_positions().end));
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
fn a_session_gets_the_changes_of_its_sequences() {
    let (log, ended): (Log, _) = (Log::default(), Arc::new(Mutex::new(Vec::new())));
    let model = Logging { model: Arc::default(), log: log.clone(), ended: ended.clone() };
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
    let model = Logging { model: Arc::default(), log: Log::default(), ended: ended.clone() };
    let generator = Generator::new(model).batch_size(2).unwrap();
    let mut run = generator.start(vec![canvas(1, 3); 3]).unwrap();
    run.step().unwrap();
    run.cancel(1).unwrap();
    drop(run);
    assert_eq!(*ended.lock().unwrap(), [SequenceId(1), SequenceId(0)]);
}

/// A model of two symbols. A row depends on the number of ones to its left and to its right.
struct Counting(Vocabulary);

impl Counting {
    fn answer(request: &Request<'_>, tokens_of: impl Fn(usize) -> Vec<TokenId>) -> Answer {
        let mut logits = Array2::zeros((request.rows.len(), 3));
        for (mut row, id) in logits.rows_mut().into_iter().zip(request.rows) {
            let tokens = tokens_of(id.sequence);
            let ones = |range: &[TokenId]| range.iter().filter(|&&token| token == 1).count() as f32;
            row[0] = ones(&tokens[..id.position]);
            row[1] = 0.5 * ones(&tokens[id.position..]) + tokens.len() as f32 * 0.1;
        }
        Answer::new(DenseRows::from_logits(logits), State::new(()))
    }
}

impl Denoiser for Counting {
    fn vocabulary(&self) -> &Vocabulary {
        &self.0
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        Ok(Self::answer(request, |n| request.batch[n].canvas.tokens().to_vec()))
    }

    fn open_session(self: Arc<Self>) -> Result<Option<Box<dyn Session>>, Error> {
        Ok(Some(Box::<KeptTokens>::default()))
    }
}

/// Keeps the tokens of each sequence and updates the changed positions.
#[derive(Default)]
struct KeptTokens(BTreeMap<SequenceId, Vec<TokenId>>);

impl Session for KeptTokens {
    fn forward(&mut self, request: &Request<'_>) -> Result<Answer, Error> {
        for input in request.batch {
            let tokens = input.canvas.tokens();
            let Some(id) = input.id else { continue };
            let kept = self.0.entry(id).or_insert_with(|| tokens.to_vec());
            match input.changed {
                Changed::All => *kept = tokens.to_vec(),
                Changed::Positions(positions) => {
                    kept.resize(tokens.len(), 2);
                    positions.iter().for_each(|&p| kept[p] = tokens[p]);
                }
            }
        }
        Ok(Counting::answer(request, |n| match request.batch[n].id {
            Some(id) => self.0[&id].clone(),
            None => request.batch[n].canvas.tokens().to_vec(),
        }))
    }

    fn end(&mut self, sequence: SequenceId) {
        self.0.remove(&sequence);
    }

    fn is_exact(&self) -> bool {
        true
    }
}

/// The same model without sessions.
struct Stateless(Arc<Counting>);

impl Denoiser for Stateless {
    fn vocabulary(&self) -> &Vocabulary {
        self.0.vocabulary()
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        self.0.forward(request)
    }
}

/// With a reviser that remasks tokens.
#[test]
fn a_run_with_memory_gives_the_tokens_of_one_without() {
    let model = Arc::new(Counting(Vocabulary::new(3, 2).unwrap()));
    let canvases = vec![
        Canvas::unconditional(6, 2).unwrap(),
        Canvas::new(&[1, 0], 4, 2).unwrap(),
        Canvas::infill(vec![2, 1, 2, 2, 0, 2], 2).unwrap(),
    ];
    for batch in [1, 2, 16] {
        let outputs = |generator: Generator| {
            let generator = generator
                .unmasker(Marginal::default())
                .schedule(TokensPerStep::new(2).unwrap())
                .reviser(reviser::Wino::new(0.9).unwrap())
                .seed(4)
                .batch_size(batch)
                .unwrap();
            generator.run([canvases.clone(), canvases.clone()].concat(), &mut ()).unwrap()
        };
        let with_memory = outputs(Generator::new(Arc::clone(&model) as Arc<dyn Denoiser>));
        assert_eq!(with_memory, outputs(Generator::new(Stateless(model.clone()))));
        assert!(with_memory.iter().any(|output| output.denoiser_calls > 3), "nothing was revoked");
    }
}
