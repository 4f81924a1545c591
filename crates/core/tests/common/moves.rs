//! The moves of a strategy with argmax draws over two symbols whose logits are given.

use conjoint_core::draw::Argmax;
use conjoint_core::filter::{Filter, FilterRow};
use conjoint_core::observer::Reveal;
use conjoint_core::strategy::Strategy;
use conjoint_core::{Canvas, Generator, Observer, RowStats, TokenId};

use super::function_model::FunctionModel;

/// A row that gives symbol 1 a probability of 0.73.
pub const UNSURE: [f32; 2] = [0.0, 1.0];

/// A row that gives symbol 1 a probability of 0.998.
pub const SURE: [f32; 2] = [0.0, 6.0];

/// Prefers a 0 where a 1 is revealed, and a 1 elsewhere.
pub fn fickle(canvas: &Canvas, position: usize) -> [f32; 2] {
    if canvas.tokens()[position] == 1 { [1.0, 0.0] } else { SURE }
}

/// A row that gives symbol 1 the probability `p`.
pub fn log_odds(p: f32) -> [f32; 2] {
    [0.0, (p / (1.0 - p)).ln()]
}

/// Gives position 0 a probability of 0.6 and the others 0.55; once a position is revealed, 0.7 and 0.65.
pub fn rising_rows(canvas: &Canvas, position: usize) -> [f32; 2] {
    let is_first = canvas.revealed().next().is_none();
    log_odds(match (position, is_first) {
        (0, true) => 0.6,
        (0, false) => 0.7,
        (_, true) => 0.55,
        (_, false) => 0.65,
    })
}

/// Allows only symbol 1 at position 0.
pub struct OnlyOneAtFirst;

impl Filter for OnlyOneAtFirst {
    fn apply(&self, row: &mut FilterRow<'_>) {
        if row.position == 0 {
            row.logits[0] = f32::NEG_INFINITY;
        }
    }
}

/// A generator with argmax draws over these rows.
pub fn greedy(
    rows: impl Fn(&Canvas, usize) -> [f32; 2] + Send + Sync + 'static,
    strategy: impl Into<Strategy>,
) -> Generator {
    Generator::new(FunctionModel::new(rows)).unmasker(strategy).draw(Argmax)
}

/// The positions that each step reveals and remasks, and its forwards.
#[derive(Default)]
pub struct Moves {
    pub revealed: Vec<Vec<usize>>,
    pub revoked: Vec<Vec<usize>>,
    pub forwards: Vec<usize>,
}

impl Observer for Moves {
    fn on_forward(&mut self, _: usize, _: usize, calls: usize) {
        self.revealed.push(Vec::new());
        self.revoked.push(Vec::new());
        self.forwards.push(calls);
    }

    fn on_reveal(&mut self, reveal: &Reveal) {
        self.revealed.last_mut().unwrap().push(reveal.position);
    }

    fn on_remask(&mut self, _: usize, _: usize, position: usize) {
        self.revoked.last_mut().unwrap().push(position);
    }
}

/// Runs a generator over two symbols on `length` masked positions; returns its moves and tokens.
pub fn moves(generator: &Generator, length: usize) -> (Moves, Vec<TokenId>) {
    let mut moves = Moves::default();
    let canvas = Canvas::unconditional(length, 2).unwrap();
    let outputs = generator.run(vec![canvas], &mut moves).unwrap();
    (moves, outputs[0].tokens.clone())
}

pub fn counts(steps: &[Vec<usize>]) -> Vec<usize> {
    steps.iter().map(Vec::len).collect()
}

/// The probability of symbol 1, bit for bit as strategies compute it.
pub fn probability(row: [f32; 2]) -> f64 {
    RowStats::of(&[row[0], row[1], f32::NEG_INFINITY]).unwrap().probability(row[1])
}
