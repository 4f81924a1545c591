use std::sync::Arc;

use crate::condensed::{Condense, Condensed, Rows, TopMemory};
use crate::schedule::Progress;
use crate::{Canvas, Draw, Error, Filter, RowStats, Schedule, Stream, TokenId};

mod drawing;
mod loading;
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
    /// What filter and draw must know of condensed rows; `None` if they need whole rows.
    pub condense: Option<Condense>,
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
    /// Statistics of the rows whose top tells them.
    tops: Vec<Option<RowStats>>,
    top: TopMemory,
    /// Rows whose draw fell outside of their top.
    outside: Vec<usize>,
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
    /// The row of the answer.
    pub row: usize,
}

/// What one sequence is shown of a forward or a sampler pass.
pub(crate) struct Sight<'a> {
    /// Index of the sequence in the request.
    pub sequence: usize,
    pub canvas: &'a Canvas,
    pub progress: Progress,
    pub round: usize,
    pub answer: &'a Rows,
    /// Whether condensed rows are read by their top; no neighbour in the batch has a say in that.
    pub by_top: bool,
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

    /// The masked positions of the current block, before the [end](Canvas::end), from left to right: at least
    /// one, unless the strategy has [held](super::Next::Hold) a full block.
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

    /// The logits \[V\] of a row as the model gave them, before any filter. A condensed row is fetched.
    ///
    /// # Errors
    /// [`Error::Model`] if the row cannot be fetched.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn logits(&self, row: usize) -> Result<&'a [f32], Error> {
        self.sight.answer.logits(self.sight.rows[row].row)
    }

    /// Statistics of a row before any filter.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn raw_stats(&self, row: usize) -> Option<RowStats> {
        let shown = self.sight.rows[row].row;
        match self.condensed() {
            Some(condensed) => condensed.stats(shown),
            // Rows that are not read by their top were fetched before the strategy saw them.
            None => RowStats::of(self.logits(row).ok()?),
        }
    }

    /// The probability of a token in a row before any filter; 0 if the vocabulary has no such token. A condensed row
    /// is fetched if the token is not in its top.
    ///
    /// # Errors
    /// [`Error::Model`] if the row cannot be fetched.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn raw_probability(&self, row: usize, token: TokenId) -> Result<f64, Error> {
        let known = self.condensed();
        let known = known.and_then(|rows| rows.logit(self.sight.rows[row].row, token));
        let logit = match known {
            Some(logit) => Some(logit),
            None => self.logits(row)?.get(token as usize).copied(),
        };
        let logit = logit.zip(self.raw_stats(row));
        Ok(logit.map_or(0.0, |(logit, stats)| stats.probability(logit)))
    }

    /// The rows, if they are condensed and read by their top.
    fn condensed(&self) -> Option<&'a Condensed> {
        self.sight.answer.condensed().filter(|_| self.sight.by_top)
    }
}
