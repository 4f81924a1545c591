//! The interface between the loop and a strategy in a denoising step.
//!
//! A [`StepRequest`] comes before the forward: a strategy requests rows beside those of the masked positions.
//! An [`Observation`] comes after it and has the rows and the state of the sequence. It cannot draw a token
//! or reveal a position. So *where* a [policy](crate::policy) reveals is independent of *what* is drawn
//! there. A [`View`] is an observation that can also draw and reveal; unmaskers receive it.

use std::sync::Arc;

use ndarray::ArrayView2;

use crate::blocks::Blocks;
use crate::filter::Memory;
use crate::schedule::Progress;
use crate::top_k_rows::{Rows, TopKRequest, TopKRows, TopMemory};
use crate::{Canvas, Draw, Filter, RowStats, Stream};

mod coupled;
mod loading;
mod rows;
mod step_request;
mod view;

pub(crate) use step_request::RowQuery;
pub use step_request::{Branch, Query, StepRequest};
pub use view::{Drawn, View};

/// The index of a row in an [`Observation`]: the row of a candidate or of a [`Query`].
///
/// It is neither a position of the sequence nor a rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row(usize);

impl Row {
    /// The row of the `n`-th candidate, from left to right.
    pub fn candidate(n: usize) -> Self {
        Self(n)
    }

    /// The index. If it is below the number of candidates, it is the index among them.
    pub fn index(self) -> usize {
        self.0
    }
}

/// A masked position that can be revealed, with the statistics of its filtered row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The position.
    pub position: usize,
    /// Statistics of the row after the filters.
    pub stats: RowStats,
    /// The confidence c: the probability of the drafted token if the unmasker
    /// [drafts](crate::Unmasker::draft), otherwise the largest probability p₁ of the filtered row.
    pub confidence: f64,
}

/// How rows are filtered and drawn from. The sequences of a generator share it.
pub(crate) struct RowConfig {
    pub filter: Arc<dyn Filter>,
    pub draw: Arc<dyn Draw>,
    /// The content of top-K rows that filter and draw need; `None` if they need whole rows.
    pub top_k: Option<TopKRequest>,
    /// V.
    pub vocabulary_size: usize,
}

/// The ranked candidates that a step may reveal, and how many of them it reveals.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Selection {
    /// Rows of [candidates](Observation::candidates) in the order of revealing. The step reveals no other
    /// candidate.
    pub ranked: Vec<Row>,
    /// How many of them the step reveals; clamped to 1 … their number, if there are any.
    pub count: usize,
}

impl Selection {
    /// Selects exactly these candidates, to be revealed in this order.
    pub fn all_of(&mut self, candidates: impl IntoIterator<Item = Row>) {
        self.ranked.clear();
        self.ranked.extend(candidates);
        self.count = self.ranked.len();
    }
}

/// Buffers reused from row to row, and the recorded moves.
#[derive(Default)]
pub(crate) struct Scratch {
    /// The masked positions, then the queries.
    pub rows: Vec<Candidate>,
    scores: Vec<f64>,
    pub row: Vec<f32>,
    filter: Vec<(f32, u32)>,
    /// Statistics of the rows whose top suffices.
    tops: Vec<Option<RowStats>>,
    pub top: TopMemory,
    /// Rows whose draw fell outside of their top, with their indices in the list of draws.
    pub outside: Vec<(usize, Row)>,
    pub selection: Selection,
    /// Which candidates a selection contains.
    pub marked: Vec<bool>,
    pub reveals: Vec<(usize, Drawn)>,
    pub remasks: Vec<usize>,
    /// Tokens for the canvas of the sampler passes only.
    pub drafts: Vec<(usize, Drawn)>,
    /// The positions that the step's sampler passes compute, if not all.
    pub window: Vec<usize>,
    /// Whether they compute the window only, even if it is empty.
    pub narrowed: bool,
    /// Whether the unmasker keeps the block open if it is full now.
    pub keep_open: bool,
    /// Whether the reviser keeps the block open.
    pub kept_by_reviser: bool,
    /// Whether confidences are those of drafted tokens.
    pub drafted: bool,
}

/// A row of a sequence: its position and the index of its logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowRef {
    pub position: usize,
    /// The index of the row in the answer.
    pub row: usize,
}

