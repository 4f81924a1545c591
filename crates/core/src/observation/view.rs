//! The view of an unmasker: draws tokens from the rows of a step, and records reveals and remasks.

use std::ops::{Deref, DerefMut};

use super::rows::rule_out;
use super::{Observation, Row};
use crate::draw::TopRule;
use crate::top_k_rows::TopMemory;
use crate::{Error, Order, RowStats, TokenId};

/// A drawn token and its probability in the filtered row.
#[must_use = "a drawn token has no effect until it is revealed"]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drawn {
    /// The token.
    pub token: TokenId,
    /// Its probability.
    pub probability: f64,
}

/// An [`Observation`] that can also draw tokens and record moves. Unmaskers receive it.
///
/// Rows are numbered as in the observation: those of the candidates first, from left to right, then those of
/// queries.
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

/// The outcome of a draw from the top of a row.
enum Choice {
    /// This token.
    Token(Drawn),
    /// A token outside of the top.
    Rest,
    /// None: the row is dense, or the whole row is needed.
    NeedsFullRow,
}

impl View<'_> {
    /// The candidate at a rank of the policy's ranking; rank 0 is revealed first.
    ///
    /// # Panics
    /// If the rank is not below the number of candidates that the policy ranked.
    pub fn ranked(&self, rank: usize) -> Row {
        self.scratch.selection.ranked[rank]
    }

    /// The candidates that the policy ranked, the first to be revealed first.
    pub fn ranking(&self) -> &[Row] {
        &self.scratch.selection.ranked
    }

    /// The positions that this round has [revealed](Self::reveal) so far.
    pub fn revealed(&self) -> impl Iterator<Item = usize> + '_ {
        self.scratch.reveals.iter().map(|&(position, _)| position)
    }

    /// The positions that this round has [revealed](Self::reveal) so far, and their tokens.
    pub fn reveals(&self) -> impl Iterator<Item = (usize, TokenId)> + '_ {
        self.scratch.reveals.iter().map(|&(position, drawn)| (position, drawn.token))
    }

    /// The number of tokens that the policy has yet to reveal in this step: at least 1 while there are
    /// candidates, and at most all that it ranked. For an unmasker [without a
    /// policy](crate::unmasker::Control) it is the number of candidates.
    pub fn quota(&self) -> usize {
        let selection = &self.scratch.selection;
        selection.count.clamp(1, selection.ranked.len().max(1)).min(selection.ranked.len())
    }

    /// Ranks all candidates by an order other than the policy's, for unmaskers that
    /// [choose positions themselves](crate::unmasker::Control).
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

    /// [Ranks](Self::rank) all candidates by their confidence, the highest first and the leftmost among
    /// equals.
    pub fn rank_by_confidence(&mut self) {
        let mut ranked = std::mem::take(&mut self.scratch.selection.ranked);
        let scored: Result<(), std::convert::Infallible> =
            self.0.rank_by(&mut ranked, |rows, row| Ok(rows.row(row).confidence));
        scored.unwrap_or_else(|never| match never {});
        self.scratch.selection.ranked = ranked;
    }

    /// Draws a token from a filtered row. The mask id is never drawn.
    ///
    /// A top-K row is fetched only if the draw falls outside of its top. The law is that of the whole row,
    /// but the same seed may give another token.
    ///
    /// # Errors
    /// [`Error::EmptyRow`] if only the mask id is possible, [`Error::UnknownToken`] if a user's
    /// [`Draw`](crate::Draw) returns an id outside of the vocabulary, [`Error::Model`] if a row cannot be
    /// fetched.
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

    /// Draws a token from each of these filtered rows and appends it to `drawn`. Top-K rows that must be
    /// fetched are fetched together.
    ///
    /// # Errors
    /// Those of [`draw`](Self::draw).
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
        if let Some(top_k) = self.top_k_rows().filter(|_| !outside.is_empty()) {
            let rows = outside.iter().map(|&(_, row)| self.place(row).row);
            let rows: Vec<usize> = rows.collect();
            top_k.fetch(&rows)?;
        }
        for &(place, row) in &outside {
            drawn[place] = self.draw_rest(row)?;
        }
        self.scratch.outside = outside;
        Ok(())
    }

    /// Draws a token for the position of a row from other logits \[V\], none of them NaN or +∞. The mask id
    /// is ruled out.
    ///
    /// # Errors
    /// Those of [`draw`](Self::draw).
    ///
    /// # Panics
    /// If there is no such row.
    pub fn draw_from(&mut self, row: Row, logits: &mut [f32]) -> Result<Drawn, Error> {
        let (sequence, position) = (self.input.sequence, self.place(row).position);
        let empty = || Error::EmptyRow { sequence, position };
        rule_out(self.input.canvas.mask(), logits).then_some(()).ok_or_else(empty)?;
        let token = self.config.draw.draw(logits, self.0.stream);
        let stats = RowStats::of(logits).ok_or_else(empty)?;
        let (size, id) = (logits.len(), token as TokenId);
        let unknown = Error::UnknownToken { sequence, token: id, position, size };
        let logit = *logits.get(token).ok_or(unknown)?;
        Ok(Drawn { token: id, probability: stats.probability(logit) })
    }

    /// Sets the confidence of a candidate to the probability of its [drafted](crate::Unmasker::draft) token.
    /// Policies then read that.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn set_confidence(&mut self, row: Row, confidence: f64) {
        self.0.scratch.rows[row.index()].confidence = confidence;
        self.0.scratch.drafted = true;
    }

    /// Restricts the sampler passes of this step to these candidates. The output layer then runs on their rows
    /// only.
    ///
    /// The step ends once all of them are revealed, so an empty list ends it. Without a restriction, the passes
    /// compute all candidates that the policy ranked.
    ///
    /// # Panics
    /// If there is no such candidate.
    pub fn narrow_to(&mut self, candidates: impl IntoIterator<Item = Row>) {
        let (rows, window) = (self.0.input.rows, &mut self.0.scratch.window);
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

    /// Reveals the masked position of a row at the end of the round.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn reveal(&mut self, row: Row, drawn: Drawn) {
        let position = self.place(row).position;
        self.scratch.reveals.push((position, drawn));
    }

    /// Places a draft token at the masked position of a row, for the sampler passes of this step only.
    ///
    /// The sequence does not change, and the draft is dropped at the end of the step. After this call the
    /// step can no longer reveal or mask a position.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn place_draft(&mut self, row: Row, drawn: Drawn) {
        let position = self.place(row).position;
        self.scratch.drafts.push((position, drawn));
    }

    /// Remasks a revealed position at the end of the round. Remasks are applied before reveals.
    pub fn remask(&mut self, position: usize) {
        self.scratch.remasks.push(position);
    }

    /// Replaces the token of a revealed position: a remask, then a reveal.
    pub fn replace(&mut self, position: usize, drawn: Drawn) {
        self.scratch.remasks.push(position);
        self.scratch.reveals.push((position, drawn));
    }

    /// Keeps the block open even if it is full after this step, to revise its tokens once more.
    ///
    /// A step of a full block must change a token to keep it open again. A block that is not full stays open
    /// anyway.
    pub fn keep_block_open(&mut self) {
        self.scratch.keep_open = true;
    }

    /// Draws among the tokens of a row's top and the rest as a whole.
    fn choose(&mut self, row: Row) -> Result<Choice, Error> {
        let stats = self.row(row).stats;
        let (sequence, position) = (self.input.sequence, self.place(row).position);
        let (mask, rule) = (self.input.canvas.mask(), self.config.draw.top_rule());
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
                // In the order of a whole row, so that draws agree if the rest is empty.
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

    /// Draws from the whole row.
    fn draw_whole(&mut self, row: Row) -> Result<Drawn, Error> {
        self.filtered(row)?;
        let token = self.config.draw.draw(&self.0.scratch.row, self.0.stream);
        self.drawn(row, token)
    }

    /// Draws among the tokens outside of a top-K row's top.
    fn draw_rest(&mut self, row: Row) -> Result<Drawn, Error> {
        self.filtered(row)?;
        if let Some(top_k) = self.top_k_rows() {
            for (_, token) in top_k.top(self.place(row).row) {
                self.scratch.row[token as usize] = f32::NEG_INFINITY;
            }
        }
        // The rest is empty if its mass was a rounding error.
        if self.scratch.row.iter().all(|&logit| logit == f32::NEG_INFINITY) {
            self.filtered(row)?;
        }
        let token = self.0.stream.categorical(&self.0.scratch.row);
        self.drawn(row, token)
    }

    /// The token drawn from the loaded row.
    pub(super) fn drawn(&self, row: Row, token: usize) -> Result<Drawn, Error> {
        let token = token as TokenId;
        let logit = self.loaded_logit(row, token)?;
        Ok(Drawn { token, probability: self.row(row).stats.probability(logit) })
    }
}
