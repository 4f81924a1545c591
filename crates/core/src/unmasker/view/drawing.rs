//! Rows after the filters, and tokens drawn from them.

use super::{Drawn, View};
use crate::{Canvas, Error, RowStats, TokenId};

impl View<'_> {
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
