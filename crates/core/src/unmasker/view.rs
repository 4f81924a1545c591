use std::sync::Arc;

use crate::filter::FilterRow;
use crate::schedule::{Progress, Ranked};
use crate::sweep::Backend;
use crate::{
    Beliefs, Canvas, Draw, Error, Filter, Order, RowStats, Schedule, Stream, TokenId, sweep,
};

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

    /// The masked positions of the current block from left to right: at least one, unless the strategy
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

    /// The logits \[V\] of a row after the filters, and the mask id ruled out.
    ///
    /// # Errors
    /// [`Error::EmptyRow`] if only the mask id is possible.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn filtered(&mut self, row: usize) -> Result<&mut [f32], Error> {
        let position = self.load(row)?;
        let logits = &mut self.work.row;
        rule_out_mask(logits, self.sight.canvas, self.sight.sequence, position)?;
        Ok(logits)
    }

    /// The probability of a token in a filtered row.
    ///
    /// # Errors
    /// [`Error::UnknownToken`] if the vocabulary has no such token.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn probability(&mut self, row: usize, token: TokenId) -> Result<f64, Error> {
        self.load(row)?;
        let logit = self.logit(row, token)?;
        Ok(self.work.rows[row].stats.probability(logit))
    }

    /// The logit of a token in the row that is loaded.
    fn logit(&self, row: usize, token: TokenId) -> Result<f32, Error> {
        let size = self.work.row.len();
        self.work.row.get(token as usize).copied().ok_or(Error::UnknownToken {
            sequence: self.sight.sequence,
            token,
            position: self.sight.rows[row].position,
            size,
        })
    }

    /// Says how sure the strategy is of a candidate, where that is not p₁: the probability of a token
    /// that it drew. [Schedules](crate::Schedule::quota) see it.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn set_confidence(&mut self, row: usize, confidence: f64) {
        self.work.rows[row].confidence = confidence;
    }

    /// Ranks the candidates; [`ranked`](Self::ranked) and [`quota`](Self::quota) then answer.
    pub fn rank(&mut self, order: &dyn Order) {
        let mut ranked = std::mem::take(&mut self.work.ranked);
        order.rank(self, &mut ranked);
        self.work.ranked = ranked;
    }

    /// Fills `ranked` with the candidates by a score that looks at the view.
    pub(crate) fn rank_into(
        &mut self,
        ranked: &mut Vec<usize>,
        score: impl Fn(&Self, usize) -> f64,
    ) {
        let mut scores = std::mem::take(&mut self.work.scores);
        let n = self.sight.candidates;
        crate::order::by_score_with(n, |candidate| score(self, candidate), &mut scores, ranked);
        self.work.scores = scores;
    }

    /// Ranks the candidates by a score, the highest first and the leftmost among equals.
    pub fn rank_by(&mut self, score: impl Fn(usize) -> f64) {
        let (n, work) = (self.sight.candidates, &mut *self.work);
        crate::order::by_score_with(n, score, &mut work.scores, &mut work.ranked);
    }

    /// Ranks the candidates by their confidence, the highest first and the leftmost among equals.
    pub fn rank_by_confidence(&mut self) {
        let (n, work) = (self.sight.candidates, &mut *self.work);
        let confidence = |i: usize| work.rows[i].confidence;
        crate::order::by_score_with(n, confidence, &mut work.scores, &mut work.ranked);
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
        if self.sight.candidates == 0 {
            return 0;
        }
        let ranked = Ranked { candidates: self.candidates(), ranked: &self.work.ranked };
        let quota = self.parts.schedule.quota(&self.sight.progress, ranked);
        quota.clamp(1, self.sight.candidates)
    }

    /// Draws a token from a filtered row. The mask id is never drawn.
    ///
    /// # Errors
    /// [`Error::EmptyRow`] if only the mask id is possible, [`Error::UnknownToken`] if a draw of
    /// the user's own leaves the vocabulary.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn draw(&mut self, row: usize) -> Result<Drawn, Error> {
        self.filtered(row)?;
        let token = self.parts.draw.draw(&self.work.row, self.stream) as TokenId;
        let logit = self.logit(row, token)?;
        Ok(Drawn { token, probability: self.work.rows[row].stats.probability(logit) })
    }

    /// Draws a token for the position of a row from logits \[V\] of the strategy's own making: none NaN
    /// or +∞. The mask id is ruled out.
    ///
    /// # Errors
    /// As [`draw`](Self::draw).
    ///
    /// # Panics
    /// If there is no such row.
    pub fn draw_from(&mut self, row: usize, logits: &mut [f32]) -> Result<Drawn, Error> {
        let (sequence, position) = (self.sight.sequence, self.sight.rows[row].position);
        rule_out_mask(logits, self.sight.canvas, sequence, position)?;
        let token = self.parts.draw.draw(logits, self.stream);
        let stats = RowStats::of(logits).ok_or(Error::EmptyRow { sequence, position })?;
        let (size, id) = (logits.len(), token as TokenId);
        let unknown = Error::UnknownToken { sequence, token: id, position, size };
        let logit = *logits.get(token).ok_or(unknown)?;
        Ok(Drawn { token: id, probability: stats.probability(logit) })
    }

    /// An empty list for drawn tokens, with the memory of the last one [kept](Self::keep_drawn).
    pub(super) fn take_drawn(&mut self) -> Vec<Drawn> {
        std::mem::take(&mut self.work.drawn)
    }

    /// Keeps the memory of a list for the next step.
    pub(super) fn keep_drawn(&mut self, mut drawn: Vec<Drawn>) {
        drawn.clear();
        self.work.drawn = drawn;
    }

    /// Says that the sampler passes of this step are to look at these candidates alone: only they meet the output
    /// layer, and only they are candidates then. Without it they are all that is still masked. The step ends
    /// once they are revealed.
    ///
    /// # Panics
    /// If there is no such candidate.
    pub fn narrow_to(&mut self, candidates: impl IntoIterator<Item = usize>) {
        let (rows, window) = (self.sight.rows, &mut self.work.window);
        window.clear();
        window.extend(candidates.into_iter().map(|candidate| rows[candidate].position));
    }

    /// Narrows the sampler passes to the best candidates of the ranking.
    pub(super) fn narrow_to_best(&mut self, count: usize) {
        let best = std::mem::take(&mut self.work.ranked);
        self.narrow_to(best.iter().take(count).copied());
        self.work.ranked = best;
    }

    /// Records that the position of a row, a masked one, is to be revealed.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn reveal(&mut self, row: usize, drawn: Drawn) {
        self.work.reveals.push((self.sight.rows[row].position, drawn));
    }

    /// Records that a revealed position is to be masked again. Remasks are made before reveals.
    pub fn remask(&mut self, position: usize) {
        self.work.remasks.push(position);
    }

    /// Records that the token at a revealed position gives way to another: a remask, then a reveal.
    pub fn replace(&mut self, position: usize, drawn: Drawn) {
        self.work.remasks.push(position);
        self.work.reveals.push((position, drawn));
    }
}

/// Rules the mask id out of a row, in which something must be left.
fn rule_out_mask(
    logits: &mut [f32],
    canvas: &Canvas,
    sequence: usize,
    position: usize,
) -> Result<(), Error> {
    if let Some(mask) = logits.get_mut(canvas.mask() as usize) {
        *mask = f32::NEG_INFINITY;
    }
    match logits.iter().all(|&logit| logit == f32::NEG_INFINITY) {
        true => Err(Error::EmptyRow { sequence, position }),
        false => Ok(()),
    }
}
