//! The conformance suite of sessions: a right memory passes, and wrong ones are detected.

use std::collections::BTreeMap;
use std::sync::Arc;

use conjoint_core::denoiser::{Answer, Changed, Request, SequenceId, Session};
use conjoint_core::{Canvas, Denoiser, DenseRows, Error, State, TokenId, Vocabulary};
use conjoint_testkit::conformance::{self, Violation};
use ndarray::Array2;

const MASK: TokenId = 2;

/// A mistake of the memory.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mistake {
    None,
    /// Changes are ignored after the first time.
    Stale,
    /// All sequences share one memory.
    Shared,
    /// Memory is kept by the place in the batch instead of the id.
    IgnoresIds,
}

/// A row depends on the number of ones to its left and to its right.
struct Counting {
    vocabulary: Vocabulary,
    mistake: Mistake,
    exact: bool,
}

impl Counting {
    fn shared(mistake: Mistake, exact: bool) -> Arc<dyn Denoiser> {
        Arc::new(Self { vocabulary: Vocabulary::new(3, MASK).unwrap(), mistake, exact })
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
        Ok(Some(Box::new(KeptTokens { model: self, kept: BTreeMap::new() })))
    }
}

/// Keeps the tokens of each sequence and updates the changed positions.
struct KeptTokens {
    model: Arc<Counting>,
    kept: BTreeMap<SequenceId, Vec<TokenId>>,
}

impl Session for KeptTokens {
    fn forward(&mut self, request: &Request<'_>) -> Result<Answer, Error> {
        let mistake = self.model.mistake;
        let key = |n: usize, id: SequenceId| match mistake {
            Mistake::Shared => SequenceId(0),
            Mistake::IgnoresIds => SequenceId(n as u64),
            _ => id,
        };
        for (n, input) in request.batch.iter().enumerate() {
            let tokens = input.canvas.tokens();
            let Some(id) = input.id else { continue };
            let kept = self.kept.entry(key(n, id)).or_insert_with(|| tokens.to_vec());
            match input.changed {
                Changed::All if mistake != Mistake::IgnoresIds => *kept = tokens.to_vec(),
                Changed::Positions(positions) if mistake != Mistake::Stale => {
                    kept.resize(tokens.len(), MASK);
                    positions.iter().for_each(|&p| kept[p] = tokens[p]);
                }
                _ => kept.resize(tokens.len(), MASK),
            }
        }
        Ok(Counting::answer(request, |n| {
            let input = &request.batch[n];
            let Some(id) = input.id else { return input.canvas.tokens().to_vec() };
            let mut tokens = self.kept[&key(n, id)].clone();
            tokens.resize(input.canvas.len(), MASK);
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

fn verdict(mistake: Mistake, exact: bool) -> Result<(), Violation> {
    conformance::session("counting", &Counting::shared(mistake, exact), &canvases(), 0.0)
}

#[test]
fn a_right_memory_passes() {
    verdict(Mistake::None, true).unwrap();
    verdict(Mistake::None, false).unwrap();
}

#[test]
fn wrong_memories_are_detected() {
    let how = |mistake, exact| match verdict(mistake, exact) {
        Err(Violation::RowChanged { how, .. }) => how,
        other => panic!("{mistake:?}: {other:?}"),
    };
    assert_eq!(how(Mistake::Stale, true), "without memory");
    assert_eq!(how(Mistake::Shared, true), "in a session of its own");
    assert_eq!(how(Mistake::IgnoresIds, true), "in a session of its own");
    // A session that approximates may be stale, but must not depend on other sequences.
    assert_eq!(how(Mistake::Shared, false), "in a session of its own");
    verdict(Mistake::Stale, false).unwrap();
}

#[test]
fn without_a_session_or_a_canvas_it_fails() {
    let joint = conjoint_testkit::TabularJoint::random(3, 2, 1.0, 0).unwrap();
    let model: Arc<dyn Denoiser> = Arc::new(conjoint_testkit::TabularDenoiser::new(joint).unwrap());
    let none = conformance::session("oracle", &model, &canvases(), 0.0).unwrap_err();
    assert!(none.to_string().contains("opens no session"), "{none}");
    let none = conformance::session("counting", &Counting::shared(Mistake::None, true), &[], 0.0);
    assert!(none.is_err());
}
