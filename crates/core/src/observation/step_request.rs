use crate::schedule::Progress;
use crate::{Canvas, Error, Stream, TokenId};

/// A row that was asked for before a forward; [`Observation::query_row`](super::Observation::query_row) gives its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query(pub(super) usize);

/// A canvas ahead of the sequence, which is in the same forward; see [`StepRequest::query_branch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Branch(pub(crate) usize);

/// One more row of a step's forward: the row of `position` once the positions `hidden` are masked too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub position: usize,
    /// Ascending, each once.
    pub hidden: Vec<usize>,
}

/// What is seen of one sequence before the forward of a step, and where rows beside those of the masked
/// positions are asked for.
pub struct StepRequest<'a> {
    canvas: &'a Canvas,
    progress: Progress,
    stream: &'a mut dyn Stream,
    pub(crate) asked: Vec<Asked>,
    /// The tokens of each branch.
    pub(crate) ahead: Vec<Vec<(usize, TokenId)>>,
    pub(crate) remasks: Vec<usize>,
    pub(crate) skipped: usize,
    pub(crate) hidden: bool,
}

impl<'a> StepRequest<'a> {
    pub(crate) fn new(canvas: &'a Canvas, progress: Progress, stream: &'a mut dyn Stream) -> Self {
        let (asked, ahead, remasks) = (Vec::new(), Vec::new(), Vec::new());
        Self { canvas, progress, stream, asked, ahead, remasks, skipped: 0, hidden: false }
    }

    /// The sequence as it stands.
    pub fn canvas(&self) -> &'a Canvas {
        self.canvas
    }

    /// Where the sequence stands in its block.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The randomness of this sequence.
    pub fn stream(&mut self) -> &mut dyn Stream {
        self.stream
    }

    /// Skips the forward of this step and of those after it, `steps` in all: nothing is revealed in them. Only while a
    /// finite schedule has steps left; its last step is never skipped. 0 skips nothing.
    pub fn skip_forward(&mut self, steps: usize) {
        self.skipped = steps;
    }

    /// How many steps are skipped as it stands.
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// [Skips](Self::skip_forward) as many steps as reveal nothing.
    pub fn skip_while(&mut self, reveals_nothing: impl Fn(&Progress) -> bool) {
        let mut ahead = self.progress;
        while !ahead.is_last() && reveals_nothing(&ahead) {
            ahead.step += 1;
        }
        self.skip_forward(ahead.step - self.progress.step);
    }

    /// Asks for the row of `position` on the canvas as it stands, which costs no further forward. For a
    /// revealed position it is what the model would put there, seeing what is there.
    pub fn query(&mut self, position: usize) -> Query {
        self.query_with_masked(position, [])
    }

    /// Asks for the row of `position` on the canvas with the positions `hidden` masked too, given ones included.
    /// Questions with the same `hidden` share one more forward of this sequence, in the same batch.
    pub fn query_with_masked(
        &mut self,
        position: usize,
        hidden: impl IntoIterator<Item = usize>,
    ) -> Query {
        let mut hidden: Vec<usize> =
            hidden.into_iter().filter(|&p| !self.canvas.is_masked(p)).collect();
        hidden.sort_unstable();
        hidden.dedup();
        self.asked.push(Asked { position, hidden });
        Query(self.asked.len() - 1)
    }

    /// Asks for the rows of the sequence as it will stand if these masked positions of its block get these tokens. They
    /// cost one more canvas in the batch. Once the tokens are revealed, [`Next::Follow`](crate::Next::Follow) goes on
    /// with these rows.
    pub fn query_branch(&mut self, tokens: impl IntoIterator<Item = (usize, TokenId)>) -> Branch {
        self.ahead.push(tokens.into_iter().collect());
        Branch(self.ahead.len() - 1)
    }

    /// Asks for the hidden states of the sequence, which
    /// [`Observation::hidden`](super::Observation::hidden) then gives. On a device they are copied to the host.
    pub fn request_hidden(&mut self) {
        self.hidden = true;
    }

    /// Records that a revealed position is masked again before the first skipped step ends. In a step with a
    /// forward this is done [afterwards](crate::View::remask).
    pub fn remask(&mut self, position: usize) {
        self.remasks.push(position);
    }
}

impl Asked {
    /// Rejects positions that the canvas does not have.
    pub fn check(&self, canvas: &Canvas) -> Result<(), Error> {
        match self.hidden.iter().chain([&self.position]).find(|&&p| p >= canvas.len()) {
            Some(&position) => {
                let reason = "it was queried, but the canvas has no such position";
                Err(Error::IllegalMove { position, reason })
            }
            None => Ok(()),
        }
    }
}
