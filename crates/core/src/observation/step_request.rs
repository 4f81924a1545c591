use crate::schedule::Progress;
use crate::{Canvas, Error, Stream, TokenId};

/// A requested row; [`Observation::query_row`](super::Observation::query_row) returns its index after the
/// forward.
#[must_use = "the row of an unused query is computed for nothing"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query(pub(super) usize);

/// The sequence with further tokens, computed in the same forward; see [`StepRequest::query_branch`].
#[must_use = "the rows of an unused branch are computed for nothing"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Branch(pub(crate) usize);

/// A row requested beside those of the masked positions: that of `position` with the positions `masked`
/// masked too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowQuery {
    pub position: usize,
    /// Ascending, each once.
    pub masked: Vec<usize>,
}

/// The state of one sequence before the forward of a step, with methods to request further rows or to skip
/// the forward.
///
/// The rows of masked positions are always computed.
pub struct StepRequest<'a> {
    canvas: &'a Canvas,
    progress: Progress,
    stream: &'a mut dyn Stream,
    pub(crate) queries: Vec<RowQuery>,
    /// The tokens of each branch.
    pub(crate) branches: Vec<Vec<(usize, TokenId)>>,
    pub(crate) remasks: Vec<usize>,
    pub(crate) skipped: usize,
    pub(crate) hidden: bool,
    /// Whether the strategy has a reviser.
    pub(crate) has_reviser: bool,
}

impl<'a> StepRequest<'a> {
    pub(crate) fn new(canvas: &'a Canvas, progress: Progress, stream: &'a mut dyn Stream) -> Self {
        let (queries, branches, remasks) = (Vec::new(), Vec::new(), Vec::new());
        let (skipped, hidden, has_reviser) = (0, false, false);
        Self { canvas, progress, stream, queries, branches, remasks, skipped, hidden, has_reviser }
    }

    /// The sequence in its current state.
    pub fn canvas(&self) -> &'a Canvas {
        self.canvas
    }

    /// The progress of the sequence in its block.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The random stream of the sequence.
    pub fn stream(&mut self) -> &mut dyn Stream {
        self.stream
    }

    /// Skips the next `steps` steps, this one included: they run no forward and reveal nothing.
    ///
    /// Allowed only while a schedule with a total has steps left. Its last step is never skipped.
    pub fn skip_forward(&mut self, steps: usize) {
        self.skipped = steps;
    }

    /// The number of steps that will be skipped.
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// [Skips](Self::skip_forward) as many steps as reveal nothing.
    pub fn skip_while(&mut self, reveals_nothing: impl Fn(&Progress) -> bool) {
        let mut next = self.progress;
        while !next.is_last() && reveals_nothing(&next) {
            next.step += 1;
        }
        self.skip_forward(next.step - self.progress.step);
    }

    /// Whether the policy or the reviser needs each step's own forward: a row was requested in this step, or there is a
    /// reviser, which may request rows later. The policy plans first, then the reviser, then the unmasker.
    pub fn needs_each_forward(&self) -> bool {
        self.has_reviser || !self.queries.is_empty()
    }

    /// Requests the row of `position` on the current canvas. It costs no further forward. The row of a
    /// revealed position is the model's distribution there, given that token among the others.
    pub fn query(&mut self, position: usize) -> Query {
        self.query_with_masked(position, [])
    }

    /// Requests the row of `position` with the positions `masked` masked too, given ones included.
    ///
    /// Queries that mask the same positions share one more canvas in the batch.
    pub fn query_with_masked(
        &mut self,
        position: usize,
        masked: impl IntoIterator<Item = usize>,
    ) -> Query {
        let mut masked: Vec<usize> =
            masked.into_iter().filter(|&p| !self.canvas.is_masked(p)).collect();
        masked.sort_unstable();
        masked.dedup();
        self.queries.push(RowQuery { position, masked });
        Query(self.queries.len() - 1)
    }

    /// Requests the rows of the sequence with these tokens at masked positions of its block (a draft to
    /// verify).
    ///
    /// It costs one more canvas in the batch. Once the tokens are revealed,
    /// [`Next::Follow`](crate::Next::Follow) continues with these rows.
    pub fn query_branch(&mut self, tokens: impl IntoIterator<Item = (usize, TokenId)>) -> Branch {
        self.branches.push(tokens.into_iter().collect());
        Branch(self.branches.len() - 1)
    }

    /// Requests the hidden states of the sequence; [`Observation::hidden`](super::Observation::hidden)
    /// returns them after the forward. They are copied to the host if they are on a device.
    #[doc(alias = "hidden states")]
    #[doc(alias = "output_hidden_states")]
    pub fn request_hidden(&mut self) {
        self.hidden = true;
    }

    /// Remasks a revealed position in the first skipped step. In a step with a forward, use
    /// [`View::remask`](crate::View::remask).
    pub fn remask(&mut self, position: usize) {
        self.remasks.push(position);
    }
}

impl RowQuery {
    /// Rejects positions that the canvas does not have.
    pub fn check(&self, canvas: &Canvas) -> Result<(), Error> {
        match self.masked.iter().chain([&self.position]).find(|&&p| p >= canvas.len()) {
            Some(&position) => {
                let reason = "it was queried, but the canvas has no such position";
                Err(Error::IllegalMove { position, reason })
            }
            None => Ok(()),
        }
    }
}