/// The input of one sequence after a forward or a sampler pass.
#[derive(Clone, Copy)]
pub(crate) struct StepInput<'a> {
    /// Index of the sequence in the request.
    pub sequence: usize,
    /// Denoising steps taken by the sequence.
    pub step: usize,
    /// How often it has [followed](crate::Next::Follow) a branch.
    pub followed: usize,
    pub canvas: &'a Canvas,
    pub blocks: Blocks,
    pub progress: Progress,
    pub round: usize,
    pub answer: &'a Rows,
    pub hidden: Option<ArrayView2<'a, f32>>,
    /// Whether top-K rows are read by their top. This must not depend on the other sequences of the batch.
    pub by_top: bool,
    /// The rows of the candidates from left to right, then those of the queries.
    pub rows: &'a [RowRef],
    pub candidates: usize,
}

/// The rows and the state of one sequence after a forward or a sampler pass.
///
/// The rows of the candidates come first, from left to right, then those of the
/// [queries](StepRequest::query).
pub struct Observation<'a> {
    pub(crate) input: StepInput<'a>,
    pub(crate) config: &'a RowConfig,
    pub(crate) stream: &'a mut dyn Stream,
    memory: &'a mut Memory,
    pub(crate) scratch: &'a mut Scratch,
}

impl<'a> Observation<'a> {
    /// The index of the sequence in the request.
    pub fn sequence(&self) -> usize {
        self.input.sequence
    }

    /// The denoising step of the sequence, counted from 0 over the whole generation.
    pub fn step(&self) -> usize {
        self.input.step
    }

    /// The sequence in its current state. After a sampler pass it includes the
    /// [drafts](crate::View::place_draft) of the step.
    pub fn canvas(&self) -> &'a Canvas {
        self.input.canvas
    }

    /// The number of positions in a block; the number of all generated positions if the generator has one
    /// block. In a block-causal model the first and the last block may be shorter.
    pub fn block_length(&self) -> usize {
        self.input.blocks.length()
    }

    /// The blocks of the generator.
    pub(crate) fn blocks(&self) -> Blocks {
        self.input.blocks
    }

    /// The progress of the sequence in its block.
    pub fn progress(&self) -> &Progress {
        &self.input.progress
    }

    /// 0 right after the denoiser's forward, j after the j-th sampler pass of this step.
    pub fn round(&self) -> usize {
        self.input.round
    }

    /// The masked positions of the current block, before the [end](Canvas::end), from left to right. Empty in
    /// a full block that was [kept open](crate::reviser::Revision::keep_block_open).
    pub fn candidates(&self) -> &[Candidate] {
        &self.scratch.rows[..self.input.candidates]
    }

    /// The rows of the candidates, from left to right.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = Row> + ExactSizeIterator + use<> {
        (0..self.input.candidates).map(Row)
    }

    /// The row of a query of this step. It exists in round 0 only, because sampler passes do not compute
    /// queries.
    pub fn query_row(&self, query: Query) -> Row {
        Row(self.input.candidates + query.0)
    }

    /// The position of a row, and the statistics of the row after the filters.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: Row) -> &Candidate {
        &self.scratch.rows[row.0]
    }

    /// The random stream of the sequence.
    pub fn stream(&mut self) -> &mut dyn Stream {
        self.stream
    }

    /// The hidden states [T, D] of the sequence after the forward, if they were
    /// [requested](StepRequest::request_hidden). Sampler passes do not change them.
    pub fn hidden(&self) -> Option<ArrayView2<'a, f32>> {
        self.input.hidden
    }

    /// Fills `ranked` with the candidates, sorted by a score: the highest first, the leftmost among equals.
    ///
    /// # Errors
    /// Those of the score.
    pub fn rank_by<E>(
        &mut self,
        ranked: &mut Vec<Row>,
        score: impl Fn(&Self, Row) -> Result<f64, E>,
    ) -> Result<(), E> {
        let mut scores = std::mem::take(&mut self.scratch.scores);
        let result = crate::order::by_score(
            self.input.candidates,
            |row| score(self, row),
            &mut scores,
            ranked,
        );
        self.scratch.scores = scores;
        result
    }

    /// The rows, if they are top-K rows and read by their top.
    pub(crate) fn top_k_rows(&self) -> Option<&'a TopKRows> {
        self.input.answer.top_k().filter(|_| self.input.by_top)
    }

    /// The position of a row, and the index of its logits.
    pub(crate) fn place(&self, row: Row) -> RowRef {
        self.input.rows[row.0]
    }

    /// The confidence of a revealed token: that of its candidate if the unmasker drafts, otherwise its
    /// probability.
    pub(crate) fn revealed_confidence(&self, position: usize, drawn: &Drawn) -> f64 {
        let candidates = self.candidates();
        let place = candidates.binary_search_by_key(&position, |candidate| candidate.position);
        let drafted = place.ok().filter(|_| self.scratch.drafted);
        drafted.map_or(drawn.probability, |place| candidates[place].confidence)
    }
}
