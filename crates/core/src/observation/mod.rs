//! What is seen of one sequence in a denoising step.
//!
//! An [`Observation`] gives the rows of a step and what is known of the sequence. It cannot draw a token or reveal a
//! position: that is what keeps *where* a [policy](crate::policy) reveals independent of *what* is drawn there.
//! A [`StepRequest`] is its counterpart before the forward: it asks for rows beside those of the masked positions.

use std::sync::Arc;

use ndarray::ArrayView2;

use crate::filter::Memory;
use crate::schedule::Progress;
use crate::top_k_rows::{Rows, TopKRequest, TopKRows, TopMemory};
use crate::{Canvas, Draw, Filter, RowStats, Stream};

mod coupled;
mod loading;
mod rows;
mod step_request;
mod view;

pub(crate) use step_request::Asked;
pub use step_request::{Branch, Query, StepRequest};
pub use view::{Drawn, View};

/// A row of an [`Observation`]: that of a candidate, or one that answers a [`Query`].
///
/// Not a position of the sequence, and not a place in a ranking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row(usize);

impl Row {
    /// The row of the `n`-th candidate, from left to right.
    pub fn candidate(n: usize) -> Self {
        Self(n)
    }

    /// Its place: below the number of candidates, that among them.
    pub fn index(self) -> usize {
        self.0
    }
}

/// One masked position that may be revealed, with the statistics of its filtered row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The position.
    pub position: usize,
    /// Statistics of the row after the filters.
    pub stats: RowStats,
    /// c: the largest probability p₁ of the filtered row, unless the unmasker [drafts](crate::Unmasker::draft): then
    /// the probability of the token that it drew there.
    pub confidence: f64,
}

/// How rows are filtered and drawn from; sequences of one generator share it.
pub(crate) struct RowConfig {
    pub filter: Arc<dyn Filter>,
    pub draw: Arc<dyn Draw>,
    /// What filter and draw must know of top-K rows; `None` if they need whole rows.
    pub top_k: Option<TopKRequest>,
    /// V.
    pub vocabulary_size: usize,
}

/// The candidates of a step that may be revealed, ranked, and how many of them are.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Rows of [candidates](Observation::candidates), the first to be revealed in front. In the rest of the step no other
    /// candidate is revealed.
    pub ranked: Vec<Row>,
    /// How many of them to reveal in this step. Brought within 1 and their number, if there are any.
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

/// Memory reused from row to row, and the moves recorded.
#[derive(Default)]
pub(crate) struct Scratch {
    /// The masked positions, then the answers.
    pub rows: Vec<Candidate>,
    scores: Vec<f64>,
    pub row: Vec<f32>,
    filter: Vec<(f32, u32)>,
    /// Statistics of the rows whose top suffices.
    tops: Vec<Option<RowStats>>,
    pub top: TopMemory,
    /// Rows whose draw fell outside of their top, with their places in the list of draws.
    pub outside: Vec<(usize, Row)>,
    pub selection: Selection,
    /// Which candidates a selection has.
    pub marked: Vec<bool>,
    pub reveals: Vec<(usize, Drawn)>,
    pub remasks: Vec<usize>,
    /// Tokens for the canvas of the sampler passes alone.
    pub drafts: Vec<(usize, Drawn)>,
    /// The positions that the step's sampler passes look at, if not all.
    pub window: Vec<usize>,
    /// Whether they look at the window alone, empty or not.
    pub narrowed: bool,
    /// Whether the unmasker keeps the block open even if it is full now.
    pub keep_open: bool,
    /// Whether the reviser keeps it open.
    pub kept_by_reviser: bool,
    /// Whether confidences are those of drafted tokens.
    pub drafted: bool,
}

/// One row that a sequence is shown: its position, and where its logits are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowRef {
    pub position: usize,
    /// The row of the answer.
    pub row: usize,
}

