//! Models that remember: a right one passes, and every way to get it wrong is caught.

use std::collections::BTreeMap;
use std::sync::Arc;

use conjoint_core::denoiser::{Answer, Changed, Request, SequenceId, Session};
use conjoint_core::schedule::TokensPerStep;
use conjoint_core::unmasker::Marginal;
use conjoint_core::{
    Canvas, Denoiser, DenseRows, Error, Generator, State, TokenId, Vocabulary, reviser,
};
use conjoint_testkit::conformance::{self, Violation};
use ndarray::Array2;

const MASK: TokenId = 2;

/// How the memory is wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Slip {
    None,
    /// Changes are ignored after the first time.
    Stale,
    /// All sequences share one memory.
    Shared,
    /// What is kept of a sequence that has ended is found again under another id.
    IgnoresIds,
}

/// A row is a function of the number of ones to its left, and of all to its right.
struct Counting {
    vocabulary: Vocabulary,
    slip: Slip,
    exact: bool,
}

impl Counting {
    fn shared(slip: Slip, exact: bool) -> Arc<dyn Denoiser> {
        Arc::new(Self { vocabulary: Vocabulary::new(3, MASK).unwrap(), slip, exact })
    }

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
        &self.vocabulary
    }

    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        Ok(Self::answer(request, |n| request.batch[n].canvas.tokens().to_vec()))
    }

    fn open_session(self: Arc<Self>) -> Result<Option<Box<dyn Session>>, Error> {
        Ok(Some(Box::new(Remembered { model: self, kept: BTreeMap::new() })))
    }
}

/// Keeps the tokens of each sequence and updates them by what has changed.
struct Remembered {
    model: Arc<Counting>,
    kept: BTreeMap<SequenceId, Vec<TokenId>>,
}

impl Session for Remembered {
    fn forward(&mut self, request: &Request<'_>) -> Result<Answer, Error> {
        let slip = self.model.slip;
        let key = |n: usize, id: SequenceId| match slip {
            Slip::Shared => SequenceId(0),
            Slip::IgnoresIds => SequenceId(n as u64),
            _ => id,
        };
        for (n, shown) in request.batch.iter().enumerate() {
            let tokens = shown.canvas.tokens();
            let Some(id) = shown.id else { continue };
            let kept = self.kept.entry(key(n, id)).or_insert_with(|| tokens.to_vec());
            match shown.changed {
                Changed::All if slip != Slip::IgnoresIds => *kept = tokens.to_vec(),
                Changed::Positions(positions) if slip != Slip::Stale => {
                    kept.resize(tokens.len(), MASK);
                    positions.iter().for_each(|&p| kept[p] = tokens[p]);
                }
                _ => kept.resize(tokens.len(), MASK),
            }
        }
        Ok(Counting::answer(request, |n| {
            let shown = &request.batch[n];
            let Some(id) = shown.id else { return shown.canvas.tokens().to_vec() };
            let mut tokens = self.kept[&key(n, id)].clone();
            tokens.resize(shown.canvas.len(), MASK);
            tokens
        }))
    }

    fn end(&mut self, sequence: SequenceId) {
        self.kept.remove(&sequence);
    }

    fn is_exact(&self) -> bool {
        self.model.exact
    }
}

fn canvases() -> Vec<Canvas> {
    vec![
        Canvas::unconditional(6, MASK).unwrap(),
        Canvas::new(&[1, 0], 4, MASK).unwrap(),
        Canvas::infill(vec![MASK, 1, MASK, MASK, 0, MASK], MASK).unwrap(),
    ]
}

fn verdict(slip: Slip, exact: bool) -> Result<(), Violation> {
    conformance::session("counting", &Counting::shared(slip, exact), &canvases(), 0.0)
}

#[test]
fn a_right_memory_passes() {
    verdict(Slip::None, true).unwrap();
    verdict(Slip::None, false).unwrap();
}

#[test]
fn wrong_memories_are_caught() {
    let how = |slip, exact| match verdict(slip, exact) {
        Err(Violation::RowChanged { how, .. }) => how,
        other => panic!("{slip:?}: {other:?}"),
    };
    assert_eq!(how(Slip::Stale, true), "without memory");
    assert_eq!(how(Slip::Shared, true), "in a session of its own");
    assert_eq!(how(Slip::IgnoresIds, true), "in a session of its own");
    // Approximation is no excuse for looking at neighbours, but it is for being stale.
    assert_eq!(how(Slip::Shared, false), "in a session of its own");
    verdict(Slip::Stale, false).unwrap();
}

#[test]
fn a_model_without_a_session_and_no_canvas_are_refused() {
    let joint = conjoint_testkit::TabularJoint::random(3, 2, 1.0, 0).unwrap();
    let model: Arc<dyn Denoiser> = Arc::new(conjoint_testkit::TabularDenoiser::new(joint).unwrap());
    let none = conformance::session("oracle", &model, &canvases(), 0.0).unwrap_err();
    assert!(none.to_string().contains("opens no session"), "{none}");
    let none = conformance::session("counting", &Counting::shared(Slip::None, true), &[], 0.0);
    assert!(none.is_err());
}

/// Through the generator, with tokens masked again: the tokens of a model that forgets.
#[test]
fn a_run_with_memory_is_a_run_without() {
    /// Forgets everything.
    struct Forgetful(Arc<dyn Denoiser>);
    impl Denoiser for Forgetful {
        fn vocabulary(&self) -> &Vocabulary {
            self.0.vocabulary()
        }
        fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
            self.0.forward(request)
        }
    }
    let model = Counting::shared(Slip::None, true);
    for batch in [1, 2, 16] {
        let outputs = |generator: Generator| {
            let generator = generator
                .unmasker(Marginal::default())
                .schedule(TokensPerStep::new(2).unwrap())
                .reviser(reviser::Wino::new(0.9).unwrap())
                .seed(4)
                .batch_size(batch)
                .unwrap();
            generator.run([canvases(), canvases()].concat(), &mut ()).unwrap()
        };
        let remembered = outputs(Generator::new(model.clone()));
        assert_eq!(remembered, outputs(Generator::new(Forgetful(model.clone()))));
        assert!(remembered.iter().any(|output| output.denoiser_calls > 3), "nothing was doubted");
    }
}
