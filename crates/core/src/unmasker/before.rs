use crate::schedule::Progress;
use crate::{Canvas, Error, Schedule, Stream};

/// Whether a step needs the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Run the denoiser and [decide](super::Unmasker::decide).
    Forward,
    /// Nothing is revealed in this step and those after it, so many in all: no forward is needed, and the
    /// strategy is asked again after them. 0 counts as 1. Only while a finite schedule has steps left; its
    /// last step is never among them.
    Idle(usize),
}

/// One more row that a strategy wants of a step's forward: what the model believes of `position`
/// once the positions `hidden` are masked too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    pub position: usize,
    /// Ascending, each once.
    pub hidden: Vec<usize>,
}

/// What a strategy sees of one sequence before the forward of a step, and where it asks for rows beside
/// those of the masked positions.
pub struct Before<'a> {
    canvas: &'a Canvas,
    progress: Progress,
    schedule: &'a dyn Schedule,
    stream: &'a mut dyn Stream,
    pub(crate) questions: Vec<Question>,
    pub(crate) remasks: Vec<usize>,
}

impl<'a> Before<'a> {
    pub(crate) fn new(
        canvas: &'a Canvas,
        progress: Progress,
        schedule: &'a dyn Schedule,
        stream: &'a mut dyn Stream,
    ) -> Self {
        Self { canvas, progress, schedule, stream, questions: Vec::new(), remasks: Vec::new() }
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

    /// [`Turn::Idle`] for as many steps as a finite schedule plans no token for, if any.
    pub fn planned(&self) -> Turn {
        self.idle_while(|ahead| self.schedule.plan(ahead) == 0)
    }

    /// [`Turn::Idle`] for as many steps as reveal nothing, if any.
    pub(super) fn idle_while(&self, reveals_nothing: impl Fn(&Progress) -> bool) -> Turn {
        let mut ahead = self.progress;
        while !ahead.is_last() && reveals_nothing(&ahead) {
            ahead.step += 1;
        }
        match ahead.step - self.progress.step {
            0 => Turn::Forward,
            idle => Turn::Idle(idle),
        }
    }

    /// Asks for the row of `position` on the canvas as it stands, which costs no further forward. For a
    /// revealed position it is what the model would put there, seeing what is there.
    ///
    /// The n-th question is answered by row [`View::answer`](super::View::answer)`(n)`.
    pub fn ask(&mut self, position: usize) {
        self.ask_without(position, []);
    }

    /// Asks for the row of `position` on the canvas with the positions `hidden` masked too, given ones
    /// included if so wished. Questions with the same `hidden` share one more forward of this
    /// sequence, in the same batch.
    pub fn ask_without(&mut self, position: usize, hidden: impl IntoIterator<Item = usize>) {
        let mut hidden: Vec<usize> =
            hidden.into_iter().filter(|&p| !self.canvas.is_masked(p)).collect();
        hidden.sort_unstable();
        hidden.dedup();
        self.questions.push(Question { position, hidden });
    }

    /// Records that a revealed position is to be masked again, before the first idle step ends. In a step with
    /// a forward the strategy does so [afterwards](super::View::remask).
    pub fn remask(&mut self, position: usize) {
        self.remasks.push(position);
    }
}

impl Question {
    /// Refuses positions that the canvas does not have.
    pub fn check(&self, canvas: &Canvas) -> Result<(), Error> {
        match self.hidden.iter().chain([&self.position]).find(|&&p| p >= canvas.len()) {
            Some(&position) => {
                let reason = "a question was asked about it, but the canvas has no such position";
                Err(Error::IllegalMove { position, reason })
            }
            None => Ok(()),
        }
    }
}