/// What one sequence is shown of a forward or a sampler pass.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    /// Index of the sequence in the request.
    pub sequence: usize,
    /// Denoising steps taken by the sequence.
    pub step: usize,
    /// How often it has [followed](crate::Next::Follow) a branch.
    pub followed: usize,
    pub canvas: &'a Canvas,
    pub block_length: usize,
    pub progress: Progress,
    pub round: usize,
    pub answer: &'a Rows,
    pub hidden: Option<ArrayView2<'a, f32>>,
    /// Whether top-K rows are read by their top; no neighbour in the batch decides that.
    pub by_top: bool,
    /// The candidates from left to right, then the answers to the queries.
    pub rows: &'a [RowRef],
    pub candidates: usize,
}

/// What is seen of one sequence after a forward or a sampler pass.
///
/// Rows are numbered: the candidates come first, from left to right, then the answers to what was
/// [asked](StepRequest::query) before the forward.
pub struct Observation<'a> {
    pub(crate) seen: Seen<'a>,
    pub(crate) config: &'a RowConfig,
    pub(crate) stream: &'a mut dyn Stream,
    memory: &'a mut Memory,
    pub(crate) scratch: &'a mut Scratch,
}

impl<'a> Observation<'a> {
    /// The index of the sequence in the request.
    pub fn sequence(&self) -> usize {
        self.seen.sequence
    }

    /// The denoising step of the sequence, counted from 0 over the whole generation.
    pub fn step(&self) -> usize {
        self.seen.step
    }

    /// The sequence as it stands; after a sampler pass with the tokens that are
    /// [supposed](crate::View::place_draft) in this step.
    pub fn canvas(&self) -> &'a Canvas {
        self.seen.canvas
    }

    /// The number of positions in a block; all that are generated if the generator has one block.
    pub fn block_length(&self) -> usize {
        self.seen.block_length
    }

    /// Where the sequence stands in its block.
    pub fn progress(&self) -> &Progress {
        &self.seen.progress
    }

    /// 0 right after the denoiser's forward, j after the j-th sampler pass of this step.
    pub fn round(&self) -> usize {
        self.seen.round
    }

    /// The masked positions of the current block, before the [end](Canvas::end), from left to right. None if a full
    /// block was [kept open](crate::reviser::Revision::keep_block_open).
    pub fn candidates(&self) -> &[Candidate] {
        &self.scratch.rows[..self.seen.candidates]
    }

    /// The rows of the candidates, from left to right.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = Row> + ExactSizeIterator + use<> {
        (0..self.seen.candidates).map(Row)
    }

    /// The row that answers a query of this step. After the full forward only: sampler passes answer none, and in their
    /// rounds there is no such row.
    pub fn query_row(&self, query: Query) -> Row {
        Row(self.seen.candidates + query.0)
    }

    /// The position of a row and the statistics of the row after the filters.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: Row) -> &Candidate {
        &self.scratch.rows[row.0]
    }

    /// The randomness of this sequence.
    pub fn stream(&mut self) -> &mut dyn Stream {
        self.stream
    }

    /// The hidden states [T, D] of the sequence after the forward, if they were
    /// [asked for](StepRequest::request_hidden). Sampler passes do not change them.
    pub fn hidden(&self) -> Option<ArrayView2<'a, f32>> {
        self.seen.hidden
    }

    /// Fills `ranked` with the candidates by a score, the highest first and the leftmost among equals.
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
            self.seen.candidates,
            |row| score(self, row),
            &mut scores,
            ranked,
        );
        self.scratch.scores = scores;
        result
    }

    /// The rows, if they are condensed and read by their top.
    pub(crate) fn condensed(&self) -> Option<&'a TopKRows> {
        self.seen.answer.condensed().filter(|_| self.seen.by_top)
    }

    /// Where a row is, and its position.
    pub(crate) fn place(&self, row: Row) -> RowRef {
        self.seen.rows[row.0]
    }

    /// How sure of a token just drawn the unmasker is: the drafted confidence of its candidate, else its probability.
    pub(crate) fn sureness(&self, position: usize, drawn: &Drawn) -> f64 {
        let candidates = self.candidates();
        let place = candidates.binary_search_by_key(&position, |candidate| candidate.position);
        let drafted = place.ok().filter(|_| self.scratch.drafted);
        drafted.map_or(drawn.probability, |place| candidates[place].confidence)
    }
}
