use std::sync::Arc;

use crate::filter::FilterRow;
use crate::schedule::{Progress, Ranked};
use crate::{Beliefs, Canvas, Draw, Error, Filter, Order, RowStats, Schedule, Stream, TokenId};

/// One masked position that may be revealed, with the statistics of its filtered row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The position.
    pub position: usize,
    /// Statistics of the row after the filters.
    pub stats: RowStats,
}

/// A token drawn, and how probable it was in the filtered row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drawn {
    /// The token.
    pub token: TokenId,
    /// Its probability.
    pub probability: f64,
}

/// The roles that all sequences of a generator share.
pub(crate) struct Parts {
    pub filter: Arc<dyn Filter>,
    pub schedule: Arc<dyn Schedule>,
    pub draw: Arc<dyn Draw>,
    /// V.
    pub vocabulary_size: usize,
}

/// Memory reused from row to row, and the moves recorded.
#[derive(Default)]
pub(crate) struct Work {
    candidates: Vec<Candidate>,
    ranked: Vec<usize>,
    row: Vec<f32>,
    scratch: Vec<(f32, u32)>,
    pub reveals: Vec<(usize, Drawn)>,
    pub remasks: Vec<usize>,
}

/// What a strategy sees of one sequence, and where it records its moves.
pub struct View<'a> {
    sequence: usize,
    canvas: &'a Canvas,
    progress: Progress,
    round: usize,
    beliefs: &'a Beliefs,
    first_row: usize,
    parts: &'a Parts,
    stream: &'a mut dyn Stream,
    work: &'a mut Work,
}

impl<'a> View<'a> {
    /// Filters and sweeps the rows of one sequence: those of its masked positions, which begin at
    /// `first_row` of `beliefs`.
    #[allow(clippy::too_many_arguments)] // private, called in one place
    pub(crate) fn new(
        sequence: usize,
        canvas: &'a Canvas,
        progress: Progress,
        round: usize,
        beliefs: &'a Beliefs,
        first_row: usize,
        parts: &'a Parts,
        stream: &'a mut dyn Stream,
        work: &'a mut Work,
    ) -> Result<Self, Error> {
        work.candidates.clear();
        work.ranked.clear();
        work.reveals.clear();
        work.remasks.clear();
        let mut view =
            Self { sequence, canvas, progress, round, beliefs, first_row, parts, stream, work };
        for (n, position) in canvas.masked().enumerate() {
            view.load(n, position)?;
            let stats =
                RowStats::of(&view.work.row).ok_or(Error::EmptyRow { sequence, position })?;
            view.work.candidates.push(Candidate { position, stats });
        }
        Ok(view)
    }

    /// Brings the n-th masked row, checked and filtered, into `work.row`.
    fn load(&mut self, n: usize, position: usize) -> Result<(), Error> {
        let logits = self.beliefs.logits(self.first_row + n);
        if let Some((token, &value)) =
            logits.iter().enumerate().find(|(_, l)| l.is_nan() || **l == f32::INFINITY)
        {
            return Err(Error::NonFinite { sequence: self.sequence, position, token, value });
        }
        let work = &mut *self.work;
        work.row.clear();
        work.row.extend_from_slice(logits);
        self.parts.filter.apply(&mut FilterRow {
            logits: &mut work.row,
            position,
            canvas: self.canvas,
            scratch: &mut work.scratch,
        });
        Ok(())
    }

    /// The sequence as it stands.
    pub fn canvas(&self) -> &Canvas {
        self.canvas
    }

    /// Where the sequence stands in its block.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// 0 right after the denoiser's forward, j after the j-th sampler pass of this step.
    pub fn round(&self) -> usize {
        self.round
    }

    /// The masked positions of the current block from left to right: at least one.
    pub fn candidates(&self) -> &[Candidate] {
        &self.work.candidates
    }

    /// The randomness of this sequence.
    pub fn stream(&mut self) -> &mut dyn Stream {
        self.stream
    }

    /// The logits \[V\] of a candidate as the model gave them, before any filter.
    pub fn logits(&self, candidate: usize) -> &[f32] {
        self.beliefs.logits(self.first_row + candidate)
    }

    /// Statistics of a candidate's row before any filter.
    pub fn raw_stats(&self, candidate: usize) -> Option<RowStats> {
        RowStats::of(self.logits(candidate))
    }

    /// Ranks the candidates; [`ranked`](Self::ranked) and [`quota`](Self::quota) then answer.
    pub fn rank(&mut self, order: &dyn Order) {
        let mut ranked = std::mem::take(&mut self.work.ranked);
        order.rank(self, &mut ranked);
        self.work.ranked = ranked;
    }

    /// Ranks the candidates by a score, the highest first and the leftmost among equals.
    pub fn rank_by(&mut self, score: impl Fn(usize) -> f64) {
        crate::order::by_score(self.work.candidates.len(), score, &mut self.work.ranked);
    }

    /// The candidate on the given rank, 0 being the best.
    ///
    /// # Panics
    /// If the rank is not below the number of candidates, or nothing has been ranked.
    pub fn ranked(&self, rank: usize) -> usize {
        self.work.ranked[rank]
    }

    /// How many of the ranked candidates the schedule wants revealed in this step: at least 1 and
    /// at most all.
    pub fn quota(&self) -> usize {
        let ranked = Ranked { candidates: &self.work.candidates, ranked: &self.work.ranked };
        let quota = self.parts.schedule.quota(&self.progress, ranked);
        quota.clamp(1, self.work.candidates.len())
    }

    /// Draws a token for a candidate from its filtered row. The mask id is never drawn.
    ///
    /// # Errors
    /// [`Error::EmptyRow`] if only the mask id is possible, [`Error::UnknownToken`] if a draw of
    /// the user's own leaves the vocabulary.
    ///
    /// # Panics
    /// If there is no such candidate.
    pub fn draw(&mut self, candidate: usize) -> Result<Drawn, Error> {
        let Candidate { position, stats } = self.work.candidates[candidate];
        self.load(candidate, position)?;
        let row = &mut self.work.row;
        if let Some(mask) = row.get_mut(self.canvas.mask() as usize) {
            *mask = f32::NEG_INFINITY;
        }
        if row.iter().all(|&logit| logit == f32::NEG_INFINITY) {
            return Err(Error::EmptyRow { sequence: self.sequence, position });
        }
        let token = self.parts.draw.draw(row, self.stream);
        let size = row.len();
        let logit = *row.get(token).ok_or(Error::UnknownToken {
            sequence: self.sequence,
            token: token as TokenId,
            position,
            size,
        })?;
        Ok(Drawn { token: token as TokenId, probability: stats.probability(logit) })
    }

    /// Records that a candidate is to be revealed.
    ///
    /// # Panics
    /// If there is no such candidate.
    pub fn reveal(&mut self, candidate: usize, drawn: Drawn) {
        self.work.reveals.push((self.work.candidates[candidate].position, drawn));
    }

    /// Records that a revealed position is to be masked again.
    pub fn remask(&mut self, position: usize) {
        self.work.remasks.push(position);
    }
}
