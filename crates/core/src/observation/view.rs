//! Tokens drawn from the rows of a step, and the moves an unmasker makes with them.

use std::ops::{Deref, DerefMut};

use super::rows::rule_out;
use super::{Observation, Row};
use crate::draw::TopRule;
use crate::top_k_rows::TopMemory;
use crate::{Error, Order, RowStats, TokenId};

/// A token drawn, and how probable it was in the filtered row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drawn {
    /// The token.
    pub token: TokenId,
    /// Its probability.
    pub probability: f64,
}

/// An [`Observation`] that can also draw tokens and record moves: what an unmasker works on.
///
/// Rows are numbered as in the observation: the candidates first, from left to right, then the answers to queries.
pub struct View<'a>(pub(crate) Observation<'a>);

impl<'a> Deref for View<'a> {
    type Target = Observation<'a>;

    fn deref(&self) -> &Observation<'a> {
        &self.0
    }
}

impl<'a> DerefMut for View<'a> {
    fn deref_mut(&mut self) -> &mut Observation<'a> {
        &mut self.0
    }
}

/// What a top-K row's top says of a draw.
enum Choice {
    /// This token.
    Token(Drawn),
    /// One outside of the top.
    Rest,
    /// Nothing: the row is dense, or the whole of it is needed.
    NeedsFullRow,
}

