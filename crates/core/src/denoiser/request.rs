use std::ops::Range;

use ndarray::Array2;

use super::State;
use crate::top_k_rows::{Rows, TopKRequest};
use crate::{Canvas, DenseRows, RowId};

/// Identifies a sequence for as long as it is generated. Never used again within a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId(pub u64);

/// One canvas of a [`Request`].
#[derive(Debug, Clone, Copy)]
pub struct SequenceInput<'a> {
    /// The sequence it belongs to. `None` for a canvas that is shown only once, such as one with positions hidden
    /// for a [question](crate::StepRequest::query_with_masked) or tokens [ahead](crate::StepRequest::query_branch): a session has nothing to remember of it.
    pub id: Option<SequenceId>,
    /// The sequence as it stands.
    pub canvas: &'a Canvas,
    /// The positions whose tokens have changed since this sequence was last in a full forward, ascending. All positions
    /// the first time, and for a canvas without an id.
    pub changed: &'a Changed,
}

impl<'a> SequenceInput<'a> {
    /// A canvas that is shown only once.
    pub fn stateless(canvas: &'a Canvas) -> Self {
        Self { id: None, canvas, changed: &Changed::All }
    }

    /// A batch of canvases, each shown only once.
    pub fn stateless_batch(batch: &[&'a Canvas]) -> Vec<Self> {
        batch.iter().copied().map(Self::stateless).collect()
    }

    /// The positions being worked on: the canvas's current block, up to its end.
    pub fn region(&self) -> Range<usize> {
        self.canvas.open()
    }
}

/// Which positions of a sequence have changed since it was last shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// The sequence is new: every position.
    All,
    /// These positions, ascending, each once.
    Positions(Vec<usize>),
}

/// How rows are to be answered.
#[derive(Debug, Clone, Copy)]
pub enum Form<'a> {
    /// All logits of every row.
    Dense,
    /// [Top-K rows](crate::condensed) that hold this much will do. A model may answer dense rows all the same,
    /// but must not let the neighbours in a batch decide which of the two it answers.
    TopK(&'a TopKRequest),
}

/// What a model is asked in one call.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The canvases; their lengths may differ.
    pub batch: &'a [SequenceInput<'a>],
    /// The rows to compute, ascending: sequence by sequence, and from left to right.
    pub rows: &'a [RowId],
    /// How to answer them.
    pub form: Form<'a>,
    /// Whether the hidden states of the batch are to be given out as well.
    pub hidden: bool,
}

impl<'a> Request<'a> {
    /// Dense rows of a batch, without hidden states.
    pub fn new(batch: &'a [SequenceInput<'a>], rows: &'a [RowId]) -> Self {
        Self { batch, rows, form: Form::Dense, hidden: false }
    }

    /// The canvases alone.
    pub fn canvases(&self) -> Vec<&'a Canvas> {
        self.batch.iter().map(|shown| shown.canvas).collect()
    }

    /// What top-K rows must hold; `None` if rows are to be dense.
    pub fn top_k(&self) -> Option<&'a TopKRequest> {
        match self.form {
            Form::Dense => None,
            Form::TopK(top_k) => Some(top_k),
        }
    }
}

/// What a model answers to a [`Request`].
pub struct Answer {
    /// The rows asked for, in their order.
    pub rows: Rows,
    /// What a sampler layer continues from.
    pub state: State,
    /// The hidden states [T, D] of each canvas of the batch, as the output layer sees them, where they were asked for.
    pub hidden: Vec<Array2<f32>>,
}

impl Answer {
    /// Rows and state, without hidden states.
    pub fn new(rows: impl Into<Rows>, state: State) -> Self {
        Self { rows: rows.into(), state, hidden: Vec::new() }
    }
}

impl From<(DenseRows, State)> for Answer {
    fn from((beliefs, state): (DenseRows, State)) -> Self {
        Self::new(beliefs, state)
    }
}
