use std::sync::Arc;

use crate::filter::FilterRow;
use crate::schedule::Progress;
use crate::sweep::Backend;
use crate::{Beliefs, Canvas, Draw, Error, Filter, RowStats, Schedule, Stream, TokenId, sweep};

mod drawing;
mod moves;
mod ranking;

/// One masked position that may be revealed, with the statistics of its filtered row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The position.
    pub position: usize,
    /// Statistics of the row after the filters.
    pub stats: RowStats,
    /// c: the largest probability p₁ of the filtered row, unless the strategy
    /// [has drawn a token](View::set_confidence) and says how probable that one is.
    pub confidence: f64,
}

/// A token drawn, and how probable it was in the filtered row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drawn {
    /// The token.
    pub token: TokenId,
    /// Its probability.
    pub probability: f64,
}

/// The roles of one sequence beside its strategy; sequences of one generator share them.
pub(crate) struct Parts {
    pub filter: Arc<dyn Filter>,
    pub schedule: Arc<dyn Schedule>,
    pub draw: Arc<dyn Draw>,
    /// V.
    pub vocabulary_size: usize,
    pub block_length: Option<usize>,
    /// The share of a block that must be known for the next one to be opened beside it.
    pub open_next: Option<f64>,
    pub stop: Option<Stop>,
}

/// What ends a sequence early.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop {
    /// Whatever comes after this token is
    pub eos: TokenId,
    /// filled up with this one.
    pub fill: TokenId,
}

/// Memory reused from row to row, and the moves recorded.
#[derive(Default)]
pub(crate) struct Work {
    /// The masked positions, then the answers.
    rows: Vec<Candidate>,
    ranked: Vec<usize>,
    scores: Vec<f64>,
    row: Vec<f32>,
    scratch: Vec<(f32, u32)>,
    drawn: Vec<Drawn>,
    pub reveals: Vec<(usize, Drawn)>,
    pub remasks: Vec<usize>,
    /// The positions that the step's sampler passes are to look at, if not all.
    pub window: Vec<usize>,
}

/// One row that a sequence is shown: its position, and where its logits are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shown {
    pub position: usize,
    /// The row of the beliefs.
    pub row: usize,
}

/// What one sequence is shown of a forward or a sampler pass.
pub(crate) struct Sight<'a> {
    /// Index of the sequence in the request.
    pub sequence: usize,
    pub canvas: &'a Canvas,
    pub progress: Progress,
    pub round: usize,
    pub beliefs: &'a Beliefs,
    /// The candidates from left to right, then the answers to the questions.
    pub rows: &'a [Shown],
    pub candidates: usize,
}

/// What a strategy sees of one sequence, and where it records its moves.
///
/// Rows are numbered: the candidates come first, from left to right, then the answers to what was asked
/// [before](super::Before) the forward.
pub struct View<'a> {
    sight: Sight<'a>,
    parts: &'a Parts,
    stream: &'a mut dyn Stream,
    work: &'a mut Work,
}

impl<'a> View<'a> {
    /// Filters and sweeps every row of the sequence.
    pub(crate) fn new(
        sight: Sight<'a>,
        parts: &'a Parts,
        stream: &'a mut dyn Stream,
        work: &'a mut Work,
    ) -> Result<Self, Error> {
        work.rows.clear();
        work.ranked.clear();
        work.reveals.clear();
        work.remasks.clear();
        work.window.clear();
        let mut view = Self { sight, parts, stream, work };
        let sequence = view.sight.sequence;
        for row in 0..view.sight.rows.len() {
            let position = view.load(row)?;
            let stats = Backend::detect().stats(&view.work.row).map_err(|token| {
                Error::NonFinite { sequence, position, token, value: view.work.row[token] }
            })?;
            let stats = stats.ok_or(Error::EmptyRow { sequence, position })?;
            view.work.rows.push(Candidate { position, stats, confidence: stats.p1 });
        }
        Ok(view)
    }

    /// Brings a row, checked and filtered, into `work.row`.
    fn load(&mut self, row: usize) -> Result<usize, Error> {
        let Shown { position, row } = self.sight.rows[row];
        let logits = self.sight.beliefs.logits(row);
        let work = &mut *self.work;
        // Before the filters, as they may hide what is wrong with a row.
        sweep::copy_finite(logits, &mut work.row).map_err(|token| Error::NonFinite {
            sequence: self.sight.sequence,
            position,
            token,
            value: logits[token],
        })?;
        self.parts.filter.apply(&mut FilterRow {
            logits: &mut work.row,
            position,
            canvas: self.sight.canvas,
            scratch: &mut work.scratch,
        });
        Ok(position)
    }

    /// The sequence as it stands.
    pub fn canvas(&self) -> &'a Canvas {
        self.sight.canvas
    }

    /// Where the sequence stands in its block.
    pub fn progress(&self) -> &Progress {
        &self.sight.progress
    }

    /// 0 right after the denoiser's forward, j after the j-th sampler pass of this step.
    pub fn round(&self) -> usize {
        self.sight.round
    }

    /// The masked positions of the current block, before the [end](Canvas::end), from left to right: at least one, unless the strategy
    /// has [held](super::Next::Hold) a full block.
    pub fn candidates(&self) -> &[Candidate] {
        &self.work.rows[..self.sight.candidates]
    }

    /// The row that answers the n-th question asked before the forward.
    pub fn answer(&self, question: usize) -> usize {
        self.sight.candidates + question
    }

    /// The position of a row and the statistics of the row after the filters.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize) -> &Candidate {
        &self.work.rows[row]
    }

    /// The randomness of this sequence.
    pub fn stream(&mut self) -> &mut dyn Stream {
        self.stream
    }

    /// The logits \[V\] of a row as the model gave them, before any filter.
    pub fn logits(&self, row: usize) -> &'a [f32] {
        self.sight.beliefs.logits(self.sight.rows[row].row)
    }

    /// Statistics of a row before any filter.
    pub fn raw_stats(&self, row: usize) -> Option<RowStats> {
        RowStats::of(self.logits(row))
    }
}