impl View<'_> {
    /// The candidate on a rank of the policy's ranking, 0 being the first to be revealed.
    ///
    /// # Panics
    /// If the rank is not below the number of candidates that the policy ranked.
    pub fn ranked(&self, rank: usize) -> Row {
        self.scratch.selection.ranked[rank]
    }

    /// How many more tokens the policy reveals in this step: at least 1 while there are candidates, and at most all that
    /// it ranked. All candidates for an unmasker that [decides alone](crate::unmasker::Control).
    pub fn quota(&self) -> usize {
        let selection = &self.scratch.selection;
        selection.count.clamp(1, selection.ranked.len().max(1)).min(selection.ranked.len())
    }

    /// Ranks all candidates by another order than the policy's, for unmaskers that
    /// [choose for themselves](crate::unmasker::Control).
    ///
    /// # Errors
    /// Those of the order.
    pub fn rank(&mut self, order: &dyn Order) -> Result<(), Error> {
        let mut ranked = std::mem::take(&mut self.scratch.selection.ranked);
        let result = order.rank(&mut self.0, &mut ranked);
        self.scratch.selection.ranked = ranked;
        result
    }

    /// [Ranks](Self::rank) all candidates by a score, the highest first and the leftmost among equals.
    pub fn rank_by(&mut self, score: impl Fn(Row) -> f64) {
        let mut ranked = std::mem::take(&mut self.scratch.selection.ranked);
        let scored: Result<(), std::convert::Infallible> =
            self.0.rank_by(&mut ranked, |_, row| Ok(score(row)));
        scored.unwrap_or_else(|never| match never {});
        self.scratch.selection.ranked = ranked;
    }

    /// [Ranks](Self::rank) all candidates by their confidence, the highest first and the leftmost among equals.
    pub fn rank_by_confidence(&mut self) {
        let mut ranked = std::mem::take(&mut self.scratch.selection.ranked);
        let scored: Result<(), std::convert::Infallible> =
            self.0.rank_by(&mut ranked, |rows, row| Ok(rows.row(row).confidence));
        scored.unwrap_or_else(|never| match never {});
        self.scratch.selection.ranked = ranked;
    }

    /// Draws a token from a filtered row. The mask id is never drawn.
    ///
    /// From a top-K row it is drawn by its top, and the row is fetched only if the draw falls outside of that:
    /// the same law, with another use of the randomness.
    ///
    /// # Errors
    /// [`Error::EmptyRow`] if only the mask id is possible, [`Error::UnknownToken`] if a draw of
    /// the user's own leaves the vocabulary, [`Error::Model`] if a row cannot be fetched.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn draw(&mut self, row: Row) -> Result<Drawn, Error> {
        match self.choose(row)? {
            Choice::Token(drawn) => Ok(drawn),
            Choice::Rest => self.draw_rest(row),
            Choice::NeedsFullRow => self.draw_whole(row),
        }
    }

    /// Draws a token from each of these filtered rows and appends it to `drawn`. Top-K rows of which the draw falls
    /// outside of the top are fetched together.
    ///
    /// # Errors
    /// As [`draw`](Self::draw).
    ///
    /// # Panics
    /// If there is no such row.
    pub fn draw_all(
        &mut self,
        rows: impl IntoIterator<Item = Row>,
        drawn: &mut Vec<Drawn>,
    ) -> Result<(), Error> {
        let mut outside = std::mem::take(&mut self.scratch.outside);
        outside.clear();
        for row in rows {
            drawn.push(match self.choose(row)? {
                Choice::NeedsFullRow => self.draw_whole(row)?,
                Choice::Token(drawn) => drawn,
                Choice::Rest => {
                    outside.push((drawn.len(), row));
                    Drawn { token: 0, probability: 0.0 } // until its row is fetched
                }
            });
        }
        if let Some(condensed) = self.condensed().filter(|_| !outside.is_empty()) {
            let rows = outside.iter().map(|&(_, row)| self.place(row).row);
            let rows: Vec<usize> = rows.collect();
            condensed.fetch(&rows)?;
        }
        for &(place, row) in &outside {
            drawn[place] = self.draw_rest(row)?;
        }
        self.scratch.outside = outside;
        Ok(())
    }

    /// Draws a token for the position of a row from logits \[V\] of the unmasker's own making: none NaN
    /// or +∞. The mask id is ruled out.
    ///
    /// # Errors
    /// As [`draw`](Self::draw).
    ///
    /// # Panics
    /// If there is no such row.
    pub fn draw_from(&mut self, row: Row, logits: &mut [f32]) -> Result<Drawn, Error> {
        let (sequence, position) = (self.seen.sequence, self.place(row).position);
        let empty = || Error::EmptyRow { sequence, position };
        rule_out(self.seen.canvas.mask(), logits).then_some(()).ok_or_else(empty)?;
        let token = self.config.draw.draw(logits, self.0.stream);
        let stats = RowStats::of(logits).ok_or_else(empty)?;
        let (size, id) = (logits.len(), token as TokenId);
        let unknown = Error::UnknownToken { sequence, token: id, position, size };
        let logit = *logits.get(token).ok_or(unknown)?;
        Ok(Drawn { token: id, probability: stats.probability(logit) })
    }

    /// Reports how probable the token is that was [drafted](crate::Unmasker::draft) for a candidate. Policies see it as
    /// its confidence.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn set_confidence(&mut self, row: Row, confidence: f64) {
        self.0.scratch.rows[row.index()].confidence = confidence;
        self.0.scratch.drafted = true;
    }

    /// Restricts the rest of the step to these candidates. The output layer then runs on their rows only, and the step
    /// ends once they are revealed. Without it the rest of the step is open to all that the policy ranked; with none the step is over.
    ///
    /// # Panics
    /// If there is no such candidate.
    pub fn narrow_to(&mut self, candidates: impl IntoIterator<Item = Row>) {
        let (rows, window) = (self.0.seen.rows, &mut self.0.scratch.window);
        self.0.scratch.narrowed = true;
        window.clear();
        window.extend(candidates.into_iter().map(|row| rows[row.index()].position));
    }

    /// [Restricts](Self::narrow_to) the rest of the step to the first `count` candidates of the ranking.
    pub fn narrow_to_best(&mut self, count: usize) {
        let ranked = std::mem::take(&mut self.scratch.selection.ranked);
        self.narrow_to(ranked.iter().take(count).copied());
        self.scratch.selection.ranked = ranked;
    }

    /// Records that the position of a row, a masked one, is revealed.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn reveal(&mut self, row: Row, drawn: Drawn) {
        let position = self.place(row).position;
        self.scratch.reveals.push((position, drawn));
    }

    /// Supposes a token at the masked position of a row: the sampler passes of this step see it there. The sequence stays
    /// as it is, and once the step is over nothing is left of it. From then on nothing is revealed or masked again in the
    /// step.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn place_draft(&mut self, row: Row, drawn: Drawn) {
        let position = self.place(row).position;
        self.scratch.drafts.push((position, drawn));
    }

    /// Records that a revealed position is masked again. Remasks are made before reveals.
    pub fn remask(&mut self, position: usize) {
        self.scratch.remasks.push(position);
    }

    /// Records that another token replaces the one at a revealed position: a remask, then a reveal.
    pub fn replace(&mut self, position: usize, drawn: Drawn) {
        self.scratch.remasks.push(position);
        self.scratch.reveals.push((position, drawn));
    }

    /// Keeps the block open even if it is full after this step, so that its tokens can be looked at once more. A step
    /// of a full block must change a token to keep it open again. A block that is not full stays open anyway.
    pub fn keep_block_open(&mut self) {
        self.scratch.keep_open = true;
    }

    /// Chooses among the tokens of a row's top, and the rest of it as a whole.
    fn choose(&mut self, row: Row) -> Result<Choice, Error> {
        let stats = self.row(row).stats;
        let (sequence, position) = (self.seen.sequence, self.place(row).position);
        let (mask, rule) = (self.seen.canvas.mask(), self.config.draw.top_rule());
        let Some(mut top) = self.sufficient_top(row) else { return Ok(Choice::NeedsFullRow) };
        if !top.rule_out(mask) {
            return Ok(Choice::NeedsFullRow);
        }
        let Some(rest) = top.rest_mass() else { return Ok(Choice::NeedsFullRow) };
        let Some(&(first, token)) = top.entries().first() else {
            let empty = Error::EmptyRow { sequence, position };
            return if top.has_rest() { Ok(Choice::NeedsFullRow) } else { Err(empty) };
        };
        let (token, logit) = match rule {
            TopRule::WholeRow => return Ok(Choice::NeedsFullRow),
            TopRule::MostProbable => (token, first),
            TopRule::Proportional => {
                let TopMemory { entries, logits, .. } = &mut self.0.scratch.top;
                // As in a whole row, so that draws agree where nothing lies outside of the top.
                entries.sort_unstable_by_key(|&(_, token)| token);
                logits.clear();
                logits.extend(entries.iter().map(|&(logit, _)| logit));
                if rest > 0.0 {
                    logits.push((f64::from(first) + rest.ln()) as f32);
                }
                let chosen = self.0.stream.categorical(logits);
                match entries.get(chosen) {
                    Some(&(logit, token)) => (token, logit),
                    None => return Ok(Choice::Rest),
                }
            }
        };
        Ok(Choice::Token(Drawn { token, probability: stats.probability(logit) }))
    }

    /// Draws from the whole of a row.
    fn draw_whole(&mut self, row: Row) -> Result<Drawn, Error> {
        self.filtered(row)?;
        let token = self.config.draw.draw(&self.0.scratch.row, self.0.stream);
        self.drawn(row, token)
    }

    /// Draws among the tokens outside of a top-K row's top.
    fn draw_rest(&mut self, row: Row) -> Result<Drawn, Error> {
        self.filtered(row)?;
        if let Some(condensed) = self.condensed() {
            for (_, token) in condensed.top(self.place(row).row) {
                self.scratch.row[token as usize] = f32::NEG_INFINITY;
            }
        }
        // Nothing is there if all that seemed to be was rounding.
        if self.scratch.row.iter().all(|&logit| logit == f32::NEG_INFINITY) {
            self.filtered(row)?;
        }
        let token = self.0.stream.categorical(&self.0.scratch.row);
        self.drawn(row, token)
    }

    /// A token drawn from the row that is loaded.
    pub(super) fn drawn(&self, row: Row, token: usize) -> Result<Drawn, Error> {
        let token = token as TokenId;
        let logit = self.loaded_logit(row, token)?;
        Ok(Drawn { token, probability: self.row(row).stats.probability(logit) })
    }
}
