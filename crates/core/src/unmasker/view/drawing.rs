//! Rows after the filters, and tokens drawn from them.

use std::ops::Range;

use super::{Drawn, View};
use crate::condensed::{TopMemory, TopRow};
use crate::draw::TopRule;
use crate::{Canvas, Error, RowStats, TokenId};

/// What a condensed row's top says of a draw.
enum Choice {
    /// This token.
    Token(Drawn),
    /// One outside of the top.
    Rest,
    /// Nothing: the row is dense, or is wanted whole.
    Untold,
}

impl View<'_> {
    /// The logits \[V\] of a row after the filters, and the mask id ruled out. A condensed row is fetched.
    ///
    /// # Errors
    /// [`Error::EmptyRow`] if only the mask id is possible, [`Error::Model`] if the row cannot be fetched.
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
    /// [`Error::UnknownToken`] if the vocabulary has no such token, and those of [`filtered`](Self::filtered).
    ///
    /// # Panics
    /// If there is no such row.
    pub fn probability(&mut self, row: usize, token: TokenId) -> Result<f64, Error> {
        let stats = self.work.rows[row].stats;
        let vocabulary = self.parts.vocabulary_size;
        if let Some(top) = self.told_by_top(row) {
            let entry = top.entries().iter().find(|&&(_, id)| id == token);
            if let Some(&(logit, _)) = entry {
                return Ok(stats.probability(logit));
            }
            if !top.has_rest() && (token as usize) < vocabulary {
                return Ok(0.0);
            }
        }
        self.load(row)?;
        Ok(stats.probability(self.logit(row, token)?))
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

    /// Draws a token from a filtered row. The mask id is never drawn.
    ///
    /// From a condensed row it is drawn by its top, and the row is fetched only if the draw falls outside of that:
    /// the same law, with another use of the randomness.
    ///
    /// # Errors
    /// [`Error::EmptyRow`] if only the mask id is possible, [`Error::UnknownToken`] if a draw of
    /// the user's own leaves the vocabulary, [`Error::Model`] if a row cannot be fetched.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn draw(&mut self, row: usize) -> Result<Drawn, Error> {
        match self.choose(row)? {
            Choice::Token(drawn) => Ok(drawn),
            Choice::Rest => self.draw_rest(row),
            Choice::Untold => self.draw_whole(row),
        }
    }

    /// Draws a token from each of these filtered rows and appends it to `drawn`. Condensed rows of which the draw falls
    /// outside of the top are fetched together.
    ///
    /// # Errors
    /// As [`draw`](Self::draw).
    ///
    /// # Panics
    /// If there is no such row.
    pub fn draw_all(&mut self, rows: Range<usize>, drawn: &mut Vec<Drawn>) -> Result<(), Error> {
        let (first, start) = (drawn.len(), rows.start);
        let mut outside = std::mem::take(&mut self.work.outside);
        outside.clear();
        for row in rows {
            drawn.push(match self.choose(row)? {
                Choice::Untold => self.draw_whole(row)?,
                Choice::Token(drawn) => drawn,
                Choice::Rest => {
                    outside.push(row);
                    Drawn { token: 0, probability: 0.0 } // until its row is fetched
                }
            });
        }
        if let Some(condensed) = self.condensed().filter(|_| !outside.is_empty()) {
            let rows: Vec<usize> = outside.iter().map(|&row| self.sight.rows[row].row).collect();
            condensed.fetch(&rows)?;
        }
        for &row in &outside {
            drawn[first + row - start] = self.draw_rest(row)?;
        }
        self.work.outside = outside;
        Ok(())
    }

    /// The filtered top of a condensed row whose statistics come from it.
    fn told_by_top(&mut self, row: usize) -> Option<TopRow<'_>> {
        self.top(row).filter(|top| top.stats().is_some())
    }

    /// Chooses among the tokens of a row's top, and the rest of it as a whole.
    fn choose(&mut self, row: usize) -> Result<Choice, Error> {
        let stats = self.work.rows[row].stats;
        let (sequence, position) = (self.sight.sequence, self.sight.rows[row].position);
        let (mask, rule) = (self.sight.canvas.mask(), self.parts.draw.top_rule());
        let Some(mut top) = self.told_by_top(row) else { return Ok(Choice::Untold) };
        if !top.rule_out(mask) {
            return Ok(Choice::Untold);
        }
        let Some(rest) = top.rest_mass() else { return Ok(Choice::Untold) };
        let Some(&(first, token)) = top.entries().first() else {
            let empty = Error::EmptyRow { sequence, position };
            return if top.has_rest() { Ok(Choice::Untold) } else { Err(empty) };
        };
        let (token, logit) = match rule {
            TopRule::WholeRow => return Ok(Choice::Untold),
            TopRule::MostProbable => (token, first),
            TopRule::Proportional => {
                let TopMemory { entries, logits, .. } = &mut self.work.top;
                // As in a whole row, so that draws agree where nothing lies outside of the top.
                entries.sort_unstable_by_key(|&(_, token)| token);
                logits.clear();
                logits.extend(entries.iter().map(|&(logit, _)| logit));
                if rest > 0.0 {
                    logits.push((f64::from(first) + rest.ln()) as f32);
                }
                let chosen = self.stream.categorical(logits);
                match entries.get(chosen) {
                    Some(&(logit, token)) => (token, logit),
                    None => return Ok(Choice::Rest),
                }
            }
        };
        Ok(Choice::Token(Drawn { token, probability: stats.probability(logit) }))
    }

    /// Draws from the whole of a row.
    fn draw_whole(&mut self, row: usize) -> Result<Drawn, Error> {
        self.filtered(row)?;
        let token = self.parts.draw.draw(&self.work.row, self.stream);
        self.drawn(row, token)
    }

    /// Draws among the tokens outside of a condensed row's top.
    fn draw_rest(&mut self, row: usize) -> Result<Drawn, Error> {
        self.filtered(row)?;
        if let Some(condensed) = self.condensed() {
            for (_, token) in condensed.top(self.sight.rows[row].row) {
                self.work.row[token as usize] = f32::NEG_INFINITY;
            }
        }
        // Nothing is there if all that seemed to be was rounding.
        if self.work.row.iter().all(|&logit| logit == f32::NEG_INFINITY) {
            self.filtered(row)?;
        }
        let token = self.stream.categorical(&self.work.row);
        self.drawn(row, token)
    }

    /// A token drawn from the row that is loaded.
    fn drawn(&self, row: usize, token: usize) -> Result<Drawn, Error> {
        let token = token as TokenId;
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
    pub(in crate::unmasker) fn take_drawn(&mut self) -> Vec<Drawn> {
        std::mem::take(&mut self.work.drawn)
    }

    /// Keeps the memory of a list for the next step.
    pub(in crate::unmasker) fn keep_drawn(&mut self, mut drawn: Vec<Drawn>) {
        drawn.clear();
        self.work.drawn = drawn;
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
