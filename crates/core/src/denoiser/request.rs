use std::ops::Range;

use ndarray::Array2;

use super::State;
use crate::top_k_rows::{Rows, TopKRequest};
use crate::{Canvas, DenseRows, RowId};

/// Identifies a sequence within a run. An id is never reused there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId(pub u64);

/// One canvas of a [`Request`].
#[derive(Debug, Clone, Copy)]
pub struct SequenceInput<'a> {
    /// The sequence that the canvas belongs to. `None` for a canvas that appears in one request only, as
    /// those of [queries](crate::StepRequest::query_with_masked) and
    /// [branches](crate::StepRequest::query_branch) do. A session keeps no state for it.
    pub id: Option<SequenceId>,
    /// The sequence in its current state.
    pub canvas: &'a Canvas,
    /// The positions whose tokens have changed since this sequence was last in a full forward. All positions
    /// the first time, and for a canvas without an id.
    pub changed: &'a Changed,
}

impl<'a> SequenceInput<'a> {
    /// A canvas that appears in one request only.
    pub fn stateless(canvas: &'a Canvas) -> Self {
        Self { id: None, canvas, changed: &Changed::All }
    }

    /// A batch of canvases, each without an id.
    pub fn stateless_batch(batch: &[&'a Canvas]) -> Vec<Self> {
        batch.iter().copied().map(Self::stateless).collect()
    }

    /// The positions of the canvas's current block, up to its end.
    pub fn open_positions(&self) -> Range<usize> {
        self.canvas.open_positions()
    }
}

/// Which positions of a sequence have changed since its last forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// The sequence is new: every position.
    All,
    /// These positions, ascending, each once.
    Positions(Vec<usize>),
}

/// The format of the rows that a model returns.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Form<'a> {
    /// All logits of every row.
    Dense,
    /// [Top-K rows](crate::top_k_rows) with at least this content, or dense rows, as the model chooses. Draws
    /// may differ between the two, so the choice must not depend on the other sequences of the batch.
    TopK(&'a TopKRequest),
}

/// One call of a model: a batch and the rows to compute.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The canvases; their lengths may differ.
    pub batch: &'a [SequenceInput<'a>],
    /// The rows to compute, ascending by sequence, then by position.
    pub rows: &'a [RowId],
    /// The format of the rows.
    pub form: Form<'a>,
    /// Whether to return the hidden states of the batch as well.
    pub hidden: bool,
}

impl<'a> Request<'a> {
    /// Requests dense rows of a batch, without hidden states.
    pub fn new(batch: &'a [SequenceInput<'a>], rows: &'a [RowId]) -> Self {
        Self { batch, rows, form: Form::Dense, hidden: false }
    }

    /// The canvases of the batch.
    pub fn canvases(&self) -> Vec<&'a Canvas> {
        self.batch.iter().map(|input| input.canvas).collect()
    }

    /// The required content of top-K rows; `None` if rows must be dense.
    pub fn top_k(&self) -> Option<&'a TopKRequest> {
        match self.form {
            Form::Dense => None,
            Form::TopK(top_k) => Some(top_k),
        }
    }
}

/// A model's answer to a [`Request`].
pub struct Answer {
    /// The requested rows, in the request's order.
    pub rows: Rows,
    /// The state from which a sampler layer continues.
    pub state: State,
    /// The hidden states [T, D] of each canvas of the batch, at the input of the output layer. Empty unless
    /// [requested](Request::hidden).
    pub hidden: Vec<Array2<f32>>,
}

impl Answer {
    /// Creates an answer of rows and state, without hidden states.
    pub fn new(rows: impl Into<Rows>, state: State) -> Self {
        Self { rows: rows.into(), state, hidden: Vec::new() }
    }
}

impl From<(DenseRows, State)> for Answer {
    fn from((rows, state): (DenseRows, State)) -> Self {
        Self::new(rows, state)
    }
}
